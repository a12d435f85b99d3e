/* Duplicates over shards against all pairs, on any number of ranks. */
#include "prep/curate_impl.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { N_DOCS = 300, N_SHARDS = 9 };

static hy_comm world;
static hy_deck deck;
static uint64_t draw;
static hy_curate_shard shard[N_SHARDS];

static int64_t
any(int64_t n)
{
  return (int64_t)(hy_rng_u64(6, draw++) % (uint64_t)n);
}

static hy_curate *
made(int exact, int near, int bands, int rows, double threshold)
{
  hy_deck_curate *d = &deck.curate;
  hy_curate *c;

  d->exact = exact;
  d->near = near;
  d->near_bands = bands;
  d->near_rows = rows;
  d->near_threshold = threshold;
  if (hy_curate_new(&c, d, &world))
    fail_msg("%s", hy_err_text());
  return c;
}

/* Cut documents into shards, some of them empty, and write the signatures. */
static void
write_signs(const char *sign, size_t bytes)
{
  int64_t at = 0;

  for (int s = 0; s < N_SHARDS; s++) {
    int64_t n = s == N_SHARDS - 1 ? N_DOCS - at
                : s % 3 == 1      ? 0
                                  : any((N_DOCS - at) / 2);

    shard[s].n_docs = n;
    if (world.rank == 0)
      assert_int_equal(hy_file_write(shard[s].sign, sign + (size_t)at * bytes,
                                     (size_t)n * bytes),
                       HY_OK);
    at += n;
  }
  MPI_Barrier(world.mpi);
}

static void
read_marks(unsigned char *mark)
{
  hy_buf b = {0};

  MPI_Barrier(world.mpi);
  for (int s = 0; s < N_SHARDS; s++) {
    size_t before = b.len;

    assert_int_equal(hy_file_read(shard[s].mark, &b), HY_OK);
    assert_int_equal(b.len - before, shard[s].n_docs);
  }
  memcpy(mark, b.data, N_DOCS);
  free(b.data);
  MPI_Barrier(world.mpi);
}

/* ---- the definition ---- */

static int
alike(const hy_curate *c, const char *a, const char *b)
{
  const uint32_t *x = hy_sign_values(c, a), *y = hy_sign_values(c, b);
  int64_t rows = c->d.near_rows, n = c->d.near_bands * rows, equal = 0;
  int band = 0, words = 0;

  for (int64_t i = 0; i < n; i++) {
    equal += x[i] == y[i];
    words |= x[i] != UINT32_MAX;
  }
  for (int64_t i = 0; i < n; i += rows)
    band |= !memcmp(x + i, y + i, (size_t)rows * sizeof *x);
  return words && band &&
         (double)equal >= c->d.near_threshold * (double)n - 1e-6;
}

static void
naive(const hy_curate *c, const char *sign, unsigned char *mark)
{
  size_t bytes = hy_curate_sign_bytes(c);
  int64_t cluster[N_DOCS];

  memset(mark, 0, N_DOCS);
  for (int64_t i = 0; i < N_DOCS; i++)
    cluster[i] = i;
  for (int64_t j = 0; j < N_DOCS; j++)
    for (int64_t i = 0; i < j; i++) {
      const char *a = sign + (size_t)i * bytes, *b = sign + (size_t)j * bytes;
      int64_t x = cluster[i], y = cluster[j];

      if (c->d.exact && !memcmp(a, b, HY_SIGN_EXACT))
        mark[j] = 1;
      if (c->d.near && x != y && alike(c, a, b))
        for (int64_t k = 0; k < N_DOCS; k++)
          if (cluster[k] == x || cluster[k] == y)
            cluster[k] = x < y ? x : y;
    }
  for (int64_t i = 0; i < N_DOCS; i++)
    if (mark[i] == 0 && cluster[i] != i)
      mark[i] = 2;
}

static void
check(hy_curate *c, const char *sign)
{
  unsigned char want[N_DOCS], is[N_DOCS];
  int64_t count[3], n[3] = {0};

  write_signs(sign, hy_curate_sign_bytes(c));
  hy_err_clear();
  if (hy_curate_unique(c, shard, N_SHARDS, count, &world))
    fail_msg("%s", hy_err_text());
  naive(c, sign, want);
  read_marks(is);
  assert_memory_equal(is, want, N_DOCS);
  for (int i = 0; i < N_DOCS; i++)
    n[want[i]]++;
  assert_memory_equal(count, n, sizeof n);
}

/* ---- tests ---- */

/* What stands for the hash of a text. */
static void
put_hash(char *sign, uint64_t hash)
{
  memcpy(sign, &hash, sizeof hash);
}

/* Values from so few that every kind of pair and chain occurs. */
static void
any_values(void **state)
{
  (void)state;
  for (int round = 0; round < 24; round++) {
    int bands = 1 + (int)any(6), rows = 1 + (int)any(3);
    int exact = round % 3 != 0;
    hy_curate *c = made(exact, 1, bands, rows, 0.99);
    size_t bytes = hy_curate_sign_bytes(c);
    char *sign = hy_calloc(N_DOCS, bytes);
    int64_t kinds = 2 + any(40), mix = 1 + any(4);

    c->d.near_threshold = 0.3 + 0.1 * (double)any(7);
    if (round % 2)
      c->most_entries = 1 + any(100); /* many passes */
    c->n_cached = 1 + any(40);
    for (int64_t i = 0; i < N_DOCS; i++) {
      char *s = sign + (size_t)i * bytes;
      uint32_t *v = (uint32_t *)hy_sign_values(c, s);
      int64_t base = any(kinds);

      for (int k = 0; k < bands * rows; k++)
        v[k] = base == 0 ? UINT32_MAX
                         : (uint32_t)(any(4 * mix) ? base * 100 : any(9));
      for (int k = 0; k < rows && round % 4 == 3; k++)
        v[k] = 7; /* all are compared with all */
      /* equal texts have equal values */
      if (exact)
        put_hash(s, hy_hash_bytes((char *)v, 4 * (size_t)(bands * rows)));
    }
    check(c, sign);
    free(sign);
    hy_curate_free(c);
  }
}

/* Copies of a few texts with words changed; the order must not matter. */
static void
make_text(hy_buf *b, int64_t kind, int64_t version)
{
  b->len = 0;
  hy_buf_add(b, "", 0);
  for (int i = 0; i < 120 && kind > 0; i++) {
    int changed = version > 0 && hy_rng_u64((uint64_t)(100 + version),
                                            (uint64_t)(1000 * kind + i)) %
                                         100 <
                                     (uint64_t)version;

    hy_buf_printf(b, "k%dw%dv%d ", (int)kind, i, changed ? (int)version : 0);
  }
}

static void
any_order(void **state)
{
  hy_curate *c = made(1, 1, 16, 8, 0.8);
  size_t bytes = hy_curate_sign_bytes(c);
  char *sign = hy_malloc(N_DOCS * bytes), *turned = hy_malloc(N_DOCS * bytes);
  unsigned char mark[N_DOCS];
  int64_t stay[3] = {0};
  hy_buf text = {0};

  (void)state;
  for (int64_t i = 0; i < N_DOCS; i++) {
    make_text(&text, any(40), any(2) ? 0 : any(6));
    hy_curate_sign(c, text.data, text.len, sign + (size_t)i * bytes);
  }
  for (int round = 0; round < 3; round++) {
    for (int64_t i = 0; i < N_DOCS; i++)
      memcpy(turned + (size_t)i * bytes,
             sign +
                 (size_t)((i * (int64_t[]){1, 7, 299}[round]) % N_DOCS) * bytes,
             bytes);
    check(c, turned);
    read_marks(mark);
    for (int i = 0; i < N_DOCS; i++)
      stay[round] += mark[i] == 0;
    assert_int_equal(stay[round], stay[0]);
  }
  /* a text of each kind at least, and no two equal ones: there are versions */
  assert_true(stay[0] >= 40 && stay[0] < 1 + 39 * 6);
  free(sign);
  free(turned);
  free(text.data);
  hy_curate_free(c);
}

/* Everything equal: one stays. */
static void
all_equal(void **state)
{
  for (int exact = 0; exact < 2; exact++) {
    hy_curate *c = made(exact, 1, 4, 2, 0.8);
    char *sign = hy_malloc(N_DOCS * hy_curate_sign_bytes(c));
    int64_t count[3];

    (void)state;
    for (int64_t i = 0; i < N_DOCS; i++)
      hy_curate_sign(c, "one two", 7,
                     sign + (size_t)i * hy_curate_sign_bytes(c));
    check(c, sign);
    assert_int_equal(hy_curate_unique(c, shard, 0, count, &world), HY_OK);
    assert_int_equal(count[0] + count[1] + count[2], 0); /* no shard at all */
    free(sign);
    hy_curate_free(c);
  }
}

static void
torn_files(void **state)
{
  hy_curate *c = made(1, 0, 1, 1, 0.8);
  char *sign = hy_calloc(N_DOCS, hy_curate_sign_bytes(c));
  int64_t count[3];

  (void)state;
  check(c, sign);
  for (int round = 0; round < 2; round++) {
    for (int s = 0; s < N_SHARDS && world.rank == 0; s++)
      unlink(shard[s].mark);
    if (world.rank == 0 && round == 0)
      assert_int_equal(truncate(shard[8].sign, 5), 0);
    if (world.rank == 0 && round == 1)
      unlink(shard[8].sign);
    MPI_Barrier(world.mpi);
    hy_err_clear();
    assert_int_equal(hy_curate_unique(c, shard, N_SHARDS, count, &world),
                     HY_EFILE);
    assert_non_null(strstr(hy_err_text(), shard[8].sign));
    assert_false(hy_path_exists(shard[0].mark));
    MPI_Barrier(world.mpi);
  }
  free(sign);
  hy_curate_free(c);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(any_values), cmocka_unit_test(any_order),
      cmocka_unit_test(all_equal), cmocka_unit_test(torn_files)};
  const char *dir = getenv("HYMN_TESTDIR");
  int bad;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  hy_deck_init(&deck);
  for (int s = 0; s < N_SHARDS; s++) {
    shard[s].sign = hy_asprintf("%s/test_curate.%d.sign", dir ? dir : ".", s);
    shard[s].mark = hy_asprintf("%s/test_curate.%d.mark", dir ? dir : ".", s);
  }
  bad = cmocka_run_group_tests(tests, NULL, NULL);
  MPI_Barrier(MPI_COMM_WORLD);
  for (int s = 0; s < N_SHARDS; s++) {
    if (world.rank == 0) {
      unlink(shard[s].sign);
      unlink(shard[s].mark);
    }
    free(shard[s].sign);
    free(shard[s].mark);
  }
  hy_deck_free(&deck);
  MPI_Finalize();
  return bad != 0;
}
