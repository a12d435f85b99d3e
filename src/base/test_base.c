/* Hashes, random numbers, memory and files against known values. */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/median.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/word.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void
check_sha(const char *text, size_t repeat, size_t cut, const char *want)
{
  char hex[HY_SHA_HEX];
  hy_sha256 s;
  size_t n = strlen(text);

  hy_sha256_init(&s);
  for (size_t i = 0; i < repeat; i++)
    for (size_t at = 0; at < n; at += cut)
      hy_sha256_add(&s, text + at, n - at < cut ? n - at : cut);
  hy_sha256_hex(&s, hex);
  assert_string_equal(hex, want);
}

/* Vectors of FIPS 180-4, fed in pieces of several sizes. */
static void
test_sha256(void **state)
{
  (void)state;
  check_sha("", 1, 1,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (size_t cut = 1; cut < 60; cut += 7) {
    check_sha(
        "abc", 1, cut,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check_sha(
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1, cut,
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  }
  check_sha("aaaaaaaaaa", 100000, 10,
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Known answers of Philox4x32-10: zeros as its authors publish it; the other
 * from an independent program that gives all their vectors. */
static void
test_philox(void **state)
{
  static const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c,
                                   0x9b00dbd8};
  static const uint32_t pi[4] = {0xe69c9c31, 0xb5a3d762, 0xe733bfc1,
                                 0x341a787c};
  uint32_t out[4];

  (void)state;
  hy_rng_u32x4(0, 0, out);
  assert_memory_equal(out, zero, sizeof zero);
  hy_rng_u32x4(0x299f31d0a4093822u, 0x85a308d3243f6a88u, out);
  assert_memory_equal(out, pi, sizeof pi);
}

static void
test_rng_moments(void **state)
{
  enum { N = 200000 };
  uint64_t key = hy_rng_key(1, "test");
  double sum = 0, square = 0, uniform = 0;

  (void)state;
  for (uint64_t i = 0; i < N; i++) {
    double x = hy_rng_normal(key, i), u = hy_rng_uniform(key, i);

    assert_true(u >= 0 && u < 1);
    sum += x;
    square += x * x;
    uniform += u;
  }
  /* five standard errors */
  assert_true(sum / N < 0.0112 && sum / N > -0.0112);
  assert_true(square / N < 1.0158 && square / N > 0.9842);
  assert_true(uniform / N < 0.5033 && uniform / N > 0.4967);
  assert_true(hy_rng_key(1, "a") != hy_rng_key(1, "b"));
  assert_true(hy_rng_key(1, "a") != hy_rng_key(2, "a"));
}

/* The checksum of a tensor does not depend on how it is cut. */
static void
test_checksum(void **state)
{
  enum { N = 1000 };
  uint32_t w[N];
  uint64_t whole, parts;

  (void)state;
  for (uint32_t i = 0; i < N; i++)
    w[i] = (uint32_t)hy_rng_u64(7, i);
  whole = hy_checksum(w, N, 5);
  for (size_t cut = 1; cut < N; cut = 3 * cut + 1) {
    parts = 0;
    for (size_t at = 0; at < N; at += cut)
      parts += hy_checksum(w + at, N - at < cut ? N - at : cut, 5 + at);
    assert_true(parts == whole);
  }
  w[17] ^= 1u << 30;
  assert_true(hy_checksum(w, N, 5) != whole);
  w[17] ^= 1u << 30;
  w[3] ^= w[900];
  w[900] ^= w[3];
  w[3] ^= w[900]; /* two elements change places */
  assert_true(hy_checksum(w, N, 5) != whole);
}

/* The newest piece gets shorter, no other. */
static void
shrink(hy_arena *a)
{
  size_t mark = a->used;
  void *p = hy_arena_get(a, 200), *q = hy_arena_get(a, 100);

  hy_arena_shrink(a, p, 200, 10);
  assert_true(a->used == mark + 256 + 128);
  hy_arena_shrink(a, q, 100, 10);
  assert_true(a->used == mark + 256 + 64);
  hy_arena_shrink(a, q, 10, 0);
  assert_true(a->used == mark + 256);
  hy_arena_release(a, mark);
}

static void
test_arena(void **state)
{
  hy_arena a, plan;
  size_t mark;
  char *p, *q;

  (void)state;
  assert_int_equal(hy_arena_new(&a, "test", 1000), HY_OK);
  hy_arena_plan(&plan, "plan");
  p = hy_arena_get(&a, 1);
  mark = a.used;
  q = hy_arena_get(&a, 65);
  assert_int_equal((size_t)p % HY_ALIGN, 0);
  assert_int_equal(q - p, HY_ALIGN);
  memset(q, 1, 65);
  hy_arena_release(&a, mark);
  assert_ptr_equal(hy_arena_get(&a, 10), q);
  hy_arena_get(&plan, 1);
  mark = plan.used;
  hy_arena_get(&plan, 65);
  hy_arena_release(&plan, mark);
  hy_arena_get(&plan, 10);
  shrink(&a);
  shrink(&plan);
  assert_int_equal(plan.peak, a.peak);
  assert_int_equal(plan.used, a.used);
  hy_arena_free(&a);
  hy_arena_free(&plan);
  assert_int_equal(hy_arena_new(&a, "test", hy_mem_physical() + 1), HY_ERES);
  hy_err_clear();
  assert_int_equal(hy_arena_limited(&a, "test", SIZE_MAX), HY_OK);
  assert_true(a.limited && a.size <= hy_mem_physical());
  *(char *)hy_arena_get(&a, a.size) = 1; /* addresses, not memory */
  hy_arena_free(&a);
}

static void
test_paths(void **state)
{
  char *s;

  (void)state;
  s = hy_path_join("a/b", "c");
  assert_string_equal(s, "a/b/c");
  free(s);
  s = hy_path_join("a/", "/c");
  assert_string_equal(s, "/c");
  free(s);
  s = hy_path_dir("a/b/c.nml");
  assert_string_equal(s, "a/b");
  free(s);
  s = hy_path_dir("c.nml");
  assert_string_equal(s, ".");
  free(s);
  assert_string_equal(hy_path_name("a/b/c.nml"), "c.nml");
  assert_string_equal(hy_path_name("c.nml"), "c.nml");
  assert_true(hy_path_ends("a.txt.gz", ".gz") && hy_path_ends(".gz", ".gz"));
  assert_false(hy_path_ends("gz", ".gz") || hy_path_ends("a.gz.txt", ".gz"));
}

static void
test_median(void **state)
{
  double odd[] = {3, -1, 2}, even[] = {4, 1, 3, 2};

  (void)state;
  assert_true(hy_median(odd, 3) == 2 && hy_median(even, 4) == 2.5);
}

static void
check_content(const char *path, const char *want)
{
  hy_buf b = {0};

  assert_int_equal(hy_file_read(path, &b), HY_OK);
  assert_string_equal(b.data, want);
  free(b.data);
}

/* A file is the old one or the new one, and nothing else is left. */
static void
test_file_write(void **state)
{
  char dir[] = "test_base_XXXXXX", path[64], tmp[128];

  (void)state;
  assert_non_null(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/f", dir);
  assert_int_equal(hy_file_write(path, "old", 3), HY_OK);
  check_content(path, "old");
  assert_int_equal(hy_file_write(path, "newer", 5), HY_OK);
  check_content(path, "newer");
  /* a folder in the way of the temporary: the old file stays */
  snprintf(tmp, sizeof tmp, "%s.tmp%ld", path, (long)getpid());
  assert_int_equal(hy_make_dirs(tmp), HY_OK);
  assert_int_equal(hy_file_write(path, "x", 1), HY_EFILE);
  assert_non_null(strstr(hy_err_text(), path));
  hy_err_clear();
  check_content(path, "newer");
  assert_int_equal(rmdir(tmp), 0);
  assert_int_equal(hy_file_write("no-such-folder/f", "x", 1), HY_EFILE);
  hy_err_clear();
  assert_int_equal(unlink(path), 0);
  assert_int_equal(rmdir(dir), 0); /* empty: no temporary is left */
}

static void
test_errors(void **state)
{
  (void)state;
  assert_int_equal(hy_fail(HY_EDATA, "first %d", 1), HY_EDATA);
  assert_int_equal(hy_fail(HY_EFILE, "second"), HY_EFILE);
  assert_string_equal(hy_err_text(), "first 1");
  hy_err_clear();
  assert_string_equal(hy_err_text(), "");
  hy_fail(HY_EDATA, "a\nb\x1b[2J\tc\x7f");
  assert_string_equal(hy_err_text(), "a?b?[2J?c?");
  hy_err_clear();
}

static void
test_words(void **state)
{
  (void)state;
  assert_int_equal(hy_word_distance("same", "same"), 0);
  assert_int_equal(hy_word_distance("smae", "same"), 1);
  assert_int_equal(hy_word_distance("sameq", "same"), 1);
  assert_int_equal(hy_word_distance("sam", "same"), 2);
  assert_int_equal(hy_word_distance("", "same"), 8);
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_sha256),      cmocka_unit_test(test_philox),
      cmocka_unit_test(test_rng_moments), cmocka_unit_test(test_checksum),
      cmocka_unit_test(test_arena),       cmocka_unit_test(test_paths),
      cmocka_unit_test(test_file_write),  cmocka_unit_test(test_errors),
      cmocka_unit_test(test_words),       cmocka_unit_test(test_median)};

  return cmocka_run_group_tests(test, NULL, NULL);
}
