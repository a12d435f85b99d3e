/* The job prepare: every document once, the same file on any number of ranks
 * and after any break, bad input. */
#include "base/rng.h"
#include "prep/test_prepare.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- documents that say who they are ---- */

enum { BASE = 300 };

/* Ids of document i: two that name it, then more by its number. */
static int
doc_len(int i, int most)
{
  return 2 + (int)(hy_rng_u64(3, (uint64_t)i) % (uint64_t)(most - 1));
}

static void
put_docs(int n, int most)
{
  hy_buf b = {0};

  for (int i = 0; i < n; i++) {
    hy_buf_printf(&b, "{\"ids\":[%d,%d", i / BASE, i % BASE);
    for (int k = 2; k < doc_len(i, most); k++)
      hy_buf_printf(&b, ",%d", (i + k) % BASE);
    hy_buf_printf(&b, "]}\n");
  }
  put_file("t_prep.jsonl", b.data, b.len);
  free(b.data);
}

/* Count the documents of a file; `whole`: no row cuts one. */
static void
see_docs(const char *name, int *seen, int most, int whole)
{
  hy_packed *p = opened(name);
  int32_t id[64];
  int64_t row_end = 0, row = 0, n;

  for (int64_t d = 0; d < hy_packed_n_docs(p); d++) {
    int64_t at = hy_packed_doc_start(p, d);
    int len = (int)(hy_packed_doc_start(p, d + 1) - at), i;

    assert_in_range(len, 2, 64);
    hy_packed_tokens(p, at, len, id);
    i = id[0] * BASE + id[1];
    assert_int_equal(len, doc_len(i, most));
    for (int k = 2; k < len; k++)
      assert_int_equal(id[k], (i + k) % BASE);
    seen[i]++;
    for (; row_end <= at; row++) {
      row_end = hy_packed_row_at(p, row, &n);
      assert_true(!whole || row_end == at);
      row_end += n;
    }
    assert_true(!whole || at + len <= row_end);
  }
  assert_int_equal(row, hy_packed_n_rows(p));
  hy_packed_free(p);
}

static void
hash_of(char hash[HY_SHA_HEX])
{
  hy_packed *p = opened("t_prep.h5");

  strcpy(hash, hy_packed_hash(p));
  hy_packed_free(p);
}

/* More documents than a window holds, by each method; one rank alone and other
 * shards give the same file. */
static void
test_every_doc(void **state)
{
  static const char *const how[] = {"concatenative", "first_fit_decreasing",
                                    "first_fit_shuffle", "best_fit"};
  enum { N = 70000, MOST = 12 };
  int *seen = hy_calloc(N, sizeof *seen);

  (void)state;
  put_docs(N, MOST);
  for (int m = 0; m < 4; m++) {
    char *keys = hy_asprintf("prepare.seq_len=16 prepare.packing=%s", how[m]);
    char *small = hy_asprintf("%s prepare.shard_bytes=30000", keys);
    char hash[HY_SHA_HEX], again[HY_SHA_HEX];

    prepares("t_prep.jsonl", keys, HY_OK, "");
    memset(seen, 0, N * sizeof *seen);
    see_docs("t_prep.h5", seen, MOST, m > 0);
    for (int i = 0; i < N; i++)
      assert_int_equal(seen[i], 1);
    hash_of(hash);
    MPI_Barrier(world.mpi);
    if (world.rank == 0) {
      hy_comm self = hy_comm_of(MPI_COMM_SELF);

      prepares_on(&self, "t_prep.jsonl", small, HY_OK, "");
    }
    hash_of(again);
    assert_string_equal(hash, again);
    assert_false(there("t_prep.h5.parts"));
    free(keys);
    free(small);
  }
  free(seen);
  remove_all();
}

static void
test_split(void **state)
{
  enum { N = 1000, MOST = 30 };
  static const char *const file[] = {"t_prep_train.h5", "t_prep_valid.h5",
                                     "t_prep_test.h5"};
  static const int want[] = {800, 150, 50};
  int seen[N] = {0}, n;

  (void)state;
  put_docs(N, MOST);
  prepares("t_prep.jsonl",
           "prepare.split=80,15,5 prepare.seq_len=32 prepare.packing=best_fit",
           HY_OK, "");
  for (int f = 0; f < 3; f++) {
    int before = 0;

    for (int i = 0; i < N; i++)
      before += seen[i];
    see_docs(file[f], seen, MOST, 1);
    n = -before;
    for (int i = 0; i < N; i++)
      n += seen[i];
    assert_int_equal(n, want[f]);
  }
  for (int i = 0; i < N; i++)
    assert_int_equal(seen[i], 1);
  assert_false(there("t_prep.h5"));
  prepares("t_prep.jsonl", "prepare.split=1,0.0000001,2", HY_EDATA, "valid");
  prepares("t_prep.jsonl", "prepare.split=0,1", HY_EDECK, "train");
  prepares("t_prep.jsonl", "prepare.split=1,1,1,1", HY_EDECK, "split");
  remove_all();
}

/* ---- longer than a row ---- */

static void
lengths(const char *how, int n, const int64_t *want, const char *reason)
{
  char *keys = hy_asprintf("prepare.seq_len=4 prepare.packing=best_fit "
                           "prepare.over_long=%s",
                           how);
  int64_t count[5] = {0};
  hy_packed *p;

  prepares("t_prep.jsonl", keys, HY_OK, "");
  p = opened("t_prep.h5");
  assert_int_equal(hy_packed_n_docs(p), n);
  for (int d = 0; d < n; d++) {
    int64_t len = hy_packed_doc_start(p, d + 1) - hy_packed_doc_start(p, d);

    assert_in_range(len, 1, 4);
    count[len]++;
  }
  assert_memory_equal(count, want, sizeof count);
  if (world.rank == 0)
    assert_non_null(strstr(said.data, reason));
  hy_packed_free(p);
  free(keys);
}

static void
test_over_long(void **state)
{
  static const char text[] = "{\"ids\":[1,2,3,4,5,6,7,8,9,10]}\n"
                             "{\"ids\":[1,2,3,4]}\n{\"ids\":[1,2]}\n";

  (void)state;
  put_file("t_prep.jsonl", text, sizeof text - 1);
  lengths("truncate", 3, (int64_t[]){0, 0, 1, 0, 2}, "noted 6 (tokens cut off");
  lengths("split", 5, (int64_t[]){0, 0, 2, 0, 3}, "noted 1 (split into rows");
  lengths("drop", 2, (int64_t[]){0, 0, 1, 0, 1},
          "dropped 1 (longer than a row");
  remove_all();
}

/* ---- parts of an earlier run ---- */

static void
damage(const char *name, int64_t at)
{
  char *path = scratch(name);
  FILE *f;

  MPI_Barrier(world.mpi);
  if (world.rank == 0 && at < 0)
    assert_int_equal(unlink(path), 0);
  else if (world.rank == 0) {
    f = fopen(path, "r+b");
    assert_non_null(f);
    fseek(f, (long)at, SEEK_SET);
    putc('7', f);
    fclose(f);
  }
  MPI_Barrier(world.mpi);
  free(path);
}

static void
test_again(void **state)
{
#define KEYS "prepare.shard_bytes=2000 prepare.keep_parts=.true. "
  char hash[HY_SHA_HEX], again[HY_SHA_HEX];

  (void)state;
  put_docs(500, 30);
  prepares("t_prep.jsonl", KEYS, HY_OK, "");
  hash_of(hash);
  assert_true(there("t_prep.h5.parts/00000009.json"));
  damage("t_prep.h5.parts/00000001.json", -1);
  damage("t_prep.h5.parts/00000002.tok", 20);
  damage("t_prep.h5.parts/00000003.doc", -1);
  damage("t_prep.h5.parts/00000004.json", 90);
  prepares("t_prep.jsonl", KEYS, HY_OK, "");
  if (world.rank == 0)
    assert_non_null(strstr(said.data, "shards were there"));
  hash_of(again);
  assert_string_equal(hash, again);
  prepares("t_prep.jsonl", KEYS, HY_OK, "");
  if (world.rank == 0) {
    long n[2] = {0, 1};

    assert_int_equal(sscanf(strstr(said.data, "tokens\n"),
                            "tokens prepare: %ld of %ld", &n[0], &n[1]),
                     2);
    assert_int_equal(n[0], n[1]);
  }
  /* another way to read: nothing of it is taken */
  prepares("t_prep.jsonl", KEYS "prepare.plain=.true.", HY_OK, "");
  if (world.rank == 0)
    assert_null(strstr(said.data, "earlier"));
  /* another packing: all of it is */
  prepares("t_prep.jsonl", KEYS "prepare.plain=.true. prepare.packing=best_fit",
           HY_OK, "");
  if (world.rank == 0)
    assert_non_null(strstr(said.data, "earlier"));
  remove_all();
}

/* A file size that is too small for the parts, then for the file. */
static void
test_full(void **state)
{
  struct rlimit old, small;

  (void)state;
  put_docs(3000, 30);
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &old);
  small = old;
  for (int i = 0; i < 2; i++) {
    small.rlim_cur = i ? 150000 : 3000;
    setrlimit(RLIMIT_FSIZE, &small);
    prepares("t_prep.jsonl", "prepare.shard_bytes=50000", HY_ERES, "space");
    setrlimit(RLIMIT_FSIZE, &old);
    assert_false(there("t_prep.h5") || there("t_prep.h5.tmp"));
  }
  prepares("t_prep.jsonl", "prepare.shard_bytes=50000", HY_OK, "");
  if (world.rank == 0)
    assert_non_null(strstr(said.data, "earlier"));
  remove_all();
}

/* ---- what is read ---- */

static void
reads(const char *text, const char *keys, int64_t n_docs, int code,
      const char *word)
{
  const char *src = getenv("HYMN_SRCDIR");
  char *all =
      hy_asprintf("prepare.tokenizer=%s/regression/fixtures/tokenizer %s",
                  src ? src : ".", keys);
  hy_packed *p;

  put_file("t_prep.jsonl", text, strlen(text));
  remove_all();
  put_file("t_prep.jsonl", text, strlen(text));
  prepares("t_prep.jsonl", all, code, word);
  assert_int_equal(there("t_prep.h5"), code == HY_OK);
  assert_false(there("t_prep.h5.tmp"));
  if (code == HY_OK) {
    p = opened("t_prep.h5");
    assert_int_equal(hy_packed_n_docs(p), n_docs);
    hy_packed_free(p);
  }
  free(all);
}

static void
test_read(void **state)
{
  hy_packed *p;
  int32_t last;

  (void)state;
  reads("{\"text\":\"a b\xff\"}\n\n{\"text\":\"\"}\n{\"ids\":[5,6]}\r\n"
        "{\"ids\":[7,11]}",
        "", 3, HY_OK, "");
  p = opened("t_prep.h5");
  assert_int_equal(hy_packed_doc_start(p, 2) - hy_packed_doc_start(p, 1), 3);
  assert_int_equal(hy_packed_doc_start(p, 3) - hy_packed_doc_start(p, 2), 2);
  hy_packed_tokens(p, hy_packed_n_tokens(p) - 1, 1, &last);
  assert_int_equal(last, 11);
  hy_packed_free(p);
  reads("{\"text\":\"a\"}\n{\"text\":\n", "", 0, HY_EDATA, "t_prep.jsonl:2: ");
  reads("{\"text\":\"a\"}\n{\"text\":\n", "prepare.on_error=skip", 1, HY_OK,
        "");
  if (world.rank == 0)
    assert_non_null(strstr(said.data, "dropped 1 (JSON that breaks off)"));
  reads("{\"txt\":\"a\"}\n", "", 0, HY_EDATA, "t_prep.jsonl:1: ");
  reads("\n{\"ids\":[4096]}\n", "", 0, HY_EDATA, "t_prep.jsonl:2: id that");
  reads("{\"text\":\"\"}\n", "", 0, HY_EDATA, "empty");
  reads("{\"txt\":1}\n", "prepare.on_error=skip", 0, HY_EDATA, "left out");
  reads("", "", 0, HY_EDATA, "empty");
  reads("{\"prompt\":\"a\",\"answer\":\"b c\"}\n", "prepare.format=megatron", 0,
        HY_EDATA, "loss weights");
  reads("{\"text\":\"a\"}\n",
        "prepare.format=megatron prepare.packing=best_fit", 0, HY_EDECK,
        "prepare.packing");
  remove_all();
}

/* Weights come along where only some documents have them. */
static void
test_weights(void **state)
{
  float weight[64];
  hy_packed *p;
  int64_t n;

  (void)state;
  reads("{\"text\":\"one two three\"}\n"
        "{\"prompt\":\"one two\",\"answer\":\"three\"}\n",
        "", 2, HY_OK, "");
  p = opened("t_prep.h5");
  n = hy_packed_doc_start(p, 1);
  hy_packed_weights(p, 0, hy_packed_n_tokens(p), weight);
  for (int64_t i = 0; i < n; i++)
    assert_true(weight[i] == 1.0f);
  assert_true(weight[n] == 0.0f);
  assert_true(weight[hy_packed_n_tokens(p) - 1] == 1.0f);
  hy_packed_free(p);
  remove_all();
}

/* Duplicates over shards: the first stays. */
static void
test_unique(void **state)
{
  (void)state;
  reads("{\"text\":\"a b c\"}\n{\"text\":\"d\"}\n{\"text\":\"a b c\"}\n"
        "{\"text\":\"a b c\"}\n",
        "curate.exact=.true. prepare.shard_bytes=10", 2, HY_OK, "");
  if (world.rank == 0)
    assert_non_null(strstr(said.data, "dropped 2 (exact duplicate)"));
  reads("{\"text\":\"a b c\"}\n{\"text\":\"d\"}\n", "curate.min_chars=3", 1,
        HY_OK, "");
  if (world.rank == 0)
    assert_non_null(strstr(said.data, "dropped 1 (too short)"));
  reads("{\"text\":\"a\"}\n", "curate.min_chars=3", 0, HY_EDATA, "left out");
  remove_all();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_every_doc), cmocka_unit_test(test_split),
    cmocka_unit_test(test_over_long), cmocka_unit_test(test_again),
    cmocka_unit_test(test_full),      cmocka_unit_test(test_read),
    cmocka_unit_test(test_weights),   cmocka_unit_test(test_unique)};

TEST_MPI_MAIN(tests)
