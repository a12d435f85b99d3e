/* Text files, compressed or not: what comes out, and every place to cut them.
 */
#include "config.h"

#include "base/err.h"
#include "prep/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include <cmocka.h>

#include "test_files.h"

/* Every place to cut a compressed file is found. */
static void
torn(const char *name, const char *data, size_t n)
{
  for (size_t cut = 1; cut < n; cut++) {
    char *p = put(name, data, cut);
    int64_t bytes;

    hy_err_clear();
    assert_int_equal(hy_text_size(p, &bytes), HY_EFILE);
    drop(p);
  }
}

static void
test_torn(void **state)
{
  hy_buf b = {0};
  char *p = put_gz("t.txt.gz", "some text, some text, some text");

  (void)state;
  assert_int_equal(hy_file_read(p, &b), HY_OK);
  torn("t2.txt.gz", b.data, b.len);
  drop(p);
  free(b.data);
#ifdef HAVE_ZSTD
  {
    static const char text[] = "{\"a\":\"some text, some text\"}\n";
    char packed[256];
    size_t n = ZSTD_compress(packed, sizeof packed, text, sizeof text - 1, 3);

    assert_false(ZSTD_isError(n));
    torn("t.jsonl.zst", packed, n);
    packed[n / 2] ^= 1;
    torn("t.jsonl.zst", packed, n);
  }
#endif
}

#ifdef HAVE_ZSTD
/* Two frames, far larger than the buffers, in many reads. */
static void
test_zstd(void **state)
{
  size_t n = 5u << 20, room = ZSTD_compressBound(n), m;
  char *text = hy_malloc(n + 1), *packed = hy_malloc(2 * room), *p;
  hy_buf got = {0};

  (void)state;
  for (size_t i = 0; i < n; i++)
    text[i] = "abcdefgh"[i * i % 61 % 8];
  m = ZSTD_compress(packed, room, text, n / 2, 3);
  m += ZSTD_compress(packed + m, room, text + n / 2, n - n / 2, 3);
  p = put("a.txt.zst", packed, m);
  assert_int_equal(hy_text_read(p, &got), HY_OK);
  assert_int_equal(got.len, n);
  assert_memory_equal(got.data, text, n);
  free(got.data);
  free(text);
  free(packed);
  drop(p);
}
#endif

int
main(void)
{
  const struct CMUnitTest tests[] = {
#ifdef HAVE_ZSTD
      cmocka_unit_test(test_zstd),
#endif
      cmocka_unit_test(test_torn)};

  make_dir("test_stream");
  return drop_dir(cmocka_run_group_tests(tests, NULL, NULL));
}
