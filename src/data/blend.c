#include "data/blend.h"
#include "base/err.h"
#include "base/lineage.h"
#include "base/rng.h"
#include "data/shares.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  hy_shares *shares;
  int *source; /* of each share */
  int *share;  /* of each source, -1: none */
  int64_t first;
} phase;

struct hy_blend {
  int n_source, n_phase;
  hy_rows **source;
  phase phase[2];
  int64_t seq_len;
};

/* ---- opening ---- */

/* The source with this path, a new one if there is none. */
static int
source_of(hy_blend *b, const char **path, const char *name)
{
  for (int i = 0; i < b->n_source; i++)
    if (!strcmp(path[i], name))
      return i;
  path[b->n_source] = name;
  return b->n_source++;
}

static int
add_phase(hy_blend *b, const hy_mix *mix, const char **path, const char *key)
{
  phase *p = &b->phase[b->n_phase++];

  p->shares = hy_shares_new(mix->weight, mix->n);
  if (!p->shares)
    return hy_fail(HY_EDECK,
                   "%s: a weight is above 0, but too small beside the others "
                   "to be ever read; leave it out",
                   key);
  p->source = hy_calloc((size_t)mix->n, sizeof *p->source);
  for (int i = 0; i < mix->n; i++)
    p->source[i] = mix->weight[i] > 0 ? source_of(b, path, mix->path[i]) : -1;
  return HY_OK;
}

static void
index_sources(hy_blend *b, int n_share, phase *p)
{
  p->share = hy_calloc((size_t)b->n_source, sizeof *p->share);
  for (int s = 0; s < b->n_source; s++)
    p->share[s] = -1;
  for (int i = 0; i < n_share; i++)
    if (p->source[i] >= 0)
      p->share[p->source[i]] = i;
}

/* Packed files know the length of their rows and are opened first; the others
 * take it over. */
static int
open_sources(hy_blend *b, const char **path, const hy_blend_keys *keys,
             const hy_comm *comm)
{
  hy_rows_keys k = keys->rows;
  char name[32];
  int err = HY_OK;

  b->source = hy_calloc((size_t)b->n_source, sizeof(hy_rows *));
  for (int knows = 1; knows >= 0; knows--)
    for (int i = 0; i < b->n_source && !err; i++) {
      if (hy_rows_know_length(path[i]) != knows)
        continue;
      err = hy_rows_open(&b->source[i], path[i], &k, comm);
      if (!err && !b->seq_len)
        k.seq_len = b->seq_len = b->source[i]->seq_len;
    }
  /* sources of one size shall not visit their rows in the same order */
  for (int i = 1; i < b->n_source && !err; i++) {
    snprintf(name, sizeof name, "source:%d", i);
    b->source[i]->seed = hy_rng_key(keys->rows.seed, name);
  }
  return err;
}

static int
check_tokenizers(const hy_blend *b)
{
  const hy_rows *first = NULL;

  for (int i = 0; i < b->n_source; i++) {
    const hy_rows *r = b->source[i];

    if (!r->tok_hash[0])
      continue;
    if (!first)
      first = r;
    if (strcmp(first->tok_hash, r->tok_hash))
      return hy_fail(HY_EDATA,
                     "%s: made with tokenizer %.12s, %s with %.12s; prepare "
                     "both with the same tokenizer.json",
                     r->path, r->tok_hash, first->path, first->tok_hash);
  }
  return HY_OK;
}

/* The switch, a number of whole steps. */
static int
set_switch(hy_blend *b, const hy_blend_keys *keys)
{
  int64_t step, near, at = keys->switch_tokens;

  if (b->n_phase < 2)
    return HY_OK;
  step = b->seq_len * keys->global_batch;
  near = at / step + (at % step > step / 2);
  if (at == 0)
    return hy_fail(HY_EDECK, "data.switch_tokens: not set; data.train_2 needs "
                             "to know after how many tokens it begins");
  if (at % step)
    return hy_fail(HY_EDECK,
                   "data.switch_tokens: %lld is not a border of steps of %lld "
                   "tokens; the nearest is %lld",
                   (long long)at, (long long)step,
                   (long long)((near ? near : 1) * step));
  b->phase[1].first = at / b->seq_len;
  return HY_OK;
}

int
hy_blend_open(hy_blend **out, const hy_blend_keys *keys, const hy_comm *comm)
{
  hy_blend *b = hy_calloc(1, sizeof *b);
  int two = keys->second && keys->second->n;
  size_t most = (size_t)keys->mix->n + (size_t)(two ? keys->second->n : 0);
  const char **path = hy_calloc(most, sizeof *path);
  int err = add_phase(b, keys->mix, path, keys->key);

  if (!err && two)
    err = add_phase(b, keys->second, path, "data.train_2");
  if (!err) {
    index_sources(b, keys->mix->n, &b->phase[0]);
    if (two)
      index_sources(b, keys->second->n, &b->phase[1]);
    err = open_sources(b, path, keys, comm);
  }
  if (!err)
    err = set_switch(b, keys);
  if (!err)
    err = check_tokenizers(b);
  free(path);
  if (err) {
    hy_blend_free(b);
    b = NULL;
  }
  *out = b;
  return err;
}

void
hy_blend_free(hy_blend *b)
{
  if (!b)
    return;
  for (int i = 0; b->source && i < b->n_source; i++)
    hy_rows_free(b->source[i]);
  for (int p = 0; p < b->n_phase; p++) {
    hy_shares_free(b->phase[p].shares);
    free(b->phase[p].source);
    free(b->phase[p].share);
  }
  free(b->source);
  free(b);
}

/* ---- facts ---- */

int64_t
hy_blend_seq_len(const hy_blend *b)
{
  return b->seq_len;
}

int
hy_blend_n_sources(const hy_blend *b)
{
  return b->n_source;
}

const hy_rows *
hy_blend_source(const hy_blend *b, int i)
{
  return b->source[i];
}

int64_t
hy_blend_switch(const hy_blend *b)
{
  return b->n_phase > 1 ? b->phase[1].first : -1;
}

double
hy_blend_share(const hy_blend *b, int p, int source)
{
  int i = p < b->n_phase ? b->phase[p].share[source] : -1;

  return i < 0 ? 0 : hy_shares_of(b->phase[p].shares, i);
}

const char *
hy_blend_tok_hash(const hy_blend *b)
{
  for (int i = 0; i < b->n_source; i++)
    if (b->source[i]->tok_hash[0])
      return b->source[i]->tok_hash;
  return "";
}

/* ---- samples ---- */

/* Rows of a source among the first n samples of a phase. */
static int64_t
count_in(const phase *p, int source, int64_t n)
{
  int i = p->share[source];

  return i < 0 || n <= 0 ? 0 : hy_shares_count(p->shares, i, n);
}

int64_t
hy_blend_count(const hy_blend *b, int source, int64_t n)
{
  int64_t at = hy_blend_switch(b);

  if (at < 0 || n <= at)
    return count_in(&b->phase[0], source, n);
  return count_in(&b->phase[0], source, at) +
         count_in(&b->phase[1], source, n - at);
}

hy_blend_row
hy_blend_at(const hy_blend *b, int64_t i)
{
  int64_t begin = hy_blend_switch(b);
  const phase *p = &b->phase[begin >= 0 && i >= begin];
  hy_blend_row at;

  at.source = p->source[hy_shares_at(p->shares, i - p->first, &at.row)];
  if (p->first)
    at.row += count_in(&b->phase[0], at.source, p->first);
  return at;
}

int64_t
hy_blend_n_rows(const hy_blend *b)
{
  int64_t least = -1;

  for (int s = 0; s < b->n_source; s++) {
    int64_t rows = b->source[s]->n_rows, lo = 0, hi = INT64_MAX / 4;

    if (rows < 0 || b->phase[0].share[s] < 0)
      continue;
    while (hi - lo > 1) { /* count(lo) <= rows < count(hi) */
      int64_t mid = lo + (hi - lo) / 2;

      if (count_in(&b->phase[0], s, mid) <= rows)
        lo = mid;
      else
        hi = mid;
    }
    least = least < 0 || lo < least ? lo : least;
  }
  return least;
}

/* ---- rows ---- */

static int64_t
epoch_of(const hy_rows *r, int in_order, int64_t *row)
{
  int64_t epoch = r->n_rows > 0 ? *row / r->n_rows : 0;

  *row = r->n_rows > 0 ? *row % r->n_rows : *row;
  return in_order ? -1 : epoch;
}

int
hy_blend_read(hy_blend *b, hy_blend_row at, int in_order, hy_row *out)
{
  hy_rows *r = b->source[at.source];
  int64_t epoch = epoch_of(r, in_order, &at.row);

  return r->type->row(r, epoch, at.row, out);
}

double
hy_blend_pairs(hy_blend *b, hy_blend_row at, int in_order)
{
  hy_rows *r = b->source[at.source];
  int64_t epoch = epoch_of(r, in_order, &at.row);

  return r->type->pairs(r, epoch, at.row);
}

/* ---- lineage ---- */

static const char *
kind_of(const hy_rows *r)
{
  return strcmp(r->type->name, "indexed") ? "packed data" : "indexed data";
}

void
hy_blend_lineage(const hy_blend *b, hy_buf *list)
{
  hy_buf inner = {0}, text = {0};
  char hash[HY_SHA_HEX];
  hy_sha256 h;

  for (int i = 0; i < b->n_source; i++) {
    const hy_rows *r = b->source[i];

    hy_lineage_add(b->n_source > 1 ? &inner : list, kind_of(r), r->hash,
                   r->lineage);
    hy_buf_printf(&text, "%s %.17g %.17g\n", r->hash, hy_blend_share(b, 0, i),
                  hy_blend_share(b, 1, i));
  }
  if (b->n_source > 1) {
    hy_buf_printf(&text, "switch %lld\n", (long long)hy_blend_switch(b));
    hy_sha256_init(&h);
    hy_sha256_add(&h, text.data, text.len);
    hy_sha256_hex(&h, hash);
    hy_lineage_add(list, "blend", hash, inner.data);
  }
  free(inner.data);
  free(text.data);
}
