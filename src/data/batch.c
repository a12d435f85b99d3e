#include "data/batch.h"
#include "base/clock.h"
#include "base/err.h"
#include "data/feed.h"

#include <stdlib.h>
#include <string.h>

struct hy_loader {
  hy_blend *blend;
  hy_picker *picker;
  hy_feed *feed;
  hy_comm dp;
  int64_t seq_len, n_rows, n_micro;
  int n_ahead, n_sum;
  int64_t *sum;  /* of the choice, over all ranks */
  int64_t *seen; /* by source */
  hy_batch denominators;
  hy_cut *cut; /* NULL: rows stay whole */
  double seconds;
};

/* ---- the choice ---- */

/* Take over what one rank knows of the choice, and sum over all. */
static int
choose(hy_loader *l, int err, const hy_pick *pick, int counts)
{
  hy_batch *b = &l->denominators;

  err = hy_agree(&l->dp, err);
  if (err)
    return err;
  l->n_micro = pick->n_micro;
  memcpy(l->sum, pick->sum, (size_t)l->n_sum * sizeof *l->sum);
  hy_sum_i64(&l->dp, l->sum, l->n_sum);
  for (int k = 0; k < HY_AHEAD_MAX; k++)
    b->n_ahead_target[k] = (double)l->sum[HY_PICK_AHEAD + k] / HY_PICK_UNIT;
  b->n_target = (double)l->sum[HY_PICK_WEIGHT] / HY_PICK_UNIT;
  b->n_docs = (double)l->sum[HY_PICK_DOCS];
  b->n_real = (double)l->sum[HY_PICK_REAL];
  for (int i = 0; counts && i < hy_blend_n_sources(l->blend); i++)
    l->seen[i] += l->sum[HY_PICK_SOURCE + i];
  return HY_OK;
}

int
hy_loader_step(hy_loader *l, int64_t step)
{
  const hy_pick *pick = NULL;
  double begin = hy_now();
  int err = hy_feed_step(l->feed, step, &pick);

  l->seconds += hy_now() - begin;
  return choose(l, err, pick, 1);
}

int
hy_loader_rows(hy_loader *l, int64_t first, int64_t n)
{
  const hy_pick *pick = NULL;
  int err;

  if (first < 0 || n < 0 || (l->n_rows >= 0 && first > l->n_rows - n))
    return hy_fail(HY_EBUG, "loader: rows %lld..%lld of %lld; report this",
                   (long long)first, (long long)(first + n - 1),
                   (long long)l->n_rows);
  err = hy_feed_rows(l->feed, first, n, &pick);
  return choose(l, err, pick, 0);
}

int
hy_loader_micro(hy_loader *l, int64_t i, hy_batch *b)
{
  const hy_batch *all = &l->denominators;
  double begin = hy_now();
  int err = hy_feed_micro(l->feed, i, b);

  memcpy(b->n_ahead_target, all->n_ahead_target, sizeof b->n_ahead_target);
  b->n_target = all->n_target;
  b->n_docs = all->n_docs;
  b->n_real = all->n_real;
  if (l->cut && !err)
    hy_cut_rows(l->cut, b, b);
  l->seconds += hy_now() - begin;
  return err;
}

/* ---- new ---- */

static const char *const part_key[] = {"data.train", "data.valid", "data.test"};

/* The share of an indexed file's documents that is this part's. */
static int
set_split(hy_rows_keys *k, hy_part part, const hy_reals *split)
{
  double sum = 0, before = 0;

  for (int i = 0; i < split->n; i++) {
    sum += split->v[i];
    before += i < (int)part ? split->v[i] : 0;
  }
  k->from = 0;
  k->to = 1;
  if (split->n < 2)
    return HY_OK;
  if (split->n != 3 || sum <= 0)
    return hy_fail(HY_EDECK, "data.split: give one number (no split) or the "
                             "shares of train, valid and test, as 9999,8,2");
  k->from = before / sum;
  k->to = part == HY_PART_TEST ? 1 : (before + split->v[part]) / sum;
  return HY_OK;
}

static int
open_blend(hy_loader *l, hy_part part, const hy_deck_data *d, int64_t vocab,
           uint64_t seed)
{
  const hy_mix *mix[] = {&d->train, &d->valid, &d->test};
  hy_blend_keys keys = {.key = part_key[part],
                        .mix = mix[part],
                        .switch_tokens = d->switch_tokens,
                        .global_batch = d->global_batch,
                        .rows = {.seq_len = d->seq_len,
                                 .vocab = vocab,
                                 .seed = seed,
                                 .shuffle = d->shuffle,
                                 .cross = d->cross}};
  int err = set_split(&keys.rows, part, &d->split);

  if (!err && mix[part]->n == 0)
    err = hy_fail(HY_EDECK,
                  "%s: not set; give a packed file made by the job "
                  "prepare, or 'mock'",
                  part_key[part]);
  if (part == HY_PART_TRAIN)
    keys.second = &d->train_2;
  if (!err && part == HY_PART_TRAIN && d->switch_tokens && !d->train_2.n)
    err = hy_fail(HY_EDECK, "data.switch_tokens: data.train_2 is not set; say "
                            "what is read from there on");
  return err ? err : hy_blend_open(&l->blend, &keys, &l->dp);
}

static void
open_feed(hy_loader *l, const hy_deck_data *d)
{
  hy_pick_keys k = {.rank = l->dp.rank,
                    .size = l->dp.size,
                    .global_batch = d->global_batch,
                    .micro_batch = d->micro_batch,
                    .n_ahead = l->n_ahead,
                    .balance = d->balance,
                    .per_token = 1,
                    .per_pair = 1};
  int64_t most = (d->global_batch + l->dp.size - 1) / l->dp.size;
  int n = hy_blend_n_sources(l->blend);

  l->picker = hy_picker_new(l->blend, &k);
  l->feed = hy_feed_new(l->picker, d->global_batch,
                        d->prefetch > 0 ? (int)d->prefetch : 0);
  l->n_micro = (most + d->micro_batch - 1) / d->micro_batch;
  l->n_rows = hy_blend_n_rows(l->blend);
  l->n_sum = HY_PICK_SOURCE + n;
  l->sum = hy_calloc((size_t)l->n_sum, sizeof *l->sum);
  l->seen = hy_calloc((size_t)n, sizeof *l->seen);
}

int
hy_loader_new(hy_loader **out, hy_part part, const hy_deck_data *d,
              int64_t vocab, int n_ahead, uint64_t seed, const hy_comm *dp,
              const hy_cut_layout *cut)
{
  hy_loader *l = hy_calloc(1, sizeof *l);
  int err = HY_OK;

  *out = NULL;
  l->dp = *dp;
  l->n_ahead = n_ahead;
  if (n_ahead > HY_AHEAD_MAX)
    err = hy_fail(HY_EDECK, "model.mtp_depths: %d; at most %d are supported",
                  n_ahead, HY_AHEAD_MAX);
  else
    err = open_blend(l, part, d, vocab, seed);
  l->seq_len = err ? 0 : hy_blend_seq_len(l->blend);
  if (!err && l->seq_len * d->micro_batch > INT32_MAX)
    err = hy_fail(HY_EDECK,
                  "data.micro_batch: %lld rows of %lld tokens exceed 2^31; "
                  "set a smaller one",
                  (long long)d->micro_batch, (long long)l->seq_len);
  if (!err && cut)
    err = hy_cut_new(&l->cut, cut, d->micro_batch, l->seq_len, n_ahead);
  if (!err)
    open_feed(l, d);
  if (err) {
    hy_loader_free(l);
    return err;
  }
  *out = l;
  return HY_OK;
}

void
hy_loader_free(hy_loader *l)
{
  if (!l)
    return;
  hy_feed_free(l->feed); /* its thread first */
  hy_picker_free(l->picker);
  hy_blend_free(l->blend);
  hy_cut_free(l->cut);
  free(l->sum);
  free(l->seen);
  free(l);
}

void
hy_loader_cost(hy_loader *l, double per_token, double per_pair)
{
  hy_picker_cost(l->picker, per_token, per_pair);
}

int64_t
hy_loader_n_rows(const hy_loader *l)
{
  return l->n_rows;
}

int64_t
hy_loader_seq_len(const hy_loader *l)
{
  return l->seq_len;
}

const hy_blend *
hy_loader_blend(const hy_loader *l)
{
  return l->blend;
}

int64_t
hy_loader_seen(const hy_loader *l, int source)
{
  return l->seen[source];
}

double
hy_loader_seconds(const hy_loader *l)
{
  return l->seconds;
}

int64_t
hy_loader_n_micro(const hy_loader *l)
{
  return l->n_micro;
}
