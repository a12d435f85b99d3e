/* shares.h: which of several sources sample i is taken from, by weights, as a
 * closed form: no table, no state, any sample at any time.
 *
 * A binary tree has the sources as leaves; of the first k samples that come to
 * a node, k L / (L + R) rounded to the nearest go left, L and R being the sums
 * of the weights below. The tree is Huffman's: there the share of a node in its
 * parent is at most 2/3 but at a leaf, and each level is off by 1/2 at most, so
 * a source is never more than 1/2 (1 + 1 + 2/3 + 4/9 + ...) = 2 samples from
 * its share of any number of first samples. */
#ifndef HYMN_DATA_SHARES_H
#define HYMN_DATA_SHARES_H

#include <stdint.h>

typedef struct hy_shares hy_shares; /* fields in shares.c */

/** Shares of n >= 1 sources by their weights, of which hy_mix_wrong finds
 *  nothing to say. Decimal weights count as they are written (0.1 is 1/10);
 *  those that need more than 15 digits as the nearest of 2^60 steps.
 *  \return NULL: a weight is above 0 and too small beside the others. */
hy_shares *hy_shares_new(const double *weight, int n);
void hy_shares_free(hy_shares *s);

/** The source of sample i >= 0.
 *  \param at  [out] how many samples before i are of the same source */
int hy_shares_at(const hy_shares *s, int64_t i, int64_t *at);

/** How many of the first n samples are of a source. */
int64_t hy_shares_count(const hy_shares *s, int source, int64_t n);

/** The share of a source, 0 .. 1. */
double hy_shares_of(const hy_shares *s, int source);

#endif
