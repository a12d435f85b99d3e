/* replay.h: a piece of the program that keeps only its input, and runs once
 * more in backward. */
#ifndef HYMN_OP_REPLAY_H
#define HYMN_OP_REPLAY_H

#include "op/tape.h"

/** Text of the piece: a layer. It may call any op and region, begins no segment
 *  and keeps no tensor (hy_keep). */
typedef hy_tensor *hy_text(hy_ctx *c, const void *arg, hy_tensor *x);

/** run(c, arg, x), of which memory keeps x, the result and the experts that
 *  routers chose. Backward calls run again with those choices and then works
 *  through its records; counts, margins, balance losses and watch see the
 *  first call only. The bits are those of a plain call. Regions inside are
 *  collective, the second time in backward. Without a tape a plain call. */
hy_tensor *hy_replay(hy_ctx *c, hy_text *run, const void *arg, hy_tensor *x);

#endif
