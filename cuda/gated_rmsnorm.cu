/* gated_rmsnorm.cu: not written yet. */
#include "launch.h"
