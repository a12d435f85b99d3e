#include "base/rng.h"

#include <math.h>

uint64_t
hy_rng_key(uint64_t seed, const char *name)
{
  uint64_t h = 0xcbf29ce484222325u ^ seed * 0x9e3779b97f4a7c15u;

  for (; *name; name++)
    h = (h ^ (unsigned char)*name) * 0x100000001b3u; /* FNV-1a */
  h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u; /* finish as splitmix64 does */
  h = (h ^ h >> 27) * 0x94d049bb133111ebu;
  return h ^ h >> 31;
}

void
hy_rng_u32x4(uint64_t key, uint64_t i, uint32_t out[4])
{
  uint32_t c0 = (uint32_t)i, c1 = (uint32_t)(i >> 32), c2 = 0, c3 = 0;
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

  for (int r = 0; r < 10; r++) {
    uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;

    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

uint64_t
hy_rng_u64(uint64_t key, uint64_t i)
{
  uint32_t w[4];

  hy_rng_u32x4(key, i, w);
  return (uint64_t)w[0] << 32 | w[1];
}

double
hy_rng_uniform(uint64_t key, uint64_t i)
{
  return (double)(hy_rng_u64(key, i) >> 11) * 0x1p-53;
}

double
hy_rng_normal(uint64_t key, uint64_t i)
{
  uint32_t w[4];
  double u, v;

  hy_rng_u32x4(key, i, w);
  u = ((double)w[0] + 0.5) * 0x1p-32 + (double)w[1] * 0x1p-65;
  v = ((double)w[2] + (double)w[3] * 0x1p-32) * 0x1p-32;
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}
