#include "data/batch.h"
#include "base/err.h"
#include "data/rows.h"

#include <math.h>
#include <stdlib.h>

struct hy_loader {
  hy_rows *rows;
  hy_comm dp;
  int64_t seq_len, global_batch, micro_batch;

  /* the choice: own samples first .. first+n-1 */
  int64_t first, n, n_micro;
  int in_order; /* samples are rows of the file */
  hy_batch b;   /* buffers for micro_batch rows, and the denominators */
  hy_cut *cut;  /* NULL: rows stay whole */
};

/* Read a sample into place r of the micro-batch. */
static int
load_row(hy_loader *l, int64_t sample, int64_t r, hy_row *row)
{
  int64_t at = r * l->seq_len, n = l->rows->n_rows;
  int64_t epoch = n > 0 ? sample / n : 0;
  int err;

  row->token = l->b.token + at;
  row->target = l->b.target + at;
  row->weight = l->b.weight + at;
  row->seq_start = l->b.seq_start + at;
  row->pad = l->b.pad + at;
  err = l->rows->type->row(l->rows, l->in_order ? -1 : epoch,
                           n > 0 ? sample % n : sample, row);
  for (int64_t t = 0; t < l->seq_len; t++)
    row->seq_start[t] += (int32_t)at;
  return err;
}

/* ---- denominators ---- */

#define SUM_UNIT 1048576.0 /* weights are summed in units of 2^-20 */

/* Sum of a row's weights as an integer: then the sum over rows does not
 * depend on who adds them in which order. */
static int64_t
weigh(const float *w, int64_t n)
{
  double sum = 0;

  for (int64_t t = 0; t < n; t++)
    sum += (double)w[t];
  return (int64_t)llrint(sum * SUM_UNIT);
}

static int
choose(hy_loader *l, int64_t first, int64_t n)
{
  int64_t size = l->dp.size, r = l->dp.rank, most = (n + size - 1) / size;
  int64_t sum[HY_AHEAD_MAX + 3] = {0};
  int err = HY_OK;

  l->n = n / size + (r < n % size);
  l->first = first + r * (n / size) + (r < n % size ? r : n % size);
  l->n_micro = (most + l->micro_batch - 1) / l->micro_batch;
  l->b.n_rows = 1;
  l->b.n_tokens = l->seq_len;
  for (int64_t i = 0; i < l->n && !err; i++) {
    hy_row row;

    err = load_row(l, l->first + i, 0, &row);
    hy_batch_ahead(&l->b);
    for (int k = 0; k < l->b.n_ahead; k++)
      sum[k] += weigh(l->b.ahead[k].weight, l->seq_len);
    sum[HY_AHEAD_MAX] += weigh(row.weight, l->seq_len);
    sum[HY_AHEAD_MAX + 1] += row.n_docs;
    sum[HY_AHEAD_MAX + 2] += row.n_real;
  }
  err = hy_agree(&l->dp, err);
  if (err)
    return err;
  hy_sum_i64(&l->dp, sum, HY_AHEAD_MAX + 3);
  for (int k = 0; k < HY_AHEAD_MAX; k++)
    l->b.n_ahead_target[k] = (double)sum[k] / SUM_UNIT;
  l->b.n_target = (double)sum[HY_AHEAD_MAX] / SUM_UNIT;
  l->b.n_docs = (double)sum[HY_AHEAD_MAX + 1];
  l->b.n_real = (double)sum[HY_AHEAD_MAX + 2];
  return HY_OK;
}

int
hy_loader_step(hy_loader *l, int64_t step)
{
  l->in_order = 0;
  return choose(l, step * l->global_batch, l->global_batch);
}

int
hy_loader_rows(hy_loader *l, int64_t first, int64_t n)
{
  int64_t n_rows = hy_loader_n_rows(l);

  if (first < 0 || n < 0 || (n_rows >= 0 && first > n_rows - n))
    return hy_fail(HY_EBUG, "loader: rows %lld..%lld of %lld; report this",
                   (long long)first, (long long)(first + n - 1),
                   (long long)n_rows);
  l->in_order = 1;
  return choose(l, first, n);
}

int
hy_loader_micro(hy_loader *l, int64_t i, hy_batch *b)
{
  int64_t from = i * l->micro_batch, n = l->n - from;
  hy_row row;
  int err = HY_OK;

  if (n > l->micro_batch)
    n = l->micro_batch;
  l->b.n_rows = n > 0 ? n : 0;
  l->b.n_tokens = l->b.n_rows * l->seq_len;
  for (int64_t r = 0; r < l->b.n_rows && !err; r++)
    err = load_row(l, l->first + from + r, r, &row);
  hy_batch_ahead(&l->b);
  *b = l->b;
  if (l->cut && !err)
    hy_cut_rows(l->cut, &l->b, b);
  return err;
}

/* ---- new ---- */

static void
get_buffers(hy_loader *l, int n_ahead)
{
  l->b.seq_len = l->seq_len;
  l->b.n_ahead = n_ahead;
  l->b.n_tokens = l->micro_batch * l->seq_len;
  hy_batch_columns(&l->b);
}

int
hy_loader_new(hy_loader **out, const char *source, const hy_deck_data *d,
              int64_t vocab, int n_ahead, uint64_t seed, const hy_comm *dp,
              const hy_cut_layout *cut)
{
  hy_loader *l = hy_calloc(1, sizeof *l);
  hy_rows_keys keys = {.seq_len = d->seq_len,
                       .vocab = vocab,
                       .seed = seed,
                       .shuffle = d->shuffle,
                       .to = 1};
  int64_t most;
  int err = HY_OK;

  *out = NULL;
  l->dp = *dp;
  l->global_batch = d->global_batch;
  l->micro_batch = d->micro_batch;
  if (!*source)
    err = hy_fail(HY_EDECK, "data.train, data.valid: not set; give a packed "
                            "file made by the job prepare, or 'mock'");
  else if (n_ahead > HY_AHEAD_MAX)
    err = hy_fail(HY_EDECK, "model.mtp_depths: %d; at most %d are supported",
                  n_ahead, HY_AHEAD_MAX);
  else
    err = hy_rows_open(&l->rows, source, &keys, dp);
  l->seq_len = err ? 0 : l->rows->seq_len;
  if (!err && l->seq_len * l->micro_batch > INT32_MAX)
    err = hy_fail(HY_EDECK,
                  "data.micro_batch: %lld rows of %lld tokens exceed 2^31; "
                  "set a smaller one",
                  (long long)l->micro_batch, (long long)l->seq_len);
  if (!err && cut)
    err = hy_cut_new(&l->cut, cut, l->micro_batch, l->seq_len, n_ahead);
  if (err) {
    hy_loader_free(l);
    return err;
  }
  most = (l->global_batch + dp->size - 1) / dp->size;
  l->n_micro = (most + l->micro_batch - 1) / l->micro_batch;
  get_buffers(l, n_ahead);
  *out = l;
  return HY_OK;
}

void
hy_loader_free(hy_loader *l)
{
  if (!l)
    return;
  hy_rows_free(l->rows);
  hy_cut_free(l->cut);
  hy_batch_columns_free(&l->b);
  free(l);
}

int64_t
hy_loader_n_rows(const hy_loader *l)
{
  return l->rows->n_rows;
}

int64_t
hy_loader_seq_len(const hy_loader *l)
{
  return l->seq_len;
}

const char *
hy_loader_hash(const hy_loader *l)
{
  return l->rows->hash;
}

int64_t
hy_loader_n_micro(const hy_loader *l)
{
  return l->n_micro;
}
