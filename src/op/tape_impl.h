/* tape_impl.h: what tape.c and replay.c share. */
#ifndef HYMN_OP_TAPE_IMPL_H
#define HYMN_OP_TAPE_IMPL_H

#include "op/tape.h"

/** Append a record to the tape. */
void hy_tape_keep(hy_ctx *c, hy_rec *r);

/** Backward of one record that is no begin of a segment. */
void hy_tape_back(hy_ctx *c, hy_rec *r);

/** The op of a replayed piece, and its backward; r is the last record of the
 *  tape. */
extern const hy_op hy_op_replay;
void hy_replay_back(hy_ctx *c, hy_rec *r);

#endif
