/* scaled_norm.cu: not written yet. */
#include "launch.h"
