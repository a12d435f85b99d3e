/* reader_packed.c: rows of packed conversations, as Megatron-Bridge and the
 * Nemotron recipes write them to Parquet. */
#include "prep/reader_impl.h"
#include "base/err.h"

#include <stdlib.h>

/* A row as arrays. */
typedef struct {
  int32_t *id;
  float *weight; /* (n) of predicting that token */
  size_t n;
  size_t *start; /* (n_docs + 1) first token of each document, n at the end */
  size_t n_docs;
} row;

static const char *
row_ids(row *w, const json_t *list)
{
  const json_t *v;
  size_t i;

  w->n = json_array_size(list);
  w->id = hy_malloc(w->n * sizeof *w->id);
  json_array_foreach(list, i, v)
  {
    json_int_t id = json_integer_value(v);

    if (!json_is_integer(v))
      return "`input_ids` that are no integers";
    if (id < 0 || id > INT32_MAX)
      return "id that is not in the vocabulary";
    w->id[i] = (int32_t)id;
  }
  return NULL;
}

static const char *
row_starts(row *w, const json_t *list)
{
  const json_t *v;
  json_int_t before = 0;
  size_t i;

  w->n_docs = json_array_size(list);
  w->start = hy_malloc((w->n_docs + 1) * sizeof *w->start);
  json_array_foreach(list, i, v)
  {
    json_int_t at = json_integer_value(v);

    if (!json_is_integer(v))
      return "`seq_start_id` that are no integers";
    if (i == 0 && at != 0)
      return "`seq_start_id` that does not begin with 0";
    if (at < before)
      return "`seq_start_id` that decreases";
    if (at >= (json_int_t)w->n)
      return "`seq_start_id` beyond the row";
    before = at;
    w->start[i] = (size_t)at;
  }
  w->start[w->n_docs] = w->n;
  return w->n_docs > 0 ? NULL : "no `seq_start_id`";
}

/* The mask stands one place to the left: entry j belongs to token j + 1 of the
 * same document. */
static const char *
row_weights(row *w, const json_t *mask)
{
  const json_t *v;
  size_t i, d = 0;

  if (json_array_size(mask) != w->n)
    return "`loss_mask` of another length than `input_ids`";
  w->weight = hy_calloc(w->n, sizeof *w->weight);
  json_array_foreach(mask, i, v)
  {
    json_int_t m = json_integer_value(v);

    if (!json_is_integer(v) || m < 0 || m > 1)
      return "`loss_mask` that is neither 0 nor 1";
    while (w->start[d + 1] <= i)
      d++;
    if (i + 1 < w->start[d + 1])
      w->weight[i + 1] = (float)m;
  }
  return NULL;
}

static int
add_docs(hy_reader *r, const row *w)
{
  int err = HY_OK, same_row = 0;

  for (size_t d = 0; d < w->n_docs && !err; d++) {
    size_t from = w->start[d], n = w->start[d + 1] - from;

    if (n == 0)
      continue;
    hy_doc_add_ids(&r->doc, w->id + from, r->all ? NULL : w->weight + from, n);
    r->doc.same_row = same_row;
    same_row = 1;
    err = hy_reader_add(r);
  }
  return err;
}

int
hy_read_packed_sft(hy_reader *r, const json_t *o, const char **why)
{
  const json_t *ids = json_object_get(o, "input_ids");
  const json_t *mask = json_object_get(o, "loss_mask");
  const json_t *starts = json_object_get(o, "seq_start_id");
  row w = {0};
  int err = HY_OK;

  if (!json_is_array(ids) || !json_is_array(mask) || !json_is_array(starts))
    *why = "no lists `input_ids`, `loss_mask`, `seq_start_id`";
  if (!*why)
    *why = row_ids(&w, ids);
  if (!*why && w.n == 0)
    *why = hy_why_empty;
  if (!*why)
    *why = row_starts(&w, starts);
  if (!*why)
    *why = row_weights(&w, mask);
  if (!*why)
    err = add_docs(r, &w);
  free(w.id);
  free(w.weight);
  free(w.start);
  return err;
}
