/* sum_squares.cu: not written yet. */
#include "launch.h"
