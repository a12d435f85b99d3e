/* rows_indexed.c: indexed data as a source. The documents of an epoch, one
 * after another in an order of their own, are one stream; row i begins at its
 * token i * seq_len and its targets end one token later.
 *
 * Where a document lies in that stream is a prefix sum over the order. It is
 * kept for every BLOCK-th document only, for two epochs; the rest is added up
 * when a row is read. */
#include "base/err.h"
#include "base/lineage.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/indexed.h"
#include "data/rows.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK = 64 };

/* Where the documents of an epoch begin. */
typedef struct {
  int64_t epoch;  /* -1: the order of the file, -2: nothing here */
  uint64_t key;   /* of the order */
  int64_t *start; /* (blocks) first token of every BLOCK-th document */
} order;

typedef struct {
  hy_indexed *x;
  int64_t first, n_docs, n_tokens; /* the share: documents and their tokens */
  int one_seq; /* every document is the sequence of its number */
  int64_t vocab;
  int cross;
  order o[2];
  int newest; /* of o */
} state;

/* A document of the stream. */
typedef struct {
  int64_t place;    /* in the order */
  int64_t number;   /* in the file */
  int64_t from, to; /* its tokens in the stream */
} doc;

/* ---- the stream of an epoch ---- */

static int64_t
first_token(const state *s, int64_t d)
{
  return hy_indexed_start(s->x, s->one_seq ? d : hy_indexed_doc(s->x, d));
}

static int64_t
length(const state *s, int64_t d)
{
  return s->one_seq ? hy_indexed_len(s->x, d)
                    : first_token(s, d + 1) - first_token(s, d);
}

/* The document of the file that stands at a place of the order. */
static int64_t
number_at(const hy_rows *r, const order *o, int64_t place)
{
  const state *s = r->state;

  return s->first + (o->epoch < 0 || !r->shuffle
                         ? place
                         : hy_shuffled(o->key, place, s->n_docs));
}

/* Complete a document of which place and from are set. */
static void
look_up(const hy_rows *r, const order *o, doc *d)
{
  d->number = number_at(r, o, d->place);
  d->to = d->from + length(r->state, d->number);
}

static void
next_doc(const hy_rows *r, const order *o, doc *d)
{
  d->place++;
  d->from = d->to;
  look_up(r, o, d);
}

/* Numbers of a block before their lengths: these are anywhere in memory, and
 * the processor fetches many at once when none depends on another. */
static void
lay_out(const hy_rows *r, order *o)
{
  const state *s = r->state;
  int64_t at = 0, number[BLOCK];

  for (int64_t i = 0; i < s->n_docs; i += BLOCK) {
    int64_t n = s->n_docs - i < BLOCK ? s->n_docs - i : BLOCK;

    for (int64_t k = 0; k < n; k++)
      number[k] = number_at(r, o, i + k);
    o->start[i / BLOCK] = at;
    for (int64_t k = 0; k < n; k++)
      at += length(s, number[k]);
  }
}

/* The order of an epoch; the older of the two makes room. */
static const order *
order_of(hy_rows *r, int64_t epoch)
{
  state *s = r->state;
  char name[64];
  order *o;

  if (epoch < 0 || !r->shuffle)
    epoch = -1;
  if (s->o[s->newest].epoch != epoch)
    s->newest = !s->newest;
  o = &s->o[s->newest];
  if (o->epoch == epoch)
    return o;
  o->epoch = epoch;
  snprintf(name, sizeof name, "documents:%lld", (long long)epoch);
  o->key = hy_rng_key(r->seed, name);
  lay_out(r, o);
  return o;
}

/* The document that holds token t of the stream. */
static doc
find(const hy_rows *r, const order *o, int64_t t)
{
  const state *s = r->state;
  int64_t lo = 0, hi = (s->n_docs + BLOCK - 1) / BLOCK;
  doc d;

  while (hi - lo > 1) {
    int64_t mid = lo + (hi - lo) / 2;

    if (o->start[mid] <= t)
      lo = mid;
    else
      hi = mid;
  }
  d.place = lo * BLOCK;
  d.from = o->start[lo];
  look_up(r, o, &d);
  while (d.to <= t) /* empty ones too */
    next_doc(r, o, &d);
  return d;
}

/* First token of row i, and how many it has. */
static int64_t
row_at(const hy_rows *r, const order *o, int64_t i, int64_t *n)
{
  const state *s = r->state;
  int64_t at = hy_rows_place(r, o->epoch, i, r->n_rows) * r->seq_len;

  *n = s->n_tokens - at < r->seq_len ? s->n_tokens - at : r->seq_len;
  return at;
}

/* ---- rows ---- */

/* Tokens 0 .. n (one more than the row has, unless the stream ends), and where
 * their documents begin. */
static int
fill(const hy_rows *r, const order *o, int64_t at, hy_row *out)
{
  const state *s = r->state;
  int64_t n = out->n_real, more = at + n < s->n_tokens, t = 0;
  doc d = find(r, o, at);
  int32_t last = 0;
  int err = HY_OK;

  out->n_docs = 0;
  while (t < n && !err) {
    int64_t skip = at + t - d.from, left = d.to - d.from - skip;
    int64_t take = left < n - t ? left : n - t;

    err = hy_indexed_ids(s->x, first_token(s, d.number) + skip, take,
                         out->token + t);
    for (int64_t k = 0; k < take; k++) {
      out->seq_start[t + k] = s->cross ? 0 : (int32_t)t;
      out->weight[t + k] = 1;
    }
    t += take;
    if (take == left && !s->cross)
      out->weight[t - 1] = 0;
    out->n_docs++;
    while (take > 0 && d.to == at + t && d.to < s->n_tokens)
      next_doc(r, o, &d);
  }
  if (more && !err)
    err = hy_indexed_ids(s->x, first_token(s, d.number) + at + n - d.from, 1,
                         &last);
  for (t = 0; t < n; t++)
    out->target[t] = t + 1 < n ? out->token[t + 1] : last;
  if (!more)
    out->weight[n - 1] = 0;
  if (s->cross)
    out->n_docs = 1;
  return err;
}

static int
check_ids(const hy_rows *r, int64_t i, const hy_row *out)
{
  const state *s = r->state;

  for (int64_t t = 0; t < out->n_real; t++) {
    int32_t id = out->token[t] < s->vocab ? out->target[t] : out->token[t];

    if (id >= s->vocab)
      return hy_fail(HY_EDATA,
                     "%s: row %lld has id %d, the model's vocabulary %lld "
                     "tokens; use data made with the tokenizer of the model",
                     r->path, (long long)i, id, (long long)s->vocab);
    if (out->weight[t] == 0)
      out->target[t] = 0;
  }
  return HY_OK;
}

static int
row(hy_rows *r, int64_t epoch, int64_t i, hy_row *out)
{
  const order *o = order_of(r, epoch);
  int64_t at = row_at(r, o, i, &out->n_real);
  int err = fill(r, o, at, out);

  if (!err)
    err = check_ids(r, i, out);
  for (int64_t t = out->n_real; t < r->seq_len; t++) {
    out->token[t] = out->target[t] = 0;
    out->weight[t] = 0;
    out->seq_start[t] = (int32_t)t;
  }
  for (int64_t t = 0; t < r->seq_len; t++)
    out->pad[t] = t >= out->n_real;
  return err;
}

static double
pairs(hy_rows *r, int64_t epoch, int64_t i)
{
  const order *o = order_of(r, epoch);
  const state *s = r->state;
  int64_t n, at = row_at(r, o, i, &n), stop = at + n;
  double sum = 0;
  doc d;

  if (s->cross)
    return (double)n * (double)n;
  for (d = find(r, o, at); at < stop; next_doc(r, o, &d)) {
    int64_t end = d.to < stop ? d.to : stop;

    sum += (double)(end - at) * (double)(end - at);
    at = end;
    if (at == stop)
      break;
  }
  return sum;
}

static void
close_files(hy_rows *r)
{
  state *s = r->state;

  hy_indexed_free(s->x);
  free(s->o[0].start);
  free(s->o[1].start);
  free(s);
}

static const hy_rows_type type = {"indexed", row, pairs, close_files};

/* ---- open ---- */

/* The share of the documents, and its rows. Shares are cut as Megatron cuts
 * them: at the nearest whole document. */
static int
set_share(hy_rows *r, const hy_rows_keys *keys)
{
  state *s = r->state;
  double n = (double)hy_indexed_n_docs(s->x);
  int64_t end = llrint(n * keys->to);

  s->one_seq = hy_indexed_n_docs(s->x) == hy_indexed_n_seq(s->x);
  for (int64_t d = 0; d < hy_indexed_n_docs(s->x) && s->one_seq; d++)
    s->one_seq = hy_indexed_doc(s->x, d) == d;
  s->first = llrint(n * keys->from);
  s->n_docs = end - s->first;
  s->n_tokens =
      s->n_docs > 0 ? first_token(s, end) - first_token(s, s->first) : 0;
  if (s->n_tokens < 2)
    return hy_fail(HY_EDATA,
                   "%s: its documents %lld to %lld have %lld tokens, fewer "
                   "than 2; give more data or another data.split",
                   r->path, (long long)s->first, (long long)end - 1,
                   (long long)s->n_tokens);
  r->n_rows = (s->n_tokens - 1 + r->seq_len - 1) / r->seq_len;
  for (int i = 0; i < 2; i++) {
    s->o[i].epoch = -2;
    s->o[i].start = hy_malloc((size_t)((s->n_docs + BLOCK - 1) / BLOCK) *
                              sizeof *s->o[i].start);
  }
  return HY_OK;
}

/* What the note beside the data says of their making. */
static int
read_note(hy_rows *r)
{
  hy_buf lineage = {0};
  int err = hy_indexed_lineage(r->path, r->hash, &lineage);

  r->lineage = lineage.data;
  if (!err && r->lineage)
    hy_lineage_of_kind(r->lineage, "tokenizer", r->tok_hash);
  return err;
}

int
hy_rows_open_indexed(hy_rows *r, const hy_rows_keys *keys, const hy_comm *comm)
{
  state *s = hy_calloc(1, sizeof *s);
  int err;

  r->type = &type;
  r->state = s;
  r->seq_len = keys->seq_len;
  s->vocab = keys->vocab;
  s->cross = keys->cross;
  err = hy_agree(comm, hy_indexed_open(&s->x, r->path));
  if (!err && r->seq_len < 1)
    err = hy_fail(HY_EDECK,
                  "data.seq_len: indexed data such as %s need it; set "
                  "data.seq_len",
                  r->path);
  if (!err)
    err = set_share(r, keys);
  if (!err) {
    hy_indexed_hash_all(s->x, comm, r->hash);
    err = hy_agree(comm, read_note(r));
  }
  return err;
}
