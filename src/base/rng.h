/* rng.h: counter-based random numbers.
 *
 * A value depends on (key, counter) only, so batches and first weights do not
 * depend on the number of ranks or on what was drawn before. */
#ifndef HYMN_BASE_RNG_H
#define HYMN_BASE_RNG_H

#include <stdint.h>

/** A key from the run's seed and a name ("init:backbone.norm_f.weight"). */
uint64_t hy_rng_key(uint64_t seed, const char *name);

/** Four uniform 32-bit words for counter i under key.
 *  Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3",
 *  Philox4x32 with 10 rounds. */
void hy_rng_u32x4(uint64_t key, uint64_t i, uint32_t out[4]);

/** Uniform 64-bit word. */
uint64_t hy_rng_u64(uint64_t key, uint64_t i);

/** Uniform in [0, 1), 53 bits. */
double hy_rng_uniform(uint64_t key, uint64_t i);

/** Standard normal (Box and Muller); one value per counter. */
double hy_rng_normal(uint64_t key, uint64_t i);

#endif
