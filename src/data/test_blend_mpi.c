/* Mixes of sources: exact shares at any place, two phases, files that say
 * them, what is refused; rows dealt by cost and read ahead. */
#include "base/err.h"
#include "base/file.h"
#include "data/batch.h"
#include "data/blend_file.h"
#include "data/shares.h"
#include "data/test_pack.h"

#include <math.h>
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

/* ---- shares ---- */

static void
walk(const double *weight, int n, int64_t from, int64_t len)
{
  hy_shares *s = hy_shares_new(weight, n);
  int64_t seen[16], at;
  double sum = 0;

  assert_non_null(s);
  for (int j = 0; j < n; j++) {
    sum += weight[j];
    seen[j] = hy_shares_count(s, j, from);
  }
  for (int64_t i = from; i < from + len; i++) {
    int j = hy_shares_at(s, i, &at);

    assert_in_range(j, 0, n - 1);
    assert_true(weight[j] > 0);
    assert_int_equal(at, seen[j]++);
    for (int k = 0; k < n; k++) {
      long double want = (long double)weight[k] / (long double)sum * (i + 1);

      assert_int_equal(hy_shares_count(s, k, i + 1), seen[k]);
      assert_true(fabsl((long double)seen[k] - want) <
                  2 + 1e-12L * (long double)i);
    }
  }
  hy_shares_free(s);
}

static void
test_shares(void **state)
{
  static const double weight[][8] = {
      {1},
      {0.6, 0.4},
      {0.1, 0.2, 0.3, 0.4},
      {1, 0, 0, 5},
      {1e-6, 1, 1e3},
      {0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03125},
      {1.0 / 3, 1.0 / 7, 0.7, 11.0 / 13},
      {97, 1, 1, 1},
      {1e300, 2e300, 3e300},
      {1e-318, 0, 3e-318}, /* below the least normal number */
  };

  (void)state;
  for (size_t w = 0; w < sizeof weight / sizeof *weight; w++) {
    int n = 8;

    while (n > 1 && weight[w][n - 1] == 0)
      n--;
    walk(weight[w], n, 0, 2000);
    if (w < 8)
      walk(weight[w], n, 999999999999, 300);
  }
  assert_null(hy_shares_new((double[]){1, 1e-300}, 2));
}

/* Decimal weights are exact: after 10 samples of 0.6 and 0.4 there are 6 and
 * 4, and as many times 10 as can be counted change nothing. */
static void
test_exact(void **state)
{
  hy_shares *s = hy_shares_new((double[]){0.6, 0.4}, 2);

  (void)state;
  for (int64_t n = 10; n < INT64_MAX / 20; n *= 10) {
    assert_int_equal(hy_shares_count(s, 0, n), n / 10 * 6);
    assert_int_equal(hy_shares_count(s, 1, n), n / 10 * 4);
  }
  hy_shares_free(s);
}

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

/* ---- files ---- */

static int
read_text(const char *text, hy_mix mix[3])
{
  char *path = hy_asprintf("%s.%d.json", file[0], world.rank);
  int err;

  assert_int_equal(hy_file_write(path, text, strlen(text)), HY_OK);
  err = hy_blend_file_read(path, mix);
  unlink(path);
  free(path);
  return err;
}

static void
test_file(void **state)
{
  char *dir = hy_path_dir(file[0]), *want = hy_path_join(dir, "sub/a b");
  hy_mix mix[3];

  (void)state;
  assert_int_equal(
      read_text("{\"train\": [\"0.7\", \"sub/a b\", 3e-1, \"/c\"], \"valid\": "
                "\" 1.0\\t/d\\n2 mock \", \"test\": null}",
                mix),
      HY_OK);
  assert_int_equal(mix[0].n, 2);
  assert_string_equal(mix[0].path[0], want);
  assert_true(mix[0].weight[0] == 0.7 && mix[0].weight[1] == 0.3);
  assert_int_equal(mix[1].n, 2);
  assert_string_equal(mix[1].path[0], "/d");
  assert_string_equal(mix[1].path[1], "mock");
  assert_int_equal(mix[2].n, 0);
  for (int i = 0; i < 3; i++)
    hy_mix_clear(&mix[i]);
  assert_int_equal(
      read_text("{\"train\": \"/x\", \"valid\": [\"/y\"], \"test\": []}", mix),
      HY_OK);
  assert_string_equal(mix[0].path[0], "/x");
  assert_string_equal(mix[1].path[0], "/y");
  for (int i = 0; i < 3; i++)
    hy_mix_clear(&mix[i]);
  free(want);
  free(dir);
}

static void
test_bad_file(void **state)
{
  static const char *const bad[][2] = {
      {"", "broken JSON"},
      {"{\"train\": ", "broken JSON"},
      {"[]", "is no JSON object"},
      {"{\"train\": [], \"valid\": []}", "key \"test\" is missing"},
      {"{\"train\": [], \"train\": [], \"valid\": [], \"test\": []}",
       "duplicate object key"},
      {"{\"train\": [], \"valid\": [], \"test\": [], \"tset\": []}",
       "key \"tset\" is not known"},
      {"{\"datasets\": []}", "is a raw blend"},
      {"{\"train\": 3, \"valid\": [], \"test\": []}", "neither a list"},
      {"{\"train\": [\"a\", \"b\"], \"valid\": [], \"test\": []}",
       "\"a\" is not a weight"},
      {"{\"train\": [\"1\", \"a\", \"2\"], \"valid\": [], \"test\": []}",
       "\"2\" has no path"},
      {"{\"train\": \"1 a 2\", \"valid\": [], \"test\": []}",
       "\"2\" has no path"},
      {"{\"train\": [\"-1\", \"a\"], \"valid\": [], \"test\": []}",
       "a weight is negative"},
      {"{\"train\": [\"nan\", \"a\"], \"valid\": [], \"test\": []}",
       "\"nan\" is not a weight"},
      {"{\"train\": [\"1e999\", \"a\"], \"valid\": [], \"test\": []}",
       "is not a weight"},
      {"{\"train\": [0, \"a\", 0, \"b\"], \"valid\": [], \"test\": []}",
       "no weight is above 0"},
      {"{\"train\": [1, \"a\", 1, \"a\"], \"valid\": [], \"test\": []}",
       "a path is there twice"},
      {"{\"train\": [1, [\"a\"]], \"valid\": [], \"test\": []}",
       "entry 2 is neither"},
      {"{\"train\": [1, \"\"], \"valid\": [], \"test\": []}", "has no path"},
  };
  hy_mix mix[3];

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(read_text(bad[i][0], mix), HY_EDATA);
    if (!strstr(hy_err_text(), bad[i][1]))
      fail_msg("%s gives '%s', not '%s'", bad[i][0], hy_err_text(), bad[i][1]);
    assert_int_equal(mix[0].n + mix[1].n + mix[2].n, 0);
    hy_err_clear();
  }
  assert_int_equal(hy_blend_file_read("no/such.json", mix), HY_EFILE);
  hy_err_clear();
}

static void
test_resolve(void **state)
{
  static const char text[] = "{\"train\": [\"2\", \"t\", \"1\", \"/u\"], "
                             "\"valid\": [\"1\", \"v\"], \"test\": []}";
  char *path = scratch("test_blend.json"), *dir = hy_path_dir(path), *t;
  char *set = hy_asprintf("data.train=%s", path);
  hy_deck d;

  (void)state;
  if (world.rank == 0)
    assert_int_equal(hy_file_write(path, text, sizeof text - 1), HY_OK);
  MPI_Barrier(MPI_COMM_WORLD);
  hy_deck_init(&d);
  assert_int_equal(hy_deck_set(&d, set), HY_OK);
  assert_int_equal(hy_blend_file_resolve(&d, &world), HY_OK);
  t = hy_path_join(dir, "t");
  assert_int_equal(d.data.train.n, 2);
  assert_string_equal(d.data.train.path[0], t);
  assert_true(d.data.train.weight[0] == 2);
  assert_int_equal(d.data.valid.n, 1);
  assert_int_equal(d.data.test.n, 0);
  assert_int_equal(hy_deck_set(&d, set), HY_OK);
  assert_int_equal(hy_deck_set(&d, "data.valid=mock"), HY_OK);
  assert_int_equal(hy_blend_file_resolve(&d, &world), HY_OK);
  assert_string_equal(d.data.valid.path[0], "mock");
  set[5] = 't'; /* data.test=... has nothing in the file */
  memmove(set + 9, set + 10, strlen(set + 10) + 1);
  memcpy(set + 5, "test", 4);
  assert_int_equal(hy_deck_set(&d, set), HY_OK);
  assert_int_equal(hy_blend_file_resolve(&d, &world), HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "test is empty"));
  hy_err_clear();
  hy_deck_free(&d);
  MPI_Barrier(MPI_COMM_WORLD);
  if (world.rank == 0)
    unlink(path);
  free(t);
  free(set);
  free(dir);
  free(path);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shares),   cmocka_unit_test(test_exact),
      cmocka_unit_test(test_phases),   cmocka_unit_test(test_same_rows),
      cmocka_unit_test(test_jumps),    cmocka_unit_test(test_balance),
      cmocka_unit_test(test_refused),  cmocka_unit_test(test_file),
      cmocka_unit_test(test_bad_file), cmocka_unit_test(test_resolve)};
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
