/* pack.h: which documents share a row. Pure functions of lengths and seed. */
#ifndef HYMN_PREP_PACK_H
#define HYMN_PREP_PACK_H

#include <stdint.h>

typedef enum {
  HY_PACK_CONCATENATIVE,        /* one stream, cut every seq_len */
  HY_PACK_FIRST_FIT_DECREASING, /* longest first, into the first row with room
                                 */
  HY_PACK_FIRST_FIT_SHUFFLE,    /* in an order by the seed, likewise */
  HY_PACK_BEST_FIT /* longest first, into the fullest row with room; of equally
                      full ones that which was filled last */
} hy_packing;

/** The method of that name (prepare.packing), -1: none. */
int hy_packing_named(const char *name);

/** Rows of at most seq_len tokens in O(n log n). Documents of one length are
 *  placed in the order of their numbers.
 *  \param len    (n) tokens of each document, 1 .. seq_len
 *  \param order  [out] (n) documents in the order of the stream: row after row,
 *                in a row by number
 *  \param first  [out] (n + 1) row r has order[first[r]] .. order[first[r+1]-1]
 *  Not collective. \return the number of rows. Not for HY_PACK_CONCATENATIVE.
 *  Source: Johnson 1973, "Near-optimal bin packing algorithms"; best-fit for
 *  language models: Ding et al. 2024, arXiv:2404.10830. */
int64_t hy_pack(hy_packing how, const int64_t *len, int64_t n, int64_t seq_len,
                uint64_t seed, int64_t *order, int64_t *first);

#endif
