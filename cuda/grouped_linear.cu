/* grouped_linear.cu: not written yet. */
#include "launch.h"
