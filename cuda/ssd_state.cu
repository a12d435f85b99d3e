/* ssd_state.cu: not written yet. */
#include "launch.h"
