/* hash.h: SHA-256 for the identity of files, and a checksum for tensors that
 * does not depend on how they are cut up. */
#ifndef HYMN_BASE_HASH_H
#define HYMN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
  uint32_t h[8];
  uint64_t n_bytes;
  unsigned char block[64];
} hy_sha256;

#define HY_SHA_HEX 65 /* 64 hex digits and a NUL */

/** FIPS 180-4; the hex form equals what sha256sum prints. */
void hy_sha256_init(hy_sha256 *s);
void hy_sha256_add(hy_sha256 *s, const void *data, size_t n);
void hy_sha256_hex(hy_sha256 *s, char out[HY_SHA_HEX]);

/** Hash of a whole file; 0 or HY_EFILE. Not collective. */
int hy_sha256_file(const char *path, char out[HY_SHA_HEX]);

/** Sum over 32-bit words of mix(global index, word): a sum, so parts can be
 *  taken by any rank in any order and added modulo 2^64.
 *  \param word   n words of one contiguous run
 *  \param first  global index of the first of them */
uint64_t hy_checksum(const uint32_t *word, size_t n, uint64_t first);

#endif
