#include "data/pick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A rank or a micro-batch that rows are dealt to. */
typedef struct {
  double load;
  int64_t number, room;
} bin;

/* A row to deal. */
typedef struct {
  double cost;
  int64_t sample, bin;
} dealt;

struct hy_picker {
  hy_blend *blend;
  hy_pick_keys k;
  int64_t seq_len;
  hy_batch row; /* one row */
  dealt *deal;
  bin *heap;
  int64_t *order; /* of micro-batches */
  int64_t n_deal, n_heap;
};

hy_picker *
hy_picker_new(hy_blend *blend, const hy_pick_keys *keys)
{
  hy_picker *p = hy_calloc(1, sizeof *p);

  p->blend = blend;
  p->k = *keys;
  p->seq_len = hy_blend_seq_len(blend);
  p->row.seq_len = p->row.n_tokens = p->seq_len;
  p->row.n_ahead = keys->n_ahead;
  hy_batch_columns(&p->row);
  p->row.n_rows = 1;
  return p;
}

void
hy_picker_free(hy_picker *p)
{
  if (!p)
    return;
  hy_batch_columns_free(&p->row);
  free(p->deal);
  free(p->heap);
  free(p->order);
  free(p);
}

void
hy_picker_cost(hy_picker *p, double per_token, double per_pair)
{
  p->k.per_token = per_token;
  p->k.per_pair = per_pair;
}

void
hy_picker_room(const hy_picker *p, hy_batch *b)
{
  *b = (hy_batch){.seq_len = p->seq_len,
                  .n_ahead = p->k.n_ahead,
                  .n_tokens = p->k.micro_batch * p->seq_len};
  hy_batch_columns(b);
}

/* ---- one row ---- */

/* Read a sample into place r of b. */
static int
read_row(hy_picker *p, const hy_pick *pick, int64_t sample, hy_batch *b,
         int64_t r, hy_row *row)
{
  int64_t at = r * p->seq_len;
  int err;

  *row = (hy_row){.token = b->token + at,
                  .target = b->target + at,
                  .weight = b->weight + at,
                  .seq_start = b->seq_start + at,
                  .pad = b->pad + at};
  err = hy_blend_read(p->blend, hy_blend_at(p->blend, sample), pick->in_order,
                      row);
  for (int64_t t = 0; t < p->seq_len; t++)
    row->seq_start[t] += (int32_t)at;
  return err;
}

int
hy_picker_read(hy_picker *p, const hy_pick *pick, int64_t i, hy_batch *b)
{
  int64_t from = pick->micro[i], n = pick->micro[i + 1] - from;
  hy_row row;
  int err = 0;

  b->n_rows = n;
  b->n_tokens = n * p->seq_len;
  for (int64_t r = 0; r < n && !err; r++)
    err = read_row(p, pick, pick->sample[from + r], b, r, &row);
  hy_batch_ahead(b);
  return err;
}

/* ---- sums ---- */

/* Sum of a row's weights as an integer: then the sum over rows does not
 * depend on who adds them in which order. */
static int64_t
weigh(const float *w, int64_t n)
{
  double sum = 0;

  for (int64_t t = 0; t < n; t++)
    sum += (double)w[t];
  return (int64_t)llrint(sum * HY_PICK_UNIT);
}

static int
add_up(hy_picker *p, hy_pick *pick)
{
  int64_t *sum = pick->sum;
  hy_row row;
  int err = 0;

  memset(sum, 0,
         (HY_PICK_SOURCE + (size_t)hy_blend_n_sources(p->blend)) * sizeof *sum);
  for (int64_t i = 0; i < pick->n && !err; i++) {
    err = read_row(p, pick, pick->sample[i], &p->row, 0, &row);
    hy_batch_ahead(&p->row);
    for (int k = 0; k < p->row.n_ahead; k++)
      sum[HY_PICK_AHEAD + k] += weigh(p->row.ahead[k].weight, p->seq_len);
    sum[HY_PICK_WEIGHT] += weigh(row.weight, p->seq_len);
    sum[HY_PICK_DOCS] += row.n_docs;
    sum[HY_PICK_REAL] += row.n_real;
    sum[HY_PICK_SOURCE + hy_blend_at(p->blend, pick->sample[i]).source] +=
        row.n_real;
  }
  return err;
}

/* ---- dealing by cost ---- */

/* Less to do; of equals the first. */
static int
before(const bin *a, const bin *b)
{
  return a->load != b->load ? a->load < b->load : a->number < b->number;
}

static void
sink(bin *heap, int64_t n, int64_t i)
{
  for (int64_t child; (child = 2 * i + 1) < n; i = child) {
    bin t = heap[i];

    if (child + 1 < n && before(&heap[child + 1], &heap[child]))
      child++;
    if (before(&t, &heap[child]))
      return;
    heap[i] = heap[child];
    heap[child] = t;
  }
}

/* The rows, dearest first, each to the bin with the least load that has room;
 * the loads stay in the heap, in any order. */
static void
deal(dealt *row, int64_t n, bin *heap, int64_t n_bin)
{
  int64_t open = n_bin;

  for (int64_t i = n_bin / 2; i-- > 0;)
    sink(heap, n_bin, i);
  for (int64_t i = 0; i < n; i++) {
    while (heap[0].room == 0) { /* full: behind the open ones */
      bin full = heap[0];

      heap[0] = heap[--open];
      heap[open] = full;
      sink(heap, open, 0);
    }
    row[i].bin = heap[0].number;
    heap[0].load += row[i].cost;
    heap[0].room--;
    sink(heap, open, 0);
  }
}

static int
dearest_first(const void *a, const void *b)
{
  const dealt *x = a, *y = b;

  if (x->cost != y->cost)
    return x->cost > y->cost ? -1 : 1;
  return (x->sample > y->sample) - (x->sample < y->sample);
}

static int
by_bin(const void *a, const void *b)
{
  const dealt *x = a, *y = b;

  if (x->bin != y->bin)
    return x->bin < y->bin ? -1 : 1;
  return (x->sample > y->sample) - (x->sample < y->sample);
}

/* Micro-batches in the order of their loads; order[b] is the place of bin b. */
static int
by_load(const void *a, const void *b)
{
  const bin *x = a, *y = b;

  if (x->load != y->load)
    return x->load > y->load ? -1 : 1;
  return (x->number > y->number) - (x->number < y->number);
}

static void
get_room(hy_picker *p, int64_t n, int64_t n_bin)
{
  if (n > p->n_deal) {
    p->deal = hy_realloc(p->deal, (size_t)n * sizeof *p->deal);
    p->n_deal = n;
  }
  if (n_bin > p->n_heap) {
    p->heap = hy_realloc(p->heap, (size_t)n_bin * sizeof *p->heap);
    p->order = hy_realloc(p->order, (size_t)n_bin * sizeof *p->order);
    p->n_heap = n_bin;
  }
}

/* Rows of rank r of n in order. */
static int64_t
n_of(int64_t n, int64_t size, int64_t r)
{
  return n / size + (r < n % size);
}

/* Which rows are this rank's: to the front of p->deal, dearest first. */
static int64_t
deal_ranks(hy_picker *p, const hy_pick *pick)
{
  int64_t n = pick->n_all, mine = 0;

  for (int64_t i = 0; i < n; i++) {
    hy_blend_row at = hy_blend_at(p->blend, pick->first + i);

    p->deal[i].sample = pick->first + i;
    p->deal[i].cost =
        p->k.per_token * (double)p->seq_len +
        p->k.per_pair * hy_blend_pairs(p->blend, at, pick->in_order);
  }
  qsort(p->deal, (size_t)n, sizeof *p->deal, dearest_first);
  for (int r = 0; r < p->k.size; r++)
    p->heap[r] = (bin){.number = r, .room = n_of(n, p->k.size, r)};
  deal(p->deal, n, p->heap, p->k.size);
  for (int64_t i = 0; i < n; i++)
    if (p->deal[i].bin == p->k.rank)
      p->deal[mine++] = p->deal[i];
  return mine;
}

static void
pick_dealt(hy_picker *p, hy_pick *pick)
{
  int64_t n;

  get_room(p, pick->n_all,
           pick->n_micro > p->k.size ? pick->n_micro : p->k.size);
  n = deal_ranks(p, pick);
  for (int64_t m = 0; m < pick->n_micro; m++)
    p->heap[m] = (bin){.number = m, .room = p->k.micro_batch};
  deal(p->deal, n, p->heap, pick->n_micro);
  qsort(p->heap, (size_t)pick->n_micro, sizeof *p->heap, by_load);
  for (int64_t m = 0; m < pick->n_micro; m++)
    p->order[p->heap[m].number] = m;
  memset(pick->micro, 0, (size_t)(pick->n_micro + 1) * sizeof *pick->micro);
  for (int64_t i = 0; i < n; i++) {
    p->deal[i].bin = p->order[p->deal[i].bin];
    pick->micro[p->deal[i].bin + 1]++;
  }
  for (int64_t m = 0; m < pick->n_micro; m++)
    pick->micro[m + 1] += pick->micro[m];
  qsort(p->deal, (size_t)n, sizeof *p->deal, by_bin);
  for (int64_t i = 0; i < n; i++)
    pick->sample[i] = p->deal[i].sample;
}

/* ---- in order ---- */

static void
pick_in_order(const hy_picker *p, hy_pick *pick)
{
  int64_t n = pick->n_all, size = p->k.size, r = p->k.rank;
  int64_t first = pick->first + r * (n / size) + (r < n % size ? r : n % size);

  for (int64_t i = 0; i < pick->n; i++)
    pick->sample[i] = first + i;
  for (int64_t m = 0; m <= pick->n_micro; m++)
    pick->micro[m] =
        m * p->k.micro_batch < pick->n ? m * p->k.micro_batch : pick->n;
}

int
hy_picker_pick(hy_picker *p, hy_pick *out, int64_t first, int64_t n,
               int in_order)
{
  int64_t most = n_of(n, p->k.size, 0);
  size_t n_sum = HY_PICK_SOURCE + (size_t)hy_blend_n_sources(p->blend);

  if (!out->sum)
    out->sum = hy_calloc(n_sum, sizeof *out->sum);
  if (!out->room || most > out->room) {
    out->room = most;
    out->sample = hy_realloc(out->sample, ((size_t)most + 1) * 8);
    out->micro = hy_realloc(out->micro, ((size_t)most + 2) * 8);
  }
  out->first = first;
  out->n_all = n;
  out->in_order = in_order;
  out->n = n_of(n, p->k.size, p->k.rank);
  out->n_micro = (most + p->k.micro_batch - 1) / p->k.micro_batch;
  if (p->k.balance)
    pick_dealt(p, out);
  else
    pick_in_order(p, out);
  return add_up(p, out);
}

void
hy_pick_free(hy_pick *pick)
{
  free(pick->sample);
  free(pick->micro);
  free(pick->sum);
  *pick = (hy_pick){0};
}
