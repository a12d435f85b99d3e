/* bench_encode.c: tokenizers on one thread against a copy of the same texts. */
#include "job/bench_data.h"
#include "base/err.h"
#include "base/median.h"
#include "prep/input.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Texts one after another. */
typedef struct {
  hy_buf all;
  size_t *end; /* (n) where each ends */
  size_t n, cap;
} texts;

static void
add_text(texts *t, const char *s, size_t n)
{
  if (t->n == t->cap) {
    t->cap = t->cap ? 2 * t->cap : 1024;
    t->end = hy_realloc(t->end, t->cap * sizeof *t->end);
  }
  hy_buf_add(&t->all, s, n);
  t->end[t->n++] = t->all.len;
}

static int
read_shard(texts *t, const hy_input *in, int64_t shard, const char *field)
{
  hy_records *r;
  hy_record rec;
  int more = 1, err = hy_records_open(&r, in, shard);

  while (!err && more) {
    const json_t *s;

    err = hy_records_next(r, &rec, &more);
    if (err || !more)
      break;
    s = json_object_get(rec.json, field);
    if (rec.text)
      add_text(t, rec.text, rec.n);
    else if (json_is_string(s))
      add_text(t, json_string_value(s), json_string_length(s));
  }
  if (r)
    hy_records_close(r);
  return err;
}

static int
read_texts(texts *t, const hy_deck_prepare *d)
{
  char **path = NULL;
  int n = 0, err = hy_inputs_find(&path, &n, d->input.s, d->input.n);

  for (int i = 0; i < n && !err; i++) {
    hy_input in = {0};

    err = hy_input_measure(&in, path[i], INT64_MAX);
    for (int64_t s = 0; s < in.n_shards && !err; s++)
      err = read_shard(t, &in, s, d->field);
    hy_input_free(&in);
  }
  for (int i = 0; i < n; i++)
    free(path[i]);
  free(path);
  if (!err && t->n == 0)
    err = hy_fail(HY_EDATA,
                  "prepare.input: holds no text in the field `%s`; set "
                  "prepare.field",
                  d->field);
  return err;
}

/* Seconds to encode all texts; *n_ids of them come out. */
static int
time_encode(hy_tok *tok, const texts *t, hy_ids *ids, double *seconds)
{
  size_t from = 0;
  int err = HY_OK;

  ids->n = 0;
  *seconds = MPI_Wtime();
  for (size_t i = 0; i < t->n && !err; i++) {
    err =
        hy_tok_encode(tok, t->all.data + from, t->end[i] - from, 0, ids, NULL);
    from = t->end[i];
  }
  *seconds = MPI_Wtime() - *seconds;
  return err;
}

static double
time_copy(const texts *t, char *to)
{
  double seconds = MPI_Wtime();

  memcpy(to, t->all.data, t->all.len);
  return MPI_Wtime() - seconds;
}

static int
one_tokenizer(const char *path, const texts *t, int64_t n_times)
{
  double *encode = hy_calloc((size_t)n_times, sizeof *encode);
  double *copy = hy_calloc((size_t)n_times, sizeof *copy), warm;
  double mb = (double)t->all.len / 1e6;
  char *to = hy_malloc(t->all.len + 1);
  hy_ids ids = {0};
  hy_tok *tok;
  int err = hy_tok_open(&tok, path);

  memset(to, 0, t->all.len);
  if (!err)
    err = time_encode(tok, t, &ids, &warm);
  for (int64_t i = 0; i < n_times && !err; i++) {
    err = time_encode(tok, t, &ids, &encode[i]);
    copy[i] = time_copy(t, to);
  }
  if (!err) {
    double e = mb / hy_median(encode, n_times);
    double c = mb / hy_median(copy, n_times);

    printf("encode %s: %zu texts, %.1f MB, %zu ids: first %.1f MB/s  median "
           "%.1f MB/s  copy %.0f MB/s  ratio %.4f\n",
           path, t->n, mb, ids.n, mb / warm, e, c, e / c);
  }
  hy_tok_free(tok);
  free(ids.id);
  free(to);
  free(copy);
  free(encode);
  return err;
}

int
hy_bench_encode(const hy_deck *d)
{
  texts t = {0};
  int err = read_texts(&t, &d->prepare);

  if (!err && d->bench.tokenizers.n == 0)
    err = one_tokenizer(d->prepare.tokenizer, &t, d->bench.n_times);
  for (int i = 0; i < d->bench.tokenizers.n && !err; i++)
    err = one_tokenizer(d->bench.tokenizers.s[i], &t, d->bench.n_times);
  free(t.all.data);
  free(t.end);
  return err;
}
