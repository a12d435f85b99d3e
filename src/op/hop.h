/* hop.h: messages between the pieces of rows that cp has cut.
 *
 * Piece p of a row goes to piece p + d, for every p and every row at once. One
 * rank sends at most two messages, whatever the number of rows. */
#ifndef HYMN_OP_HOP_H
#define HYMN_OP_HOP_H

#include "op/tape.h"

typedef struct {
  const hy_comm *comm; /* cp; a dry one counts and touches no data */
  int64_t n_rows, seq_len;
  const int64_t *row_start; /* as in hy_batch */
  hy_fmt fmt;               /* of what is sent */
  int64_t n_item;           /* numbers that one piece sends */
  void *buf;                /* 4 n_rows n_item numbers */
  /* Fill `to` from span `span` of this rank; all before the first take. Like
   * buf, `to` and `from` are in backend memory. */
  void (*put)(void *arg, int64_t span, void *to);
  /* What has come for span `span`. */
  void (*take)(void *arg, int64_t span, const void *from);
  void *arg;
} hy_hop;

/** Numbers in hy_hop.buf. */
static inline int64_t
hy_hop_room(int64_t n_span, int64_t n_item)
{
  return 2 * n_span * n_item;
}

/** From each piece p to p + d where one document lies in both: the rule that
 *  both ranks know from row_start. d < 0: backwards. Collective over comm. */
void hy_hop_run(const hy_hop *h, int d);

#endif
