/* router.cu: not written yet. */
#include "launch.h"
