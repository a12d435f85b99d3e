/* cpu_moe.h: choosing the largest, for routers and the balance loss. */
#ifndef HYMN_CPU_CPU_MOE_H
#define HYMN_CPU_CPU_MOE_H

#include <stdint.h>

/** The k largest of v[0..n) that are not -inf, as ascending indices; of equal
 *  values the lower index is taken. They are -inf afterwards.
 *  \return the smallest of them */
float cpu_top_k(float *v, int64_t n, int64_t k, int32_t *out);

#endif
