/* seq_aux.cu: not written yet. */
#include "launch.h"
