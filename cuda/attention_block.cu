/* attention_block.cu: not written yet. */
#include "launch.h"
