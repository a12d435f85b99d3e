/* conv1d.cu: not written yet. */
#include "launch.h"
