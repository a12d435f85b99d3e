/* columns.h: the columns of a micro-batch in backend memory, at addresses that
 * stay, for bodies that cannot read the host's. */
#ifndef HYMN_OP_COLUMNS_H
#define HYMN_OP_COLUMNS_H

#include "op/tape.h"

/** Room for micro-batches of up to n_rows rows, of n_tokens tokens on this
 *  rank, with n_ahead prediction depths. Nothing where the backend reads the
 *  host's memory. 0 or HY_ERES. Not collective. */
int hy_columns_new(hy_ctx *c, int64_t n_rows, int64_t n_tokens, int n_ahead);
void hy_columns_free(hy_ctx *c);

/** Bytes that they take in the memory of a backend. */
size_t hy_columns_bytes(const hy_backend *be, int64_t n_rows, int64_t n_tokens,
                        int n_ahead);

/** Let the context work on b, which has to outlive that. */
void hy_ctx_batch(hy_ctx *c, const hy_batch *b);

#endif
