/* test_mem.c: memory of the GPU: cleared, copied onto itself, loaded while the
 * stream is behind, addresses that get memory as they are used. Streams of the
 * shim run as late as they may. */
#include "cpu/test_op.h"
#include "base/err.h"
#include "gpu/gpu.h"

#include <unistd.h>

static const hy_mem *const mem = &gpu_mem;

static unsigned char
byte(size_t i)
{
  return (unsigned char)(i * 2654435761u >> 13);
}

static unsigned char *
bytes_of(size_t n)
{
  unsigned char *p = test_alloc(n, 1);

  for (size_t i = 0; i < n; i++)
    p[i] = byte(i);
  return p;
}

static void
test_cleared(void **state)
{
  unsigned char got[1000], *host = mem->get_host(1000), *p = mem->get(1000);

  (void)state;
  mem->read(got, p, sizeof got);
  for (int i = 0; i < 1000; i++)
    assert_true(got[i] == 0 && host[i] == 0);
  mem->put(p);
  mem->put_host(host);
}

/* n bytes from one place to another of the same memory. */
static void
check_move(size_t n, size_t from, size_t to)
{
  size_t all = n + (from > to ? from : to);
  unsigned char *want = bytes_of(all), *got = test_alloc(all, 1);
  unsigned char *p = mem->get(all);

  mem->load(p, want, all);
  mem->copy(p + to, p + from, n);
  memmove(want + to, want + from, n);
  mem->read(got, p, all);
  assert_memory_equal(got, want, all);
  mem->put(p);
  test_release();
}

static void
test_moved(void **state)
{
  const size_t big = (size_t)20 << 20;

  (void)state;
  check_move(5000, 0, 5000);
  check_move(5000, 7, 0);
  check_move(5000, 0, 7);
  check_move(5000, 3, 3);
  check_move(big, 1 << 12, 0); /* twice, in pieces */
  check_move(big, 0, 1 << 12);
  check_move(big, 9 << 20, 0); /* in pieces */
  check_move(big, 0, 9 << 20);
}

static void
test_rows_moved(void **state)
{
  unsigned char *want = bytes_of(7 * 40), *x = bytes_of(7 * 30);
  unsigned char *p = mem->get(7 * 40), *q = mem->get(7 * 30), got[7 * 40];

  (void)state;
  mem->load(p, want, 7 * 40);
  mem->load(q, x, 7 * 30);
  mem->copy_rows(p + 3, 40, q, 30, 25, 7);
  mem->zero(p, 2);
  mem->zero_rows(p + 31, 40, 5, 7);
  for (int r = 0; r < 7; r++) {
    memcpy(want + r * 40 + 3, x + r * 30, 25);
    memset(want + r * 40 + 31, 0, 5);
  }
  memset(want, 0, 2);
  mem->read(got, p, sizeof got);
  assert_memory_equal(got, want, sizeof got);
  mem->put(p);
  mem->put(q);
  test_release();
}

/* Many small loads, more bytes than can be under way, some that wait. */
static size_t
load_size(int i)
{
  return i < 200            ? (size_t)(i * i % 5000)
         : i < 260 || i % 7 ? (size_t)(700000 + 4999 * i)
                            : (size_t)5 << 20;
}

/* The host's memory changes at once after each load. */
static void
test_load(void **state)
{
  enum { N = 280 };
  size_t most = (size_t)5 << 20, at[N + 1] = {0};
  unsigned char *host, *p, *got;

  (void)state;
  for (int i = 0; i < N; i++)
    at[i + 1] = at[i] + load_size(i);
  host = test_alloc(most, 1);
  got = test_alloc(at[N], 1);
  p = mem->get(at[N]);
  for (int i = 0; i < N; i++) {
    for (size_t k = 0; k < at[i + 1] - at[i]; k++)
      host[k] = byte(at[i] + k);
    mem->load(p + at[i], host, at[i + 1] - at[i]);
    memset(host, 0xee, most);
  }
  mem->read(got, p, at[N]);
  for (size_t k = 0; k < at[N]; k++)
    if (got[k] != byte(k))
      fail_msg("byte %zu of %zu", k, at[N]);
  mem->put(p);
  test_release();
  gpu_mem_end(); /* and again */
  p = mem->get(4);
  mem->load(p, "ab", 3);
  mem->read(got = test_alloc(4, 1), p, 4);
  assert_string_equal((char *)got, "ab");
  mem->put(p);
  test_release();
}

static size_t
memory_left(void)
{
  size_t left, all;

  mem->wait();
  assert_int_equal(cudaMemGetInfo(&left, &all), cudaSuccess);
  return left;
}

static void
check_bytes(unsigned char *p, size_t n)
{
  unsigned char *want = bytes_of(n), *got = test_alloc(n, 1);

  mem->load(p, want, n);
  mem->read(got, p, n);
  assert_memory_equal(got, want, n);
  test_release();
}

/* Far more addresses than there is memory. */
static void
test_space(void **state)
{
  const hy_space *s = mem->space;
  size_t most = (size_t)1 << 40, there, more, left = memory_left();
  unsigned char *p = s->reserve(most), *q;

  (void)state;
  assert_non_null(p);
  there = s->commit(p, 0, 5 << 20);
  assert_true(there >= 5 << 20 && there <= 8 << 20);
  check_bytes(p, 5 << 20);
  q = s->reserve(most);
  assert_non_null(q);
  assert_true(s->commit(q, 0, 1) >= 1);
  check_bytes(q, 1);
  more = s->commit(p, there, there + 1);
  assert_true(more > there);
  check_bytes(p + there - 100, 200 < more - there ? 200 : more - there);
  assert_int_equal(s->commit(p, more, most), 0); /* there is not so much */
  assert_true(left - memory_left() >= more);
  assert_true(left - memory_left() <= more + (16 << 20));
  s->release(p, most);
  s->release(q, most);
  assert_true(memory_left() == left);
}

/* What an arena does with it. */
static void
test_arena(void **state)
{
  hy_arena a;
  char *p;

  (void)state;
  assert_int_equal(hy_arena_in(&a, "test", 0, (size_t)1 << 40, mem->space), 0);
  p = hy_arena_get(&a, 3 << 20);
  assert_ptr_equal(p, a.base);
  check_bytes((unsigned char *)p, 3 << 20);
  p = hy_arena_get(&a, (size_t)70 << 20);
  check_bytes((unsigned char *)p + (69 << 20), 1 << 20);
  hy_arena_free(&a);
  assert_int_equal(
      hy_arena_in(&a, "test", (size_t)1 << 40, (size_t)1 << 40, mem->space),
      HY_ERES);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_cleared),    cmocka_unit_test(test_moved),
      cmocka_unit_test(test_rows_moved), cmocka_unit_test(test_load),
      cmocka_unit_test(test_space),      cmocka_unit_test(test_arena),
  };
  int err;

  if (argc > 0 && setenv("HYMN_SHIM_LAZY", "1", 0) == 0 &&
      getenv("HYMN_TEST_MEM") == NULL) {
    setenv("HYMN_TEST_MEM", "1", 1); /* the shim reads it when it starts */
    execv(argv[0], argv);
  }
  err = cmocka_run_group_tests(test, NULL, NULL);
  gpu_mem_end();
  return err;
}
