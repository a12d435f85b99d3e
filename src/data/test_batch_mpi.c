/* The packed file and the loader on any number of ranks: same bytes, same
 * rows, same denominators, borders where a naive loop puts them. */
#include "base/err.h"
#include "base/file.h"
#include "data/batch.h"
#include "data/rows.h"
#include "data/test_pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define N_AHEAD 3

static hy_comm world, self;
static stream s;
static char *path;

static hy_deck_data
deck(int64_t global_batch, int64_t micro_batch, int shuffle)
{
  hy_deck_data d = {.global_batch = global_batch,
                    .micro_batch = micro_batch,
                    .shuffle = shuffle};

  return d;
}

/* A loader of one source. */
static int
open_one(hy_loader **l, const char *source, const hy_deck_data *d,
         int64_t vocab, int n_ahead, const hy_comm *comm)
{
  hy_deck_data k = *d;
  int err;

  if (*source)
    hy_mix_add(&k.train, 1, source);
  err = hy_loader_new(l, HY_PART_TRAIN, &k, vocab, n_ahead, 7, comm, NULL);
  hy_mix_clear(&k.train);
  return err;
}

static void
write_stream(int weights)
{
  char hash[HY_SHA_HEX], alone[HY_SHA_HEX];
  char *one = hy_asprintf("%s.one.%d", path, world.rank);
  char sum[2][HY_SHA_HEX];

  assert_int_equal(stream_write(&s, path, weights, &world, hash), HY_OK);
  assert_int_equal(stream_write(&s, one, weights, &self, alone), HY_OK);
  assert_string_equal(hash, alone);
  assert_int_equal(hy_sha256_file(path, sum[0]), HY_OK);
  assert_int_equal(hy_sha256_file(one, sum[1]), HY_OK);
  assert_string_equal(sum[0], sum[1]);
  unlink(one);
  free(one);
}

static void
check_row(const hy_packed *p, int64_t row, int weights)
{
  int32_t token[SEQ_LEN], target[SEQ_LEN], start[SEQ_LEN];
  float weight[SEQ_LEN];
  uint8_t pad[SEQ_LEN];
  hy_row r = {token, target, weight, start, pad, 0, 0};
  int64_t first = row * SEQ_LEN, n_docs = 0;

  assert_int_equal(hy_packed_row(p, row, &r), HY_OK);
  for (int64_t t = 0; t < SEQ_LEN; t++) {
    int64_t i = first + t, u = t;
    int real = i < s.n, next = i + 1 < s.n && s.doc[i + 1] == s.doc[i];

    assert_int_equal(pad[t], !real);
    assert_int_equal(token[t], real ? s.token[i] : 0);
    assert_int_equal(target[t], real && next ? s.token[i + 1] : 0);
    assert_true(weight[t] == (!real || !next ? 0
                              : weights      ? s.weight[i + 1]
                                             : 1));
    while (real && u > 0 && s.doc[first + u - 1] == s.doc[i])
      u--;
    assert_int_equal(start[t], u);
    n_docs += real && u == t;
  }
  assert_int_equal(r.n_docs, n_docs);
  assert_int_equal(r.n_real, s.n - first < SEQ_LEN ? s.n - first : SEQ_LEN);
}

static void
test_rows(void **state)
{
  hy_packed *p;

  (void)state;
  for (int weights = 0; weights < 2; weights++) {
    write_stream(weights);
    assert_int_equal(hy_packed_open(&p, path, &world), HY_OK);
    assert_int_equal(hy_packed_n_rows(p), (s.n + SEQ_LEN - 1) / SEQ_LEN);
    assert_int_equal(hy_packed_n_docs(p), N_DOCS);
    for (int64_t row = 0; row < hy_packed_n_rows(p); row++)
      check_row(p, row, weights);
    hy_packed_free(p);
  }
}

static void
check_ahead(const hy_batch *b)
{
  for (int k = 1; k <= N_AHEAD; k++)
    for (int64_t t = 0; t < b->n_tokens; t++) {
      int same = t + k < b->n_tokens;

      for (int64_t u = t + 1; same && u <= t + k; u++)
        same = b->seq_start[u] == b->seq_start[t];
      assert_int_equal(b->ahead[k - 1].token[t], same ? b->token[t + k] : 0);
      assert_int_equal(b->ahead[k - 1].target[t], same ? b->target[t + k] : 0);
      assert_true(b->ahead[k - 1].weight[t] == (same ? b->weight[t + k] : 0));
    }
}

/* All rows of the choice one after another, from all ranks of comm. */
typedef struct {
  int32_t token[64 * SEQ_LEN], target[64 * SEQ_LEN];
  int64_t n;
  double denom[N_AHEAD + 3], seen[N_AHEAD + 3];
} rows;

static void
collect(hy_loader *l, const hy_comm *comm, rows *out)
{
  static int32_t mine[2][64 * SEQ_LEN];
  int n = 0, count[64], at[64];
  double *seen = out->seen;
  hy_batch b;

  memset(out, 0, sizeof *out);
  for (int64_t i = 0; i < hy_loader_n_micro(l); i++) {
    assert_int_equal(hy_loader_micro(l, i, &b), HY_OK);
    check_ahead(&b);
    for (int64_t t = 0; t < b.n_tokens; t++, n++) {
      mine[0][n] = b.token[t];
      mine[1][n] = b.target[t];
      for (int k = 0; k < N_AHEAD; k++)
        seen[k] += (double)b.ahead[k].weight[t];
      seen[N_AHEAD] += (double)b.weight[t];
      seen[N_AHEAD + 1] += !b.pad[t] && b.seq_start[t] == t;
      seen[N_AHEAD + 2] += !b.pad[t];
    }
  }
  memcpy(out->denom, b.n_ahead_target, N_AHEAD * sizeof(double));
  out->denom[N_AHEAD] = b.n_target;
  out->denom[N_AHEAD + 1] = b.n_docs;
  out->denom[N_AHEAD + 2] = b.n_real;
  MPI_Allreduce(MPI_IN_PLACE, seen, N_AHEAD + 3, MPI_DOUBLE, MPI_SUM,
                comm->mpi);
  MPI_Allgather(&n, 1, MPI_INT, count, 1, MPI_INT, comm->mpi);
  for (int r = 0; r < comm->size; r++) {
    at[r] = (int)out->n;
    out->n += count[r];
  }
  MPI_Allgatherv(mine[0], n, MPI_INT, out->token, count, at, MPI_INT,
                 comm->mpi);
  MPI_Allgatherv(mine[1], n, MPI_INT, out->target, count, at, MPI_INT,
                 comm->mpi);
}

/* The same choice by one rank alone and by all together. */
static void
same_choice(const char *source, hy_deck_data d, int64_t step, int64_t first,
            int64_t n)
{
  static rows one, all;
  hy_loader *a, *b;

  if (!strcmp(source, "mock"))
    d.seq_len = SEQ_LEN;
  d.prefetch = 2;
  d.balance = 0;
  assert_int_equal(open_one(&a, source, &d, VOCAB, N_AHEAD, &self), 0);
  d.prefetch = step % 3;
  assert_int_equal(open_one(&b, source, &d, VOCAB, N_AHEAD, &world), 0);
  if (n) {
    assert_int_equal(hy_loader_rows(a, first, n), HY_OK);
    assert_int_equal(hy_loader_rows(b, first, n), HY_OK);
  } else {
    assert_int_equal(hy_loader_step(a, step), HY_OK);
    assert_int_equal(hy_loader_step(b, step), HY_OK);
  }
  collect(a, &self, &one);
  collect(b, &world, &all);
  assert_int_equal(one.n, (n ? n : d.global_batch) * SEQ_LEN);
  assert_int_equal(one.n, all.n);
  assert_memory_equal(one.token, all.token, (size_t)one.n * 4);
  assert_memory_equal(one.target, all.target, (size_t)one.n * 4);
  assert_memory_equal(one.denom, all.denom, sizeof one.denom);
  assert_memory_equal(one.denom, all.seen, sizeof one.denom);
  hy_loader_free(a);
  hy_loader_free(b);
}

static void
test_layouts(void **state)
{
  (void)state;
  write_stream(1);
  for (int64_t step = 0; step < 12; step++) {
    same_choice(path, deck(7, 2, 1), step, 0, 0);
    same_choice(path, deck(3, 1, 0), step, 0, 0);
    same_choice("mock", deck(5, 3, 1), step, 0, 0);
  }
  same_choice(path, deck(4, 2, 1), 0, 3, 11);
  same_choice(path, deck(4, 2, 1), 0, 0, 1);
}

/* An epoch visits each row once, in another order than the one before. */
static void
test_epochs(void **state)
{
  hy_deck_data d = deck(1, 1, 1);
  hy_loader *l;
  hy_batch b;
  int64_t n_rows, sum[2] = {0, 0}, moved = 0;
  int32_t *order;

  (void)state;
  assert_int_equal(open_one(&l, path, &d, VOCAB, 0, &self), HY_OK);
  n_rows = hy_loader_n_rows(l);
  order = hy_calloc((size_t)n_rows, 4);
  for (int64_t step = 0; step < 2 * n_rows; step++) {
    int64_t epoch = step / n_rows, h = 0;

    hy_loader_step(l, step);
    hy_loader_micro(l, 0, &b);
    for (int64_t t = 0; t < SEQ_LEN; t++)
      h = (h * 31 + b.token[t]) % 1000003;
    sum[epoch] += h;
    moved += epoch && order[step % n_rows] != h;
    order[step % n_rows] = (int32_t)h;
  }
  assert_int_equal(sum[0], sum[1]);
  assert_true(moved > n_rows / 2);
  free(order);
  hy_loader_free(l);
}

/* Every n is permuted, and another key gives another order. */
static void
test_shuffled(void **state)
{
  char seen[700];

  (void)state;
  for (int64_t n = 1; n <= 700; n += n < 70 ? 1 : 63) {
    int64_t same = 0;

    memset(seen, 0, sizeof seen);
    for (int64_t i = 0; i < n; i++) {
      int64_t x = hy_shuffled(99, i, n);

      assert_in_range(x, 0, n - 1);
      assert_int_equal(seen[x]++, 0);
      same += x == hy_shuffled(98, i, n);
    }
    assert_true(n < 20 || same < n / 2);
  }
}

/* The cost of a row is that of its documents; an epoch has another order. */
static void
test_sources(void **state)
{
  static const char *const source[] = {"mock", NULL};
  int32_t token[SEQ_LEN], target[SEQ_LEN], start[SEQ_LEN];
  float weight[SEQ_LEN];
  uint8_t pad[SEQ_LEN];
  hy_row out = {token, target, weight, start, pad, 0, 0};
  hy_rows_keys keys = {
      .seq_len = SEQ_LEN, .vocab = VOCAB, .seed = 7, .shuffle = 1, .to = 1};

  (void)state;
  for (int k = 0; k < 2; k++) {
    hy_rows *r;

    assert_int_equal(
        hy_rows_open(&r, source[k] ? source[k] : path, &keys, &world), HY_OK);
    for (int64_t epoch = -1; epoch < 2; epoch++)
      for (int64_t i = 0; i < 20; i++) {
        double pairs = 0;

        assert_int_equal(r->type->row(r, epoch, i, &out), HY_OK);
        for (int64_t t = 0; t < out.n_real; t++)
          pairs += 2.0 * (double)(t - start[t]) + 1;
        assert_true(r->type->pairs(r, epoch, i) == pairs);
      }
    hy_rows_free(r);
  }
}

/* Of a document nothing is seen but its own tokens: with all others changed,
 * its columns and borders stay, and so does what is padding, also where a
 * token has the number that fills it. */
static void
test_neighbours(void **state)
{
  static stream poisoned;
  char hash[HY_SHA_HEX], *name = scratch("test_batch_poison.h5");
  int32_t token[2][SEQ_LEN], target[2][SEQ_LEN], start[2][SEQ_LEN];
  float weight[2][SEQ_LEN];
  uint8_t pad[2][SEQ_LEN];
  hy_row r[2];
  hy_packed *p[2];

  (void)state;
  poisoned = s;
  for (int64_t i = 0; i < s.n; i++)
    poisoned.token[i] = s.doc[i] % 2 ? s.token[i] : 0;
  assert_int_equal(stream_write(&poisoned, name, 1, &world, hash), HY_OK);
  write_stream(1);
  assert_int_equal(hy_packed_open(&p[0], path, &world), HY_OK);
  assert_int_equal(hy_packed_open(&p[1], name, &world), HY_OK);
  for (int k = 0; k < 2; k++)
    r[k] = (hy_row){token[k], target[k], weight[k], start[k], pad[k], 0, 0};
  for (int64_t row = 0; row < hy_packed_n_rows(p[0]); row++) {
    for (int k = 0; k < 2; k++)
      assert_int_equal(hy_packed_row(p[k], row, &r[k]), HY_OK);
    assert_memory_equal(start[0], start[1], sizeof start[0]);
    assert_memory_equal(weight[0], weight[1], sizeof weight[0]);
    assert_memory_equal(pad[0], pad[1], sizeof pad[0]);
    for (int64_t t = 0; t < r[0].n_real; t++)
      if (s.doc[row * SEQ_LEN + t] % 2) {
        assert_int_equal(token[0][t], token[1][t]);
        assert_int_equal(target[0][t], target[1][t]);
      } else
        assert_int_equal(target[1][t], 0);
  }
  hy_packed_free(p[0]);
  hy_packed_free(p[1]);
  if (world.rank == 0)
    unlink(name);
  free(name);
}

static void
refused(const char *source, hy_deck_data d, int64_t vocab, int code,
        const char *word)
{
  hy_loader *l;

  hy_err_clear();
  assert_int_equal(open_one(&l, source, &d, vocab, 0, &world), code);
  assert_null(l);
  assert_non_null(strstr(hy_err_text(), word));
}

static void
test_errors(void **state)
{
  hy_deck_data d = deck(1, 1, 1);

  (void)state;
  refused("mock", d, VOCAB, HY_EDECK, "seq_len");
  refused("", d, VOCAB, HY_EDECK, "not set");
  refused("no/such/file.h5", d, VOCAB, HY_EFILE, "no/such/file.h5");
  refused(path, d, VOCAB - 1, HY_EDATA, "49");
  d.seq_len = 17;
  refused(path, d, VOCAB, HY_EDECK, "17");
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows),       cmocka_unit_test(test_layouts),
      cmocka_unit_test(test_epochs),     cmocka_unit_test(test_shuffled),
      cmocka_unit_test(test_neighbours), cmocka_unit_test(test_sources),
      cmocka_unit_test(test_errors)};
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  self = hy_comm_of(MPI_COMM_SELF);
  stream_make(&s);
  path = scratch("test_batch.h5");
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  if (world.rank == 0)
    unlink(path);
  free(path);
  MPI_Finalize();
  return bad != 0;
}
