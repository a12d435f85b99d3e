#include "base/hash.h"
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#if defined __SHA__ && defined __SSE4_1__
#include <immintrin.h>
#endif

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

#if defined __SHA__ && defined __SSE4_1__

/* Four rounds an instruction pair; the state lies as ABEF, CDGH. */
static void
sha_blocks(uint32_t h[8], const unsigned char *p, size_t n)
{
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((__m128i *)h), 0xb1);
  __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((__m128i *)(h + 4)), 0x1b);
  __m128i x = _mm_alignr_epi8(abcd, efgh, 8);
  __m128i y = _mm_blend_epi16(efgh, abcd, 0xf0);

  for (; n > 0; n--, p += 64) {
    __m128i w[4], x0 = x, y0 = y;

    for (int i = 0; i < 4; i++)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p + i), swap);
    for (int r = 0; r < 16; r++) {
      __m128i *w0 = &w[r % 4], w3 = w[(r + 3) % 4];
      __m128i k =
          _mm_add_epi32(*w0, _mm_loadu_si128((const __m128i *)(sha_k + 4 * r)));

      y = _mm_sha256rnds2_epu32(y, x, k);
      x = _mm_sha256rnds2_epu32(x, y, _mm_shuffle_epi32(k, 0x0e));
      if (r < 12)
        *w0 = _mm_sha256msg2_epu32(
            _mm_add_epi32(_mm_sha256msg1_epu32(*w0, w[(r + 1) % 4]),
                          _mm_alignr_epi8(w3, w[(r + 2) % 4], 4)),
            w3);
    }
    x = _mm_add_epi32(x, x0);
    y = _mm_add_epi32(y, y0);
  }
  x = _mm_shuffle_epi32(x, 0x1b);
  y = _mm_shuffle_epi32(y, 0xb1);
  _mm_storeu_si128((__m128i *)h, _mm_blend_epi16(x, y, 0xf0));
  _mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(y, x, 8));
}

#else

static uint32_t
ror(uint32_t x, int n)
{
  return x >> n | x << (32 - n);
}

/* Round i; the caller turns the eight names, so that no value moves. */
#define ROUND(a, b, c, d, e, f, g, h, i)                                       \
  do {                                                                         \
    uint32_t t = h + (ror(e, 6) ^ ror(e, 11) ^ ror(e, 25)) +                   \
                 ((e & f) ^ (~e & g)) + sha_k[i] + w[i];                       \
                                                                               \
    d += t;                                                                    \
    h = t + (ror(a, 2) ^ ror(a, 13) ^ ror(a, 22)) +                            \
        ((a & b) ^ (a & c) ^ (b & c));                                         \
  } while (0)

static void
sha_blocks(uint32_t v[8], const unsigned char *p, size_t n)
{
  uint32_t w[64];

  for (; n > 0; n--) {
    uint32_t a = v[0], b = v[1], c = v[2], d = v[3];
    uint32_t e = v[4], f = v[5], g = v[6], h = v[7];

    for (int i = 0; i < 16; i++, p += 4)
      w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
             p[3];
    for (int i = 16; i < 64; i++)
      w[i] = w[i - 16] + w[i - 7] +
             (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
             (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
    for (int i = 0; i < 64; i += 8) {
      ROUND(a, b, c, d, e, f, g, h, i);
      ROUND(h, a, b, c, d, e, f, g, i + 1);
      ROUND(g, h, a, b, c, d, e, f, i + 2);
      ROUND(f, g, h, a, b, c, d, e, i + 3);
      ROUND(e, f, g, h, a, b, c, d, i + 4);
      ROUND(d, e, f, g, h, a, b, c, i + 5);
      ROUND(c, d, e, f, g, h, a, b, i + 6);
      ROUND(b, c, d, e, f, g, h, a, i + 7);
    }
    v[0] += a;
    v[1] += b;
    v[2] += c;
    v[3] += d;
    v[4] += e;
    v[5] += f;
    v[6] += g;
    v[7] += h;
  }
}

#endif

void
hy_sha256_init(hy_sha256 *s)
{
  static const uint32_t h0[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372,
                                 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                 0x1f83d9ab, 0x5be0cd19};

  memcpy(s->h, h0, sizeof h0);
  s->n_bytes = 0;
}

void
hy_sha256_add(hy_sha256 *s, const void *data, size_t n)
{
  const unsigned char *p = data;
  size_t have = s->n_bytes % 64;

  if (n == 0) /* then there may be no data */
    return;
  s->n_bytes += n;
  if (have) {
    size_t take = n < 64 - have ? n : 64 - have;

    memcpy(s->block + have, p, take);
    p += take;
    n -= take;
    if (have + take < 64)
      return;
    sha_blocks(s->h, s->block, 1);
  }
  sha_blocks(s->h, p, n / 64);
  memcpy(s->block, p + n / 64 * 64, n % 64);
}

void
hy_sha256_hex(hy_sha256 *s, char out[HY_SHA_HEX])
{
  uint64_t bits = s->n_bytes * 8;
  unsigned char tail[72] = {0x80}, len[8];
  size_t have = s->n_bytes % 64;

  for (int i = 0; i < 8; i++)
    len[i] = (unsigned char)(bits >> (56 - 8 * i));
  hy_sha256_add(s, tail, (have < 56 ? 56 : 120) - have);
  hy_sha256_add(s, len, 8);
  for (int i = 0; i < 8; i++)
    snprintf(out + 8 * i, 9, "%08x", s->h[i]);
}

int
hy_sha256_file(const char *path, char out[HY_SHA_HEX])
{
  static _Thread_local unsigned char buf[1 << 16];
  FILE *f = fopen(path, "rb");
  hy_sha256 s;
  size_t n;
  int bad;

  if (!f)
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  hy_sha256_init(&s);
  while ((n = fread(buf, 1, sizeof buf, f)) > 0)
    hy_sha256_add(&s, buf, n);
  bad = ferror(f);
  fclose(f);
  if (bad)
    return hy_fail(HY_EFILE, "%s: read failed", path);
  hy_sha256_hex(&s, out);
  return HY_OK;
}

uint64_t
hy_checksum(const uint32_t *word, size_t n, uint64_t first)
{
  uint64_t sum = 0;

  /* splitmix64 of (index, word): a flipped bit or two swapped elements
   * change the sum; exact for any cut of the tensor */
  for (size_t i = 0; i < n; i++) {
    uint64_t h = (first + i) * 0x9e3779b97f4a7c15u + word[i];

    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 27) * 0x94d049bb133111ebu;
    sum += h ^ h >> 31;
  }
  return sum;
}
