/* ssd_bwd.cu: not written yet. */
#include "launch.h"
