/* Collectives that move data: uneven and empty ranges, several started at
 * once, pieces, dry communicators; as MPI messages and through a table.
 * Started on 1, 2 and 4 ranks, and built with a coll.c and comm.c that cut
 * messages into pieces of a few bytes. */
#include "grid/comm.h"
#include "grid/grid.h"
#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_RANKS = 16, N_CASES = 40 };

static hy_comm world; /* set once in main; with a meter */
static hy_meter counted;

/* ---- a table that waits for every group where it ends: what belongs together
 * and is not in one group never ends ---- */

static struct {
  int depth, n;
  MPI_Request req[4096];
} held;

static int flying; /* hy_pending.flight points here */

static void
held_begin(const hy_comm *comm)
{
  (void)comm;
  held.depth++;
}

static void
held_end(const hy_comm *comm)
{
  (void)comm;
  if (--held.depth == 0) {
    MPI_Waitall(held.n, held.req, MPI_STATUSES_IGNORE);
    held.n = 0;
  }
}

static MPI_Request *
held_next(hy_pending *p)
{
  assert_true(held.depth > 0 && held.n < 4096);
  p->flight = &flying;
  return &held.req[held.n++];
}

static void
held_send(hy_pending *p, const hy_comm *comm, const void *data, size_t n,
          int to)
{
  assert_true(n > 0);
  MPI_Issend(data, (int)n, MPI_BYTE, to, 5, comm->mpi, held_next(p));
}

static void
held_recv(hy_pending *p, const hy_comm *comm, void *data, size_t n, int from)
{
  assert_true(n > 0);
  MPI_Irecv(data, (int)n, MPI_BYTE, from, 5, comm->mpi, held_next(p));
}

static void
held_wait(hy_pending *p)
{
  p->flight = NULL;
}

static void
held_copy(void *to, const void *from, size_t bytes)
{
  memmove(to, from, bytes);
}

static void
held_sum(void *out, const void *part, hy_fmt fmt, int64_t n, int n_part,
         int more)
{
  assert_false(more);
  for (int64_t i = 0; i < n; i++) {
    float sum, x;

    hy_to_f32(&sum, hy_at(part, fmt, i), fmt, 1);
    for (int k = 1; k < n_part; k++) {
      hy_to_f32(&x, hy_at(part, fmt, k * n + i), fmt, 1);
      sum += x;
    }
    hy_from_f32(hy_at(out, fmt, i), &sum, fmt, 1);
  }
}

static const hy_coll held_coll = {.name = "held",
                                  .begin = held_begin,
                                  .end = held_end,
                                  .send = held_send,
                                  .recv = held_recv,
                                  .wait = held_wait,
                                  .copy = held_copy,
                                  .sum = held_sum};

/* Number `at` of case `seed`, below n; the same on every rank. */
static int64_t
draw(int seed, int at, int64_t n)
{
  uint64_t key = hy_rng_key((uint64_t)seed, "coll");

  return (int64_t)(hy_rng_u64(key, (uint64_t)at) % (uint64_t)n);
}

/* A range for each rank: about a third are empty, others up to `most`. */
static void
ranges(int seed, int64_t most, int64_t *at)
{
  at[0] = 0;
  for (int r = 0; r < world.size; r++) {
    int64_t n = draw(seed, 2 * r, 3) ? draw(seed, 2 * r + 1, most) : 0;

    at[r + 1] = at[r] + n;
  }
}

/* What rank `from` has for rank `to` as element i; sums show their order. */
static float
value(int from, int to, int64_t i)
{
  double scale = i % 3 == 0 ? 1e6 : i % 3 == 1 ? 1 : 1e-6;

  return (float)((1 + from * 7.3 + to * 0.31 + (double)i * 0.017) * scale);
}

/* The world as a communicator that only counts. */
static hy_comm
dry(hy_meter *meter)
{
  return (hy_comm){.mpi = MPI_COMM_NULL,
                   .rank = world.rank,
                   .size = world.size,
                   .axis = world.axis,
                   .meter = meter};
}

/* Bytes counted for the axis since `before`, and those of a dry call. */
static void
check_counts(double before, const hy_meter *dry_meter)
{
  assert_true(counted.sent[world.axis] - before == dry_meter->sent[world.axis]);
}

static void
test_all_gather(void **state)
{
  (void)state;
  for (int seed = 0; seed < N_CASES; seed++) {
    int64_t at[MAX_RANKS + 1];
    hy_meter m = {0};
    hy_comm only = dry(&m);
    double before = counted.sent[world.axis];
    float *x;

    ranges(seed, 60, at);
    x = hy_malloc((size_t)(at[world.size] + 1) * sizeof *x);
    for (int64_t i = 0; i < at[world.size]; i++)
      x[i] = -1;
    for (int64_t i = at[world.rank]; i < at[world.rank + 1]; i++)
      x[i] = value(world.rank, 0, i);
    hy_all_gather(&world, x, at, sizeof *x);
    for (int r = 0; r < world.size; r++)
      for (int64_t i = at[r]; i < at[r + 1]; i++)
        assert_true(x[i] == value(r, 0, i));
    if (world.size > 1)
      hy_all_gather(&only, NULL, at, sizeof *x);
    check_counts(before, &m);
    assert_true(counted.sent[world.axis] - before ==
                4. * (double)(at[world.rank + 1] - at[world.rank]) *
                    (world.size - 1));
    free(x);
  }
}

/* Rank r sends n(r, to) elements to each rank: both ends know that table. */
static void
table(int seed, int64_t *send_at, int64_t *recv_at)
{
  send_at[0] = recv_at[0] = 0;
  for (int r = 0; r < world.size; r++) {
    int out = world.rank * MAX_RANKS + r, in = r * MAX_RANKS + world.rank;

    send_at[r + 1] =
        send_at[r] + (draw(seed, 2 * out, 3) ? draw(seed, 2 * out + 1, 50) : 0);
    recv_at[r + 1] =
        recv_at[r] + (draw(seed, 2 * in, 3) ? draw(seed, 2 * in + 1, 50) : 0);
  }
}

static void
test_all_to_all(void **state)
{
  (void)state;
  for (int seed = 0; seed < N_CASES; seed++) {
    int64_t send_at[MAX_RANKS + 1], recv_at[MAX_RANKS + 1];
    hy_meter m = {0};
    hy_comm only = dry(&m);
    double before = counted.sent[world.axis];
    float *send, *recv;

    table(seed, send_at, recv_at);
    send = hy_malloc((size_t)(send_at[world.size] + 1) * sizeof *send);
    recv = hy_malloc((size_t)(recv_at[world.size] + 1) * sizeof *recv);
    for (int r = 0; r < world.size; r++)
      for (int64_t i = send_at[r]; i < send_at[r + 1]; i++)
        send[i] = value(world.rank, r, i - send_at[r]);
    hy_all_to_all(&world, send, send_at, recv, recv_at, sizeof *send);
    for (int r = 0; r < world.size; r++)
      for (int64_t i = recv_at[r]; i < recv_at[r + 1]; i++)
        assert_true(recv[i] == value(r, world.rank, i - recv_at[r]));
    if (world.size > 1)
      hy_all_to_all(&only, NULL, send_at, NULL, recv_at, sizeof *send);
    check_counts(before, &m);
    free(send);
    free(recv);
  }
}

/* In rank order for every element; in place and apart. */
static void
check_reduce_scatter(int seed, int in_place)
{
  int64_t at[MAX_RANKS + 1], n;
  hy_meter m = {0};
  hy_comm only = dry(&m);
  double before = counted.sent[world.axis];
  float *x, *own, *scratch;

  ranges(seed, 60, at);
  n = at[world.rank + 1] - at[world.rank];
  x = hy_malloc((size_t)(at[world.size] + 1) * sizeof *x);
  own =
      in_place ? x + at[world.rank] : hy_malloc((size_t)(n + 1) * sizeof *own);
  scratch = hy_malloc((size_t)(n * world.size + 1) * sizeof *scratch);
  for (int64_t i = 0; i < at[world.size]; i++)
    x[i] = value(world.rank, 0, i);
  hy_reduce_scatter(&world, x, at, own, HY_F32, scratch);
  for (int64_t i = 0; i < n; i++) {
    float want = value(0, 0, at[world.rank] + i);

    for (int r = 1; r < world.size; r++)
      want += value(r, 0, at[world.rank] + i);
    assert_memory_equal(&own[i], &want, sizeof want);
  }
  if (world.size > 1)
    hy_reduce_scatter(&only, NULL, at, NULL, HY_F32, NULL);
  check_counts(before, &m);
  if (!in_place)
    free(own);
  free(x);
  free(scratch);
}

static void
test_reduce_scatter(void **state)
{
  (void)state;
  for (int seed = 0; seed < N_CASES; seed++) {
    check_reduce_scatter(seed, 0);
    check_reduce_scatter(seed, 1);
  }
}

/* Round the ring, one way and the other; nobody at the ends. */
static void
test_exchange(void **state)
{
  int next = (world.rank + 1) % world.size;
  int last = (world.rank + world.size - 1) % world.size;
  int up = world.rank + 1 < world.size ? world.rank + 1 : -1;
  char out[100], in[100];

  (void)state;
  if (world.size == 1)
    next = last = -1;
  for (size_t n = 0; n < sizeof in; n += 33) {
    memset(out, 'a' + world.rank, n);
    memset(in, '.', sizeof in);
    hy_exchange(&world, out, n, next, in, n, last);
    for (size_t i = 0; i < n; i++)
      assert_int_equal(in[i], last < 0 ? '.' : 'a' + last);
    memset(in, '.', sizeof in);
    hy_exchange(&world, out, n, up, in, n, world.rank - 1);
    for (size_t i = 0; i < n; i++)
      assert_int_equal(in[i], world.rank ? 'a' + world.rank - 1 : '.');
  }
}

/* Three kinds under way on one handle, twice, then one wait. */
static void
test_several(void **state)
{
  enum { MOST = 600 };
  int64_t at[MAX_RANKS + 1];
  hy_pending p = {0};
  float *x = hy_malloc(MOST * sizeof *x), *y = hy_malloc(MOST * sizeof *y);
  float *scratch = hy_malloc(MOST * MAX_RANKS * sizeof *scratch);
  char out = (char)world.rank, in = -1;
  int next = (world.rank + 1) % world.size;
  int last = (world.rank + world.size - 1) % world.size;

  (void)state;
  for (int seed = 0; seed < N_CASES; seed++) {
    ranges(seed, MOST / MAX_RANKS, at);
    for (int64_t i = 0; i < at[world.size]; i++) {
      x[i] = value(world.rank, 0, i);
      y[i] = value(world.rank, 1, i);
    }
    hy_reduce_scatter_start(&p, &world, x, at, HY_F32, scratch);
    if (world.size > 1) {
      hy_group_begin(&world);
      hy_recv_start(&p, &world, &in, 1, last);
      hy_send_start(&p, &world, &out, 1, next);
      hy_group_end(&world);
    }
    hy_all_gather_start(&p, &world, y, at, sizeof *y);
    hy_wait(&p);
    hy_wait(&p); /* nothing under way: nothing to do */
    hy_reduce_scatter_finish(&world, at, x + at[world.rank], HY_F32, scratch);
    for (int64_t i = at[world.rank]; i < at[world.rank + 1]; i++) {
      float want = value(0, 0, i);

      for (int r = 1; r < world.size; r++)
        want += value(r, 0, i);
      assert_memory_equal(&x[i], &want, sizeof want);
    }
    for (int r = 0; r < world.size; r++)
      for (int64_t i = at[r]; i < at[r + 1]; i++)
        assert_true(y[i] == value(r, 1, i));
    assert_true(world.size == 1 || in == last);
  }
  hy_pending_free(&p);
  free(x);
  free(y);
  free(scratch);
}

/* Few and many numbers, fewer than ranks, whole lines and not. */
static void
check_sum(hy_fmt fmt, int64_t n)
{
  int64_t room = (int64_t)hy_sum_room(&world, (size_t)n);
  void *x = hy_calloc(1, hy_bytes(fmt, n)), *scratch;
  hy_meter m = {0};
  hy_comm only = dry(&m);
  double before = counted.sent[world.axis];

  scratch = hy_calloc(1, hy_bytes(fmt, room));
  for (int64_t i = 0; i < n; i++) {
    float v = value(world.rank, 2, i);

    hy_from_f32(hy_at(x, fmt, i), &v, fmt, 1);
  }
  hy_sum(&world, x, scratch, fmt, (size_t)n);
  for (int64_t i = 0; i < n; i++) {
    uint16_t half;
    float want = 0;

    for (int r = 0; r < world.size; r++) {
      float v = value(r, 2, i);

      v = fmt == HY_F32 ? v : hy_bf16_to_f32(hy_f32_to_bf16(v));
      want = r ? want + v : v;
    }
    half = hy_f32_to_bf16(want);
    assert_memory_equal(hy_at(x, fmt, i),
                        fmt == HY_F32 ? (void *)&want : (void *)&half,
                        hy_bytes(fmt, 1));
  }
  if (world.size > 1)
    hy_sum(&only, NULL, NULL, fmt, (size_t)n);
  check_counts(before, &m);
  free(x);
  free(scratch);
}

static void
test_sum(void **state)
{
  static const int64_t n[] = {0, 1, 3, 5, 31, 64, 127, 128, 129, 777, 1024};

  (void)state;
  for (size_t i = 0; i < sizeof n / sizeof *n; i++) {
    check_sum(HY_F32, n[i]);
    if (world.coll)
      check_sum(HY_BF16, n[i]);
  }
}

/* Many pieces each: more messages than a handle without heap holds. */
static void
test_pieces(void **state)
{
  enum { N = 3001 };
  int64_t at[MAX_RANKS + 1] = {0};
  float *x = hy_malloc(N * sizeof *x);
  char *text = hy_malloc(N);

  (void)state;
  for (int r = 0; r < world.size; r++)
    at[r + 1] = (int64_t)N * (r + 1) / world.size;
  for (int64_t i = 0; i < N; i++)
    x[i] = at[world.rank] <= i && i < at[world.rank + 1] ? value(9, 9, i) : 0;
  hy_all_gather(&world, x, at, sizeof *x);
  for (int64_t i = 0; i < N; i++)
    assert_true(x[i] == value(9, 9, i));
  for (int i = 0; i < N; i++)
    text[i] = world.rank == 0 ? (char)(i % 127) : 0;
  hy_bcast(&world, text, N, 0);
  for (int i = 0; i < N; i++)
    assert_int_equal(text[i], i % 127);
  free(x);
  free(text);
}

/* Sums and agreement count the same bytes dry as for real. */
static void
test_dry(void **state)
{
  hy_meter m = {0};
  hy_comm only = dry(&m);
  double before = counted.sent[world.axis], d[3] = {1, 2, 3};
  float x[777] = {0}, scratch[777];
  int64_t k[2] = {0};
  const hy_comm *comm[2] = {&world, &only};

  (void)state;
  for (int i = 0; i < 2; i++) {
    hy_sum_f32(comm[i], x, scratch, 777);
    hy_sum_f64(comm[i], d, 3);
    hy_sum_i64(comm[i], k, 2);
    hy_max_i64(comm[i], 5);
    hy_agree(comm[i], 0);
    hy_bcast(comm[i], x, sizeof x, world.size - 1);
    if (world.size > 1)
      hy_exchange(comm[i], x, 12, (world.rank + 1) % world.size, scratch, 12,
                  (world.rank + world.size - 1) % world.size);
  }
  check_counts(before, &m);
}

/* What a watching thread reads: no call while none is made, and a number
 * that rises with each. */
static void
test_meter(void **state)
{
  int64_t seq = counted.seq;

  (void)state;
  hy_max_i64(&world, 1);
  assert_false(counted.inside);
  assert_true(world.size == 1 || counted.seq == seq + 1);
  assert_true(world.size == 1 || !strcmp(counted.what, "max"));
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_all_gather),     cmocka_unit_test(test_all_to_all),
      cmocka_unit_test(test_reduce_scatter), cmocka_unit_test(test_exchange),
      cmocka_unit_test(test_several),        cmocka_unit_test(test_sum),
      cmocka_unit_test(test_pieces),         cmocka_unit_test(test_dry),
      cmocka_unit_test(test_meter)};
  int failed;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  world.axis = HY_AXIS_CP;
  world.meter = &counted;
  failed = cmocka_run_group_tests(test, NULL, NULL);
  world.coll = &held_coll;
  failed += cmocka_run_group_tests_name("table", test, NULL, NULL);
  MPI_Finalize();
  return failed;
}
