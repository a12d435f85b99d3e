/* parquet_codec.c: decompressing pages. What comes out must be of exactly the
 * size that the page says. */
#include "config.h"
#include "data/parquet_impl.h"

#include <string.h>
#include <zlib.h>
#ifdef HAVE_SNAPPY
#include <snappy-c.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

static const char *
copy(const unsigned char *in, size_t n, unsigned char *out, size_t want)
{
  if (n != want)
    return "an uncompressed page of two sizes";
  if (n > 0)
    memcpy(out, in, n);
  return NULL;
}

/* One gzip member after another. */
static const char *
gunzip(const unsigned char *in, size_t n, unsigned char *out, size_t want)
{
  z_stream z = {0};
  int rc = Z_OK;

  if (inflateInit2(&z, 15 + 16) != Z_OK)
    hy_die(HY_ERES, "zlib has no memory; use a machine with more");
  z.next_in = (unsigned char *)(uintptr_t)in; /* zlib does not write to it */
  z.avail_in = (uInt)n;
  z.next_out = out;
  z.avail_out = (uInt)want;
  while (rc == Z_OK) {
    rc = inflate(&z, Z_FINISH);
    if (rc == Z_STREAM_END && z.avail_in > 0)
      rc = inflateReset(&z);
  }
  inflateEnd(&z);
  return rc == Z_STREAM_END && z.avail_out == 0 ? NULL : "damaged gzip data";
}

#ifdef HAVE_SNAPPY
static const char *
unsnappy(const unsigned char *in, size_t n, unsigned char *out, size_t want)
{
  size_t len = 0;

  if (snappy_uncompressed_length((const char *)in, n, &len) != SNAPPY_OK ||
      len != want ||
      snappy_uncompress((const char *)in, n, (char *)out, &len) != SNAPPY_OK)
    return "damaged Snappy data";
  return NULL;
}
#endif

#ifdef HAVE_ZSTD
static const char *
unzstd(const unsigned char *in, size_t n, unsigned char *out, size_t want)
{
  size_t len = ZSTD_decompress(out, want, in, n);

  return !ZSTD_isError(len) && len == want ? NULL : "damaged zstd data";
}
#endif

/* By number in the file. A codec without a function cannot be read. `most` is
 * how many bytes one compressed byte can hold: gzip 1032 (a match of 258 in two
 * bits), Snappy 64 in 3, zstd a block of 128 KiB in 4. */
static const struct {
  const char *name;
  const char *(*body)(const unsigned char *, size_t, unsigned char *, size_t);
  unsigned most;
} codec_table[] = {
    {"none", copy, 1},
#ifdef HAVE_SNAPPY
    {"Snappy", unsnappy, 32},
#else
    {"Snappy", NULL, 1},
#endif
    {"gzip", gunzip, 1040},     {"LZO", NULL, 1},
    {"Brotli", NULL, 1},        {"LZ4", NULL, 1},
#ifdef HAVE_ZSTD
    {"zstd", unzstd, 1u << 15},
#else
    {"zstd", NULL, 1},
#endif
    {"LZ4_RAW", NULL, 1},
};

const char *
hy_pq_codec_name(int codec, int *readable)
{
  if (codec < 0 || codec >= (int)(sizeof codec_table / sizeof *codec_table))
    return NULL;
  *readable = codec_table[codec].body != NULL;
  return codec_table[codec].name;
}

uint64_t
hy_pq_codec_most(int codec, uint64_t n)
{
  return (n + 64) * codec_table[codec].most; /* n < 2^31 */
}

const char *
hy_pq_decompress(int codec, const unsigned char *in, size_t n,
                 unsigned char *out, size_t want)
{
  return codec_table[codec].body(in, n, out, want);
}
