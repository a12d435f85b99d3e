/* Mixes of sources: two phases, what is refused; rows dealt by cost and read
 * ahead. */
#include "base/err.h"
#include "data/batch.h"
#include "data/test_pack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define BATCH 6

static hy_comm world, self;
static stream all_docs;
static char *file[3]; /* packed: tokenizer A, A and B */
static hy_deck_data base;

/* ---- loaders ---- */

/* The first documents of the stream, by rank 0. */
static void
write_file(const char *path, int64_t n_docs, const char *tok_hash)
{
  hy_packed_head head = {.n_docs = n_docs,
                         .seq_len = SEQ_LEN,
                         .vocab = VOCAB,
                         .eos = -1,
                         .tok_hash = tok_hash};
  int64_t start[N_DOCS + 1] = {0}, row[N_DOCS * 40][2];
  char hash[HY_SHA_HEX];
  hy_packed_out *o;

  for (int64_t d = 0; d < n_docs; d++)
    start[d + 1] = start[d] + all_docs.doc_len[d];
  head.n_tokens = start[n_docs];
  for (int64_t i = 0; i < head.n_tokens; i += SEQ_LEN, head.n_rows++) {
    row[head.n_rows][0] = i;
    row[head.n_rows][1] =
        head.n_tokens - i < SEQ_LEN ? head.n_tokens - i : SEQ_LEN;
  }
  assert_int_equal(hy_packed_create(&o, path, &head, &world), HY_OK);
  if (world.rank == 0) {
    hy_packed_put_tokens(o, 0, head.n_tokens, all_docs.token, NULL);
    hy_packed_put_docs(o, 0, n_docs + 1, start);
    hy_packed_put_rows(o, 0, head.n_rows, row);
  }
  assert_int_equal(hy_packed_close(o, 0, hash), HY_OK);
}

static hy_loader *
loader(const hy_deck_data *d, const hy_comm *comm)
{
  hy_loader *l;

  if (hy_loader_new(&l, HY_PART_TRAIN, d, VOCAB, 1, 7, comm, NULL))
    fail_msg("%s", hy_err_text());
  return l;
}

/* A number for each row of the present choice, of all ranks, by value. */
static int
by_value(const void *a, const void *b)
{
  const int64_t *x = a, *y = b;

  return (*x > *y) - (*x < *y);
}

static void
row_values(hy_loader *l, const hy_comm *comm, int64_t out[BATCH])
{
  int64_t mine[BATCH];
  int n = 0, count[64], at[64], sum = 0;
  hy_batch b;

  for (int64_t i = 0; i < hy_loader_n_micro(l); i++) {
    assert_int_equal(hy_loader_micro(l, i, &b), HY_OK);
    for (int64_t r = 0; r < b.n_rows; r++, n++) {
      mine[n] = 0;
      for (int64_t t = r * SEQ_LEN; t < (r + 1) * SEQ_LEN; t++)
        mine[n] = (mine[n] * 131 + b.token[t] * 7 + b.target[t] +
                   (int64_t)b.weight[t] + b.ahead[0].target[t] + b.pad[t] +
                   b.seq_start[t] - r * SEQ_LEN) %
                  1000000007;
    }
  }
  MPI_Allgather(&n, 1, MPI_INT, count, 1, MPI_INT, comm->mpi);
  for (int r = 0; r < comm->size; r++) {
    at[r] = sum;
    sum += count[r];
  }
  assert_int_equal(sum, BATCH);
  MPI_Allgatherv(mine, n, MPI_INT64_T, out, count, at, MPI_INT64_T, comm->mpi);
  qsort(out, BATCH, sizeof *out, by_value);
}

/* Steps from..to-1 of two loaders have the same rows. */
static void
same_steps(const hy_deck_data *a, const hy_comm *of_a, const hy_deck_data *b,
           const hy_comm *of_b, int64_t from, int64_t to)
{
  hy_loader *x = loader(a, of_a), *y = loader(b, of_b);
  int64_t rows[2][BATCH];

  for (int64_t step = from; step < to; step++) {
    assert_int_equal(hy_loader_step(x, step), HY_OK);
    assert_int_equal(hy_loader_step(y, step), HY_OK);
    row_values(x, of_a, rows[0]);
    row_values(y, of_b, rows[1]);
    assert_memory_equal(rows[0], rows[1], sizeof rows[0]);
  }
  hy_loader_free(x);
  hy_loader_free(y);
}

/* Both phases: 3 to 1, from step 5 on 1 to 4 with mock rows between. */
static void
set_phases(hy_deck_data *d)
{
  *d = base;
  hy_mix_add(&d->train, 3, file[0]);
  hy_mix_add(&d->train, 1, file[1]);
  hy_mix_add(&d->train_2, 1, file[1]);
  hy_mix_add(&d->train_2, 1, "mock");
  hy_mix_add(&d->train_2, 4, file[0]);
  d->switch_tokens = 5 * BATCH * SEQ_LEN;
}

static void
clear(hy_deck_data *d)
{
  hy_mix_clear(&d->train);
  hy_mix_clear(&d->train_2);
}

static void
test_phases(void **state)
{
  hy_deck_data d;
  hy_loader *l;
  const hy_blend *b;
  int64_t next[3] = {0};

  (void)state;
  set_phases(&d);
  l = loader(&d, &world);
  b = hy_loader_blend(l);
  assert_int_equal(hy_blend_n_sources(b), 3);
  assert_int_equal(hy_blend_switch(b), 5 * BATCH);
  assert_true(hy_blend_share(b, 0, 0) == 0.75);
  assert_true(hy_blend_share(b, 1, 0) == 4.0 / 6);
  assert_true(hy_blend_share(b, 0, 2) == 0);
  for (int64_t i = 0; i < 200; i++) {
    hy_blend_row at = hy_blend_at(b, i);

    assert_int_equal(at.row, next[at.source]++); /* also over the switch */
    assert_true(i >= 5 * BATCH || at.source < 2);
    for (int s = 0; s < 3; s++)
      assert_int_equal(hy_blend_count(b, s, i + 1), next[s]);
  }
  hy_loader_free(l);
  clear(&d);
}

/* Layouts, reading ahead and dealing change no row; a start inside of phase 2
 * sees what the run without a break sees. */
static void
test_same_rows(void **state)
{
  hy_deck_data a, b;

  (void)state;
  set_phases(&a);
  set_phases(&b);
  a.prefetch = 0;
  for (int micro = 1; micro <= 4; micro++)
    for (int ahead = 0; ahead < 4; ahead++) {
      b.micro_batch = micro;
      b.prefetch = ahead;
      b.balance = ahead & 1;
      same_steps(&a, &self, &b, &world, 0, 12);
    }
  same_steps(&a, &self, &b, &world, 8, 12);
  clear(&a);
  clear(&b);
}

/* Going back, leaving a step half read and validating between: random access
 * whatever the thread has read. */
static void
test_jumps(void **state)
{
  static const int64_t step[] = {0, 1, 2, 7, 3, 3, 4, 0, 6};
  hy_deck_data d;
  hy_loader *a, *b;
  hy_batch x, y;

  (void)state;
  set_phases(&d);
  d.prefetch = 3;
  a = loader(&d, &world);
  d.prefetch = 0;
  b = loader(&d, &world);
  for (int i = 0; i < 9; i++) {
    int64_t n;

    assert_int_equal(hy_loader_step(a, step[i]), HY_OK);
    assert_int_equal(hy_loader_step(b, step[i]), HY_OK);
    n = hy_loader_n_micro(a);
    for (int64_t k = 0; k < 2 * n - i % 3; k++) {
      int64_t m = k < n ? k : 2 * n - 1 - k;

      assert_int_equal(hy_loader_micro(a, m, &x), HY_OK);
      assert_int_equal(hy_loader_micro(b, m, &y), HY_OK);
      assert_int_equal(x.n_tokens, y.n_tokens);
      assert_memory_equal(x.token, y.token, (size_t)x.n_tokens * 4);
      assert_memory_equal(x.ahead[0].weight, y.ahead[0].weight,
                          (size_t)x.n_tokens * 4);
      assert_true(x.n_target == y.n_target && x.n_real == y.n_real);
    }
    if (i == 4) {
      assert_int_equal(hy_loader_rows(a, 1, 4), HY_OK);
      assert_int_equal(hy_loader_rows(b, 1, 4), HY_OK);
      assert_int_equal(hy_loader_micro(a, 0, &x), HY_OK);
      assert_int_equal(hy_loader_micro(b, 0, &y), HY_OK);
      assert_memory_equal(x.token, y.token, (size_t)x.n_tokens * 4);
    }
  }
  hy_loader_free(a);
  hy_loader_free(b);
  clear(&d);
}

/* What the dearest rank has to do, summed over steps. */
static double
dearest(int balance, double *all)
{
  hy_deck_data d = base;
  double most = 0;
  hy_loader *l;
  hy_batch b;

  hy_mix_add(&d.train, 1, file[0]);
  d.balance = balance;
  d.global_batch = 24;
  l = loader(&d, &world);
  hy_loader_cost(l, 1, 10);
  *all = 0;
  for (int64_t step = 0; step < 20; step++) {
    double load = 0, x, sum;

    assert_int_equal(hy_loader_step(l, step), HY_OK);
    for (int64_t i = 0; i < hy_loader_n_micro(l); i++) {
      assert_int_equal(hy_loader_micro(l, i, &b), HY_OK);
      for (int64_t t = 0; t < b.n_tokens; t++)
        load += 1 + 10 * (2.0 * (double)(t - b.seq_start[t]) + 1);
    }
    MPI_Allreduce(&load, &x, 1, MPI_DOUBLE, MPI_MAX, world.mpi);
    MPI_Allreduce(&load, &sum, 1, MPI_DOUBLE, MPI_SUM, world.mpi);
    most += x;
    *all += sum;
  }
  hy_loader_free(l);
  hy_mix_clear(&d.train);
  return most;
}

static void
test_balance(void **state)
{
  double all[2], in_order = dearest(0, &all[0]), dealt = dearest(1, &all[1]);

  (void)state;
  assert_true(all[0] == all[1]);
  assert_true(world.size == 1 ? in_order == dealt : dealt < in_order);
  assert_true(dealt * world.size < 1.02 * all[1]);
}

/* ---- what is refused ---- */

static void
refused(const hy_deck_data *d, int code, const char *word)
{
  hy_loader *l;

  hy_err_clear();
  assert_int_equal(
      hy_loader_new(&l, HY_PART_TRAIN, d, VOCAB, 0, 7, &world, NULL), code);
  assert_null(l);
  if (!strstr(hy_err_text(), word))
    fail_msg("'%s' lacks '%s'", hy_err_text(), word);
  hy_err_clear();
}

static void
test_refused(void **state)
{
  hy_deck_data d;

  (void)state;
  set_phases(&d);
  d.switch_tokens++;
  refused(&d, HY_EDECK, "the nearest is 480");
  d.switch_tokens = 1;
  refused(&d, HY_EDECK, "the nearest is 96");
  d.switch_tokens = 0;
  refused(&d, HY_EDECK, "data.switch_tokens: not set");
  d.switch_tokens = 480;
  hy_mix_add(&d.train_2, 1, file[2]);
  refused(&d, HY_EDATA, "made with tokenizer bbbb");
  hy_mix_clear(&d.train_2);
  refused(&d, HY_EDECK, "data.train_2 is not set");
  d.switch_tokens = 0;
  hy_mix_add(&d.train, 1e-300, "mock");
  refused(&d, HY_EDECK, "too small");
  d.train.weight[2] = 1;
  d.split = (hy_reals){.n = 2, .v = {1, 1}};
  refused(&d, HY_EDECK, "data.split");
  d.split.n = 0;
  hy_mix_add(&d.train, 1, "no/such.h5");
  refused(&d, HY_EFILE, "no/such.h5");
  clear(&d);
  refused(&d, HY_EDECK, "data.train: not set");
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {

      cmocka_unit_test(test_phases),  cmocka_unit_test(test_same_rows),
      cmocka_unit_test(test_jumps),   cmocka_unit_test(test_balance),
      cmocka_unit_test(test_refused),
  };
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  self = hy_comm_of(MPI_COMM_SELF);
  stream_make(&all_docs);
  base = (hy_deck_data){.global_batch = BATCH,
                        .micro_batch = 2,
                        .seq_len = SEQ_LEN,
                        .shuffle = 1,
                        .prefetch = 2};
  for (int i = 0; i < 3; i++) {
    char *name = hy_asprintf("test_blend_%d.h5", i);

    file[i] = scratch(name);
    write_file(file[i], N_DOCS - 9 * i, i < 2 ? "aaaa" : "bbbb");
    free(name);
  }
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  for (int i = 0; i < 3; i++) {
    if (world.rank == 0)
      unlink(file[i]);
    free(file[i]);
  }
  MPI_Finalize();
  return bad != 0;
}
