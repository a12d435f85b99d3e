/* mock.h: rows of random tokens, for speed tests and for checks without a
 * file. */
#ifndef HYMN_DATA_MOCK_H
#define HYMN_DATA_MOCK_H

#include "data/packed.h"

/** Fill a row with random tokens in documents of random lengths that end
 *  anywhere; the last one may go on beyond the row. Depends on seed and sample
 *  only. Not collective. */
void hy_mock_row(uint64_t seed, int64_t sample, int64_t seq_len, int64_t vocab,
                 hy_row *out);

#endif
