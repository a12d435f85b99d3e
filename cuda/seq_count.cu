/* seq_count.cu: not written yet. */
#include "launch.h"
