/* Rows of indexed data against a loop that lays the stream of an epoch out
 * token by token. */
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/indexed.h"
#include "data/rows.h"
#include "grid/test_mpi.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_DOCS = 300, VOCAB = 97, L = 16 };

static hy_comm world;
static char *paths[2], *path;
static int64_t len[N_DOCS], start[N_DOCS + 1];
static int32_t *token;

/* The same documents, one sequence each, and cut into sequences of 7 tokens. */
static void
write_data(const char *name, int cut)
{
  hy_indexed_head h = {8, start[N_DOCS], 0, N_DOCS};
  int64_t border[N_DOCS], *seq = hy_malloc((size_t)start[N_DOCS] * sizeof *seq);
  hy_indexed_out *o;

  for (int d = 0; d < N_DOCS; d++) {
    border[d] = h.n_seq;
    for (int64_t t = 0; t < len[d]; t += 7)
      seq[h.n_seq++] = start[d] + t;
  }
  if (cut)
    assert_int_equal(hy_indexed_create_seq(&o, name, &h, &world), HY_OK);
  else
    assert_int_equal(
        hy_indexed_create(&o, name, 8, start[N_DOCS], N_DOCS, &world), HY_OK);
  if (world.rank == 0) {
    hy_indexed_put_ids(o, 0, start[N_DOCS], token);
    if (cut) {
      hy_indexed_put_docs(o, 0, h.n_seq, seq);
      hy_indexed_put_borders(o, 0, N_DOCS, border);
    } else
      hy_indexed_put_docs(o, 0, N_DOCS, start);
  }
  assert_int_equal(hy_indexed_close(o, HY_OK), HY_OK);
  free(seq);
}

/* Documents of 0 to 49 tokens, a long one, runs of empty ones. */
static void
make_data(void)
{
  const char *dir = getenv("HYMN_TESTDIR");

  for (int d = 0; d < N_DOCS; d++) {
    len[d] = (int64_t)(hy_rng_u64(1, (uint64_t)d) % 50);
    if (d % 7 < 2)
      len[d] = 0;
    if (d == 100)
      len[d] = 333;
    start[d + 1] = start[d] + len[d];
  }
  token = hy_malloc((size_t)start[N_DOCS] * sizeof *token);
  for (int64_t i = 0; i < start[N_DOCS]; i++)
    token[i] = (int32_t)(hy_rng_u64(2, (uint64_t)i) % VOCAB);
  for (int cut = 0; cut < 2; cut++) {
    paths[cut] = hy_asprintf("%s/test_rows%d", dir ? dir : ".", cut);
    write_data(paths[cut], cut);
  }
  path = paths[0];
}

static hy_rows *
open_rows(hy_rows_keys k)
{
  hy_rows *r;

  assert_int_equal(hy_rows_open(&r, path, &k, &world), HY_OK);
  assert_int_equal(r->seq_len, k.seq_len);
  return r;
}

/* The stream of an epoch: tokens and the documents that they are of. */
typedef struct {
  int32_t id[N_DOCS * 50];
  int doc[N_DOCS * 50];
  int64_t n;
} stream;

static void
lay_out(stream *s, const hy_rows *r, int64_t epoch, int from, int to)
{
  char name[64];

  snprintf(name, sizeof name, "documents:%lld", (long long)epoch);
  s->n = 0;
  for (int i = 0; i < to - from; i++) {
    int d = from +
            (epoch < 0 || !r->shuffle
                 ? i
                 : (int)hy_shuffled(hy_rng_key(r->seed, name), i, to - from));

    for (int64_t t = 0; t < len[d]; t++, s->n++) {
      s->id[s->n] = token[start[d] + t];
      s->doc[s->n] = d;
    }
  }
}

/* Row `out` against tokens from `at` on. */
static void
check_row(const stream *s, int64_t at, int cross, const hy_row *out)
{
  int64_t n_docs = 0, first = 0;

  assert_int_equal(out->n_real, s->n - at < L ? s->n - at : L);
  for (int64_t t = 0; t < L; t++) {
    int64_t i = at + t;
    int real = i < s->n;
    int next = i + 1 < s->n && (cross || s->doc[i + 1] == s->doc[i]);

    if (real && (t == 0 || (!cross && s->doc[i] != s->doc[i - 1]))) {
      first = t;
      n_docs++;
    }
    assert_int_equal(out->pad[t], !real);
    assert_int_equal(out->token[t], real ? s->id[i] : 0);
    assert_int_equal(out->target[t], next ? s->id[i + 1] : 0);
    assert_true(out->weight[t] == (next ? 1 : 0));
    assert_int_equal(out->seq_start[t], real ? first : t);
  }
  assert_int_equal(out->n_docs, n_docs);
}

static double
naive_pairs(const hy_row *row)
{
  double sum = 0;

  for (int64_t t = 0; t < row->n_real; t++)
    for (int64_t u = 0; u < row->n_real; u++)
      sum += row->seq_start[t] == row->seq_start[u];
  return sum;
}

/* All rows of an epoch; every row of the stream once. */
static void
check_epoch(hy_rows *r, int64_t epoch, int from, int to, int cross)
{
  int32_t id[L], target[L], begin[L];
  float weight[L];
  uint8_t pad[L];
  hy_row row = {id, target, weight, begin, pad, 0, 0};
  stream *s = hy_malloc(sizeof *s);
  int *seen;

  lay_out(s, r, epoch, from, to);
  assert_int_equal(r->n_rows, (s->n - 1 + L - 1) / L);
  seen = hy_calloc((size_t)r->n_rows, sizeof *seen);
  for (int64_t i = 0; i < r->n_rows; i++) {
    int64_t place = hy_rows_place(r, epoch, i, r->n_rows);

    assert_int_equal(r->type->row(r, epoch, i, &row), HY_OK);
    check_row(s, place * L, cross, &row);
    assert_true(r->type->pairs(r, epoch, i) == naive_pairs(&row));
    seen[place]++;
  }
  for (int64_t i = 0; i < r->n_rows; i++)
    assert_int_equal(seen[i], 1);
  free(seen);
  free(s);
}

static void
test_rows(void **state)
{
  (void)state;
  for (int i = 0; i < 8; i++) {
    int cross = i & 1, shuffle = i >> 1 & 1;
    hy_rows *r;

    path = paths[i >> 2];
    r = open_rows((hy_rows_keys){.seq_len = L,
                                 .vocab = VOCAB,
                                 .seed = 5,
                                 .shuffle = shuffle,
                                 .cross = cross,
                                 .to = 1});

    for (int64_t epoch = -1; epoch < 4; epoch++)
      check_epoch(r, epoch, 0, N_DOCS, cross);
    hy_rows_free(r);
  }
  path = paths[0];
}

/* Epochs in turn, as near the end of one, and any row alone: the same. */
static void
test_random_access(void **state)
{
  hy_rows_keys k = {
      .seq_len = L, .vocab = VOCAB, .seed = 6, .shuffle = 1, .to = 1};
  hy_rows *r = open_rows(k);
  int32_t id[2][L], target[L], begin[L];
  float weight[L];
  uint8_t pad[L];
  hy_row row = {id[0], target, weight, begin, pad, 0, 0};

  (void)state;
  for (int i = 0; i < 40; i++) {
    int64_t epoch = (int64_t)(hy_rng_u64(8, (uint64_t)i) % 4) - 1;
    int64_t at = (int64_t)(hy_rng_u64(9, (uint64_t)i) % (uint64_t)r->n_rows);
    hy_rows *fresh = open_rows(k);

    row.token = id[0];
    assert_int_equal(r->type->row(r, epoch, at, &row), HY_OK);
    row.token = id[1];
    assert_int_equal(fresh->type->row(fresh, epoch, at, &row), HY_OK);
    assert_memory_equal(id[0], id[1], sizeof id[0]);
    hy_rows_free(fresh);
  }
  hy_rows_free(r);
}

/* Shares are runs of documents that meet. */
static void
test_shares(void **state)
{
  static const double part[] = {9999, 8, 2}, even[] = {3, 1, 1};
  const double *weight[] = {part, even};

  (void)state;
  for (int k = 0; k < 2; k++) {
    double all = 0, sum = 0;
    int from = 0;

    for (int i = 0; i < 3; i++)
      all += weight[k][i];
    for (int i = 0; i < 3; i++) {
      hy_rows_keys keys = {.seq_len = L, .vocab = VOCAB, .shuffle = 1};
      hy_rows *r;
      int to;

      keys.from = sum / all;
      sum += weight[k][i];
      keys.to = sum / all;
      to = (int)lrint(N_DOCS * keys.to);
      if (start[to] - start[from] >= 2) {
        r = open_rows(keys);
        check_epoch(r, 0, from, to, 0);
        hy_rows_free(r);
      } else {
        assert_int_equal(hy_rows_open(&r, path, &keys, &world), HY_EDATA);
        assert_non_null(strstr(hy_err_text(), "data.split"));
        hy_err_clear();
      }
      from = to;
    }
    assert_int_equal(from, N_DOCS);
  }
}

static void
test_refused(void **state)
{
  hy_rows_keys k = {.vocab = VOCAB, .to = 1};
  int32_t id[L], target[L], begin[L];
  float weight[L];
  uint8_t pad[L];
  hy_row row = {id, target, weight, begin, pad, 0, 0};
  hy_rows *r;
  int err = HY_OK;

  (void)state;
  assert_int_equal(hy_rows_open(&r, path, &k, &world), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "data.seq_len"));
  hy_err_clear();
  k.seq_len = L;
  k.vocab = VOCAB - 1;
  r = open_rows(k);
  for (int64_t i = 0; i < r->n_rows && !err; i++)
    err = r->type->row(r, 0, i, &row);
  assert_int_equal(err, HY_EDATA);
  assert_non_null(strstr(hy_err_text(), "id 96"));
  hy_err_clear();
  hy_rows_free(r);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows), cmocka_unit_test(test_random_access),
      cmocka_unit_test(test_shares), cmocka_unit_test(test_refused)};
  static const char *const suffix[] = {"idx", "bin"};

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  make_data();
  if (cmocka_run_group_tests(tests, NULL, NULL))
    MPI_Abort(MPI_COMM_WORLD, 1);
  for (int i = 0; i < 4; i++) {
    char *name = hy_asprintf("%s.%s", paths[i / 2], suffix[i % 2]);

    if (world.rank == 0)
      unlink(name);
    free(name);
  }
  free(paths[0]);
  free(paths[1]);
  free(token);
  MPI_Finalize();
  return 0;
}
