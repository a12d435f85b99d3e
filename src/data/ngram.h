/* ngram.h: what counting alone reaches; the yardstick beside a validation
 * loss. */
#ifndef HYMN_DATA_NGRAM_H
#define HYMN_DATA_NGRAM_H

#include "data/packed.h"

/** Cross-entropy of `valid` under the counts of `train`, in nats per target.
 *
 *  Targets are the tokens that a model is asked for: all but the first of each
 *  document, with weight > 0; the mean is weighted.
 *    unigram  p1(w)   = (c(w) + 1) / (n + vocab)
 *    bigram   p2(w|u) = (c(u,w) + t(u) p1(w)) / (c(u) + t(u)),
 *  t(u) the number of different tokens seen after u; p1 where u was not seen.
 *  t is exact up to a vocabulary of 46,340; above, pairs share 2^31 bits.
 *  Reads train once and valid twice, on this rank. Not collective.
 *  Source: Witten and Bell 1991, "The zero-frequency problem", method C.
 *  \param vocab  tokens are < vocab
 *  \return 0, HY_EDATA (a token out of range, no target in valid). */
int hy_ngram_losses(const hy_packed *train, const hy_packed *valid,
                    int64_t vocab, double *unigram, double *bigram);

#endif
