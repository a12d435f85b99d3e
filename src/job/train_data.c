#include "job/train_data.h"
#include "base/err.h"
#include "base/file.h"
#include "io/ckpt.h"
#include "layer/layer.h"
#include "model/count.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

/* Validation and test measure what was trained: same rows, same tokens. */
static int
check_same_kind(const hy_loader *train, const hy_loader *other, const char *key)
{
  const char *a = hy_blend_tok_hash(hy_loader_blend(train));
  const char *b = hy_blend_tok_hash(hy_loader_blend(other));
  const char *path = hy_blend_source(hy_loader_blend(other), 0)->path;

  if (hy_loader_seq_len(other) != hy_loader_seq_len(train))
    return hy_fail(HY_EDECK,
                   "%s=%s: rows of %lld tokens, data.train has %lld; prepare "
                   "both with the same prepare.seq_len",
                   key, path, (long long)hy_loader_seq_len(other),
                   (long long)hy_loader_seq_len(train));
  if (*a && *b && strcmp(a, b))
    return hy_fail(HY_EDATA,
                   "%s=%s: made with tokenizer %.12s, data.train with %.12s; "
                   "prepare both with the same tokenizer.json",
                   key, path, b, a);
  return HY_OK;
}

int
hy_data_open(hy_loader *l[3], const hy_deck *d, int n_ahead, const hy_comm *dp,
             const hy_cut_layout *cut)
{
  static const char *const key[] = {"data.train", "data.valid", "data.test"};
  const hy_mix *mix[] = {&d->data.train, &d->data.valid, &d->data.test};
  hy_deck_data keys = d->data;
  int err = HY_OK;

  memset(l, 0, 3 * sizeof *l);
  if (keys.prefetch < 0) /* a core that waits for its GPU can read */
    keys.prefetch = strcmp(d->job.device, "cpu") ? 2 : 0;
  for (int i = 0; i < 3 && !err; i++) {
    if (i > 0 && mix[i]->n == 0)
      continue;
    err = hy_loader_new(&l[i], (hy_part)i, &keys, d->model.vocab, n_ahead,
                        (uint64_t)d->job.seed + (uint64_t)i, dp, cut);
    if (!err && i > 0)
      err = check_same_kind(l[0], l[i], key[i]);
  }
  for (int i = 0; i < 3 && err; i++) {
    hy_loader_free(l[i]);
    l[i] = NULL;
  }
  return err;
}

/* A pair of tokens costs attention four products of a head's width, each layer,
 * and twice that backward; causal, so half of the squared length. */
void
hy_data_cost(hy_loader *l, const hy_plan *plan)
{
  double width = (double)(plan->cfg->n_heads * plan->cfg->d_head);
  int n = 0;

  for (int i = 0; i < plan->n_layer_all; i++)
    n += plan->layer[i].type == &hy_layer_attention;
  hy_loader_cost(l, 6 * (double)hy_plan_n_active(plan), 6 * width * n);
}

int
hy_data_check_tokenizer(const hy_loader *l, const char *folder)
{
  const char *hash = hy_blend_tok_hash(hy_loader_blend(l));
  char *path = hy_path_join(folder, "tokenizer.json"), sum[HY_SHA_HEX];
  int err = HY_OK;

  if (*hash && hy_path_exists(path))
    err = hy_sha256_file(path, sum);
  else
    hash = "";
  if (!err && *hash && strcmp(hash, sum))
    err = hy_fail(HY_EDATA,
                  "data.train: made with tokenizer %.12s, the model's %s is "
                  "%.12s; prepare the data with that file",
                  hash, path, sum);
  free(path);
  return err;
}

/* ---- what a checkpoint remembers ---- */

/* The entry of a lineage that says on what data a run trains: the last one,
 * those of earlier runs lie inside of others. */
static const json_t *
data_entry(const json_t *list)
{
  for (size_t i = json_array_size(list); i-- > 0;) {
    const json_t *e = json_array_get(list, i);
    const char *kind = json_string_value(json_object_get(e, "kind"));

    if (kind && (!strcmp(kind, "packed data") || !strcmp(kind, "blend") ||
                 !strcmp(kind, "indexed data")))
      return e;
  }
  return NULL;
}

static const char *
content_of(const json_t *entry)
{
  const char *text = json_string_value(json_object_get(entry, "content"));

  return text ? text : "";
}

int
hy_data_check_same(const hy_loader *l, const char *lineage, const char *path)
{
  hy_buf now = {0};
  json_t *a = json_loads(lineage, 0, NULL), *b;
  const char *was;
  int err = HY_OK;

  hy_blend_lineage(hy_loader_blend(l), &now);
  b = json_loads(now.data, 0, NULL);
  was = content_of(data_entry(a));
  if (*was && strcmp(was, content_of(data_entry(b))))
    err = hy_fail(HY_EDATA,
                  "data.train: its content is %.12s, %s was trained on %.12s; "
                  "give the same files, weights and data.switch_tokens, or "
                  "start a new run with model.from",
                  content_of(data_entry(b)), path, was);
  json_decref(a);
  json_decref(b);
  free(now.data);
  return err;
}

/* One key, now and then. */
static int
same_key(const char *key, double now, double was, const char *path)
{
  if (now == was)
    return HY_OK;
  return hy_fail(HY_EDECK,
                 "data.%s: is %.15g, %s was made with %.15g, and which rows "
                 "come next depends on it; set it to that",
                 key, now, path, was);
}

int
hy_data_check_keys(const hy_deck *d, const char *path)
{
  const hy_deck_data *now = &d->data, *was;
  hy_deck *old = hy_malloc(sizeof *old);
  hy_buf text = {0};
  int err = hy_ckpt_deck(&text, path);

  hy_deck_init(old);
  was = &old->data;
  if (!err)
    err = hy_deck_parse(old, text.data, path, NULL);
  if (!err)
    err = same_key("shuffle", now->shuffle, was->shuffle, path);
  if (!err)
    err = same_key("cross", now->cross, was->cross, path);
  if (!err && now->seq_len && was->seq_len)
    err = same_key("seq_len", (double)now->seq_len, (double)was->seq_len, path);
  if (!err && now->split.n > 1 && was->split.n > 1)
    for (int i = 0; i < now->split.n && !err; i++)
      err = same_key("split", now->split.v[i], was->split.v[i], path);
  else if (!err)
    err = same_key("split", now->split.n, was->split.n, path);
  hy_deck_free(old);
  free(old);
  free(text.data);
  return err;
}

/* ---- what is told ---- */

static void
print_source(const hy_loader *l, int i, int64_t n, int seen, double all)
{
  const hy_blend *b = hy_loader_blend(l);
  const hy_rows *r = hy_blend_source(b, i);
  int64_t rows = hy_blend_count(b, i, n);

  printf("  %s: share %.4f", r->path, hy_blend_share(b, 0, i));
  if (hy_blend_switch(b) >= 0)
    printf(", then %.4f", hy_blend_share(b, 1, i));
  printf("; %lld rows (%.4f)", (long long)rows, (double)rows / (double)n);
  if (r->n_rows > 0)
    printf(", %.2f epochs", (double)rows / (double)r->n_rows);
  if (seen)
    printf(", %lld tokens (%.4f)", (long long)hy_loader_seen(l, i),
           all > 0 ? (double)hy_loader_seen(l, i) / all : 0.0);
  printf("\n");
}

void
hy_data_print(const hy_loader *l, const hy_deck_data *d, int64_t n_steps,
              int seen)
{
  const hy_blend *b = hy_loader_blend(l);
  int n_source = hy_blend_n_sources(b);
  int64_t n = 0;
  double all = 0;

  if (n_steps <= INT64_MAX / d->global_batch)
    n = n_steps * d->global_batch;
  if (n == 0 || (n_source == 1 && hy_loader_n_rows(l) < 0))
    return;
  for (int i = 0; i < n_source; i++)
    all += (double)hy_loader_seen(l, i);
  printf("data.train: %lld rows %s%s", (long long)n, seen ? "read" : "planned",
         seen ? "; tokens of this start, without padding" : "");
  if (hy_blend_switch(b) >= 0)
    printf("; phase 2 from row %lld on", (long long)hy_blend_switch(b));
  printf("\n");
  for (int i = 0; i < n_source; i++)
    print_source(l, i, n, seen, all);
}
