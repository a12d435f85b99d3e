/* curate_eval.c: n-grams of evaluation files. */
#include "prep/curate_impl.h"
#include "base/err.h"
#include "base/mem.h"
#include "prep/doc.h"
#include "prep/input.h"

#include <stdlib.h>

/* A text shorter than the n-grams, but not too short to say anything, is looked
 * for as a whole. Source: Brown et al. 2020, arXiv:2005.14165, appendix C. */
static void
add_text(hy_curate *c, const char *text, size_t n)
{
  size_t len = (size_t)c->d.decontaminate_ngram, n_grams;
  const uint64_t *gram;

  hy_words_of(&c->words, text, n);
  c->n_texts++;
  if (c->words.n < (size_t)hy_curate_shortest(c)) {
    c->n_short++;
    return;
  }
  len = c->words.n < len ? c->words.n : len;
  c->eval_has[len] = 1;
  gram = hy_curate_grams(c, len, &n_grams);
  for (size_t i = 0; i < n_grams; i++)
    hy_hashes_add(&c->eval, gram[i]);
}

/* Every string of a record is a text. */
static void
add_strings(hy_curate *c, const json_t *v)
{
  const char *key;
  json_t *item;
  size_t i;

  if (json_is_string(v))
    add_text(c, json_string_value(v), json_string_length(v));
  json_array_foreach((json_t *)v, i, item) add_strings(c, item);
  json_object_foreach((json_t *)v, key, item) add_strings(c, item);
}

static int
add_record(hy_curate *c, hy_records *r, const hy_record *rec)
{
  char *where;
  int err;

  if (rec->why == hy_why_blank)
    return HY_OK;
  if (!rec->why) {
    if (rec->json)
      add_strings(c, rec->json);
    else
      add_text(c, rec->text, rec->n);
    return HY_OK;
  }
  where = hy_records_where(r);
  err =
      hy_fail(HY_EDATA, "%s: %s; correct the evaluation file", where, rec->why);
  free(where);
  return err;
}

static int
add_shard(hy_curate *c, const hy_input *in, int64_t shard)
{
  hy_records *r;
  hy_record rec;
  int err = hy_records_open(&r, in, shard), more = 1;

  while (!err && more) {
    err = hy_records_next(r, &rec, &more);
    if (!err && more)
      err = add_record(c, r, &rec);
  }
  hy_records_close(r);
  return err;
}

static int
add_file(hy_curate *c, const char *path, hy_sha256 *s)
{
  int64_t before = c->n_texts - c->n_short;
  hy_input in = {0};
  int err = hy_input_measure(&in, path, INT64_MAX);

  for (int64_t i = 0; i < in.n_shards && !err; i++)
    err = add_shard(c, &in, i);
  if (!err && c->n_texts - c->n_short == before)
    err = hy_fail(HY_EDATA,
                  "%s: no text in it has %d words; lower "
                  "curate.decontaminate_ngram or leave it out",
                  path, hy_curate_shortest(c));
  if (!err)
    hy_sha256_add(s, in.sha, HY_SHA_HEX - 1);
  hy_input_free(&in);
  return err;
}

static void
make_maybe(hy_curate *c)
{
  uint64_t n_bits = 1024;

  while (n_bits < 8 * c->eval.n)
    n_bits *= 2;
  c->maybe = hy_calloc(n_bits / 64, sizeof *c->maybe);
  c->maybe_mask = n_bits - 1;
  for (size_t i = 0; i <= c->eval.mask; i++) {
    uint64_t bit = c->eval.v[i] >> 20 & c->maybe_mask;

    if (c->eval.v[i])
      c->maybe[bit / 64] |= (uint64_t)1 << bit % 64;
  }
}

int
hy_curate_eval(hy_curate *c, hy_sha256 *s)
{
  const hy_strs *file = &c->d.decontaminate;
  char **path = NULL;
  int n = 0, err;

  if (file->n == 0)
    return HY_OK;
  err = hy_inputs_find(&path, &n, file->s, file->n);
  for (int i = 0; i < n && !err; i++)
    err = add_file(c, path[i], s);
  if (!err)
    make_maybe(c);
  for (int i = 0; i < n; i++)
    free(path[i]);
  free(path);
  return err;
}
