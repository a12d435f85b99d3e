/* ce_stat.cu: not written yet. */
#include "launch.h"
