/* region_ep.c: tokens go to the ranks of their experts and back.
 *
 * Rank d of grid->ep holds experts d n/ep .. (d+1) n/ep - 1. A token's row goes
 * once to each rank that holds some of the experts it chose, with the list of
 * those choices; the rank returns one row, their weighted sum. Rows travel in
 * the order of destination, then token, so sums have a fixed order. Only as
 * many rows travel as there are: counts go first. */
#include "op/region.h"
#include "base/err.h"

#include <math.h>
#include <string.h>

/* One choice on its way. */
typedef struct {
  int32_t expert; /* of the destination; ~expert: first choice of its row */
  float weight;
} choice;

/* Rows and choices sent to rank d are [to[d], to[d+1]), those that come from
 * it [from[d], from[d+1]). */
struct hy_travel {
  const hy_comm *ep;
  int64_t own;                                          /* experts of a rank */
  int64_t *row_to, *row_from, *choice_to, *choice_from; /* (ep + 1) */
  /* of each row sent: its token, and its first choice in (T, top_k); the
   * choices of row i are begin[i] .. begin[i+1]-1 of those sent */
  int32_t *token, *first, *begin;
};

static int64_t
n_sent(const hy_travel *v)
{
  return v->row_to[v->ep->size];
}

static int64_t
n_received(const hy_travel *v)
{
  return v->row_from[v->ep->size];
}

static int64_t
choices_sent(const hy_travel *v)
{
  return v->choice_to[v->ep->size];
}

static int64_t
choices_received(const hy_travel *v)
{
  return v->choice_from[v->ep->size];
}

/* ---- sizes ---- */

/* Share of the destinations that a token with k of n experts does not need
 * when each holds `own` of them: C(n - own, k) / C(n, k). */
static double
spared(int64_t n, int64_t own, int64_t k)
{
  double p = 1;

  for (int64_t i = 0; i < k; i++)
    p *= n - own > i ? (double)(n - own - i) / (double)(n - i) : 0;
  return p;
}

/* The largest number of rows a rank may have where this one has T: pieces of cp
 * and slices over tp differ by a token. */
static int64_t
most_rows(const hy_ctx *c, int64_t T)
{
  const hy_batch *b = c->batch;
  int64_t cp = c->grid->cp.size, tp = c->grid->tp.size;
  int64_t piece = (b->seq_len + 2 * cp - 1) / (2 * cp);
  int64_t all = cp > 1 ? b->n_rows * 2 * piece : b->n_rows * b->seq_len;

  if (all < b->n_tokens)
    all = b->n_tokens;
  return T == b->n_tokens ? all : (all + tp - 1) / tp;
}

static void
even(int64_t *at, int size, int64_t n)
{
  for (int d = 0; d <= size; d++)
    at[d] = n * d / size;
}

static void
plan_sizes(const hy_ctx *c, hy_travel *v, int64_t T, int64_t k, int64_t n)
{
  int size = v->ep->size;
  int64_t own = n / size, few = k < own ? k : own;
  int64_t rows = llround((double)(T * size) * (1 - spared(n, own, k)));
  int64_t most = most_rows(c, T) * size;

  if (c->worst)
    rows = T * (k < size ? k : size);
  even(v->row_to, size, rows);
  even(v->choice_to, size, T * k);
  even(v->row_from, size, c->worst ? most : rows);
  even(v->choice_from, size, c->worst ? most * few : T * k);
}

/* ---- who gets what ---- */

/* count[d]: rows, then choices, to rank d. */
static void
count_rows(const hy_travel *v, const int32_t *idx, int64_t T, int64_t k,
           int64_t (*count)[2])
{
  for (int64_t t = 0; t < T; t++)
    for (int64_t j = 0, last = -1; j < k; j++) {
      int64_t d = idx[t * k + j] / v->own;

      count[d][0] += d != last; /* experts of a token ascend */
      count[d][1]++;
      last = d;
    }
}

static void
fill_rows(hy_travel *v, const int32_t *idx, int64_t T, int64_t k,
          int64_t (*at)[2])
{
  for (int d = 0; d < v->ep->size; d++) {
    at[d][0] = v->row_to[d];
    at[d][1] = v->choice_to[d];
  }
  for (int64_t t = 0; t < T; t++)
    for (int64_t j = 0, last = -1; j < k; j++) {
      int64_t d = idx[t * k + j] / v->own;

      if (d != last) {
        int64_t row = at[d][0]++;

        v->token[row] = (int32_t)t;
        v->first[row] = (int32_t)(t * k + j);
        v->begin[row] = (int32_t)at[d][1];
      }
      at[d][1]++;
      last = d;
    }
  v->begin[n_sent(v)] = (int32_t)choices_sent(v);
}

static void
add_up(int64_t *row, int64_t *ch, int64_t (*count)[2], int size)
{
  row[0] = ch[0] = 0;
  for (int d = 0; d < size; d++) {
    row[d + 1] = row[d] + count[d][0];
    ch[d + 1] = ch[d] + count[d][1];
  }
}

static int32_t *
list(hy_ctx *c, int64_t n)
{
  return hy_i32(hy_new(c, HY_I32, 1, n));
}

/* Tell every rank how much will come, and list what goes. */
static hy_travel *
plan_travel(hy_ctx *c, const hy_route *route, int64_t n_experts)
{
  const hy_comm *ep = &c->grid->ep;
  int64_t T = route->weight->dim[0], k = hy_cols(route->weight);
  size_t n = (size_t)ep->size;
  hy_travel *v = hy_arena_get(&c->host, sizeof *v);
  int64_t *block = hy_arena_get(&c->host, 9 * (n + 1) * sizeof *block);
  int64_t(*out)[2] = (int64_t(*)[2])(block + 5 * (n + 1)), (*in)[2] = out + n;
  int64_t *each = block + 4 * (n + 1);

  *v = (hy_travel){.ep = ep,
                   .own = n_experts / ep->size,
                   .row_to = block,
                   .row_from = block + (n + 1),
                   .choice_to = block + 2 * (n + 1),
                   .choice_from = block + 3 * (n + 1)};
  memset(block, 0, 9 * (n + 1) * sizeof *block);
  even(each, ep->size, ep->size);
  if (c->be->dry)
    plan_sizes(c, v, T, k, n_experts);
  else
    count_rows(v, route->idx, T, k, out);
  hy_all_to_all(ep, out, each, in, each, sizeof *out);
  if (!c->be->dry) {
    add_up(v->row_to, v->choice_to, out, ep->size);
    add_up(v->row_from, v->choice_from, in, ep->size);
  }
  v->token = list(c, n_sent(v));
  v->first = list(c, n_sent(v));
  v->begin = list(c, n_sent(v) + 1);
  if (!c->be->dry)
    fill_rows(v, route->idx, T, k, out);
  return v;
}

/* ---- rows by token and rows by destination ---- */

/* Several messages to each rank, without the heap where ranks are few. */
enum { FEW = 64 };

#define FLIGHT(p)                                                              \
  MPI_Request few[FEW];                                                        \
  hy_pending p = {.cap = FEW, .borrowed = 1, .req = few}

static void
land(hy_pending *p)
{
  hy_wait(p);
  hy_pending_free(p);
}

static void
pack_rows(const hy_ctx *c, const hy_travel *v, float *rows, const float *x,
          int64_t ld, int64_t n)
{
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
  for (int64_t i = 0; i < n_sent(v); i++)
    memcpy(rows + i * n, x + v->token[i] * ld, (size_t)n * sizeof *x);
}

/* x[token] = beta x[token] + its rows, in the order of destinations. */
static void
add_rows(const hy_ctx *c, const hy_travel *v, const float *rows, float *x,
         int64_t ld, int64_t T, int64_t n, float beta)
{
  if (beta == 0)
    for (int64_t t = 0; t < T; t++)
      memset(x + t * ld, 0, (size_t)n * sizeof *x);
  for (int d = 0; d < v->ep->size; d++) {
#pragma omp parallel for num_threads(c->n_threads) schedule(static)
    for (int64_t i = v->row_to[d]; i < v->row_to[d + 1]; i++)
      for (int64_t j = 0; j < n; j++)
        x[v->token[i] * ld + j] += rows[i * n + j];
  }
}

static void
pack_choices(const hy_travel *v, choice *out, const hy_rec *r)
{
  const hy_tensor *w = r->in[1];
  int64_t k = r->attr.top_k;

  for (int64_t i = 0; i < n_sent(v); i++)
    for (int32_t j = 0; j < v->begin[i + 1] - v->begin[i]; j++) {
      int64_t at = v->first[i] + j;
      int32_t e = (int32_t)(r->attr.idx[at] % v->own);

      out[v->begin[i] + j] =
          (choice){j == 0 ? ~e : e, hy_f32(w)[at / k * w->ld + at % k]};
    }
}

/* The choices that came, as lists by row. */
static void
unpack_choices(const hy_travel *v, const choice *in, const hy_rec *r)
{
  int32_t *idx = hy_i32(r->save[0]), *at = hy_i32(r->save[1]);
  float *w = hy_f32(r->out[1]);
  int64_t n = choices_received(v), row = 0;

  for (int64_t i = 0; i < n; i++) {
    int32_t e = in[i].expert;

    if (e < 0)
      at[row++] = (int32_t)i;
    idx[i] = e < 0 ? ~e : e;
    w[i] = in[i].weight;
  }
  if (row != n_received(v))
    hy_die(HY_EBUG, "dispatch: %lld rows came, %lld were announced",
           (long long)row, (long long)n_received(v));
  at[row] = (int32_t)n;
}

/* ---- the two regions ---- */

static void
dispatch_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_tensor *x = r->in[0];
  int64_t n = hy_cols(x);
  float *rows = r->scratch;
  choice *out = (choice *)(rows + n_sent(v) * n), *in = out + choices_sent(v);
  FLIGHT(p);

  if (!c->be->dry) {
    pack_choices(v, out, r);
    pack_rows(c, v, rows, hy_f32(x), x->ld, n);
  }
  hy_all_to_all_start(&p, v->ep, out, v->choice_to, in, v->choice_from,
                      sizeof *out);
  hy_all_to_all_start(&p, v->ep, rows, v->row_to, r->out[0]->data, v->row_from,
                      (size_t)n * sizeof *rows);
  land(&p);
  if (!c->be->dry)
    unpack_choices(v, in, r);
}

static void
dispatch_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_tensor *x = r->in[0], *w = r->in[1];
  int64_t n = hy_cols(x), k = r->attr.top_k;
  float *rows = r->scratch, *dw = rows + n_sent(v) * n;
  FLIGHT(p);

  hy_all_to_all_start(&p, v->ep, r->out[1]->grad, v->choice_from, dw,
                      v->choice_to, sizeof *dw);
  hy_all_to_all_start(&p, v->ep, r->out[0]->grad, v->row_from, rows, v->row_to,
                      (size_t)n * sizeof *rows);
  land(&p);
  if (c->be->dry)
    return;
  if (x->grad)
    add_rows(c, v, rows, x->grad, x->ld, x->dim[0], n, r->beta[0]);
  for (int64_t i = 0; w->grad && i < n_sent(v); i++)
    for (int32_t j = 0; j < v->begin[i + 1] - v->begin[i]; j++) {
      int64_t at = v->first[i] + j;
      float *g = w->grad + at / k * w->ld + at % k;

      *g = (r->beta[1] == 0 ? 0 : *g) + dw[v->begin[i] + j];
    }
}

static void
collect_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_tensor *x = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(x);
  float *rows = r->scratch;

  hy_all_to_all(v->ep, x->data, v->row_from, rows, v->row_to,
                (size_t)n * sizeof *rows);
  if (!c->be->dry)
    add_rows(c, v, rows, hy_f32(y), y->ld, y->dim[0], n, 0);
}

/* in[0] is combine's output, which nobody else reads: beta is 0. */
static void
collect_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_tensor *x = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(x);
  float *rows = r->scratch;

  if (!c->be->dry)
    pack_rows(c, v, rows, y->grad, y->ld, n);
  hy_all_to_all(v->ep, rows, v->row_to, x->grad, v->row_from,
                (size_t)n * sizeof *rows);
}

static const hy_op op_dispatch = {"dispatch", dispatch_fwd, dispatch_bwd, NULL,
                                  1};
static const hy_op op_collect = {"collect", collect_fwd, collect_bwd, NULL, 1};

hy_dispatched
hy_dispatch(hy_ctx *c, hy_tensor *x, const hy_route *route, int64_t n_experts)
{
  hy_dispatched d;
  hy_travel *v;
  hy_route here;
  hy_rec *r;
  size_t rows;

  if (c->grid->ep.size == 1)
    return hy_permute(c, x, route, n_experts);
  v = plan_travel(c, route, n_experts);
  r = hy_rec_new(c, &op_dispatch, 2, (hy_tensor *[]){x, route->weight});
  rows = hy_bytes(HY_F32, n_sent(v) * hy_cols(x));
  r->attr.travel = v;
  r->attr.top_k = hy_cols(route->weight);
  r->attr.idx = route->idx;
  r->attr.room[0] =
      rows + (size_t)(choices_sent(v) + choices_received(v)) * sizeof(choice);
  r->attr.room[1] = rows + hy_bytes(HY_F32, choices_sent(v));
  hy_rec_out(c, r, n_received(v), hy_cols(x));
  hy_rec_out(c, r, choices_received(v), 1);
  hy_rec_save(c, r, HY_I32, 1, choices_received(v));
  hy_rec_save(c, r, HY_I32, 1, n_received(v) + 1);
  hy_exec(c, r);
  here = (hy_route){.weight = r->out[1],
                    .idx = hy_i32(r->save[0]),
                    .list = hy_i32(r->save[1])};
  d = hy_permute(c, r->out[0], &here, v->own);
  d.travel = v;
  d.n_token = x->dim[0];
  return d;
}

hy_tensor *
hy_combine(hy_ctx *c, hy_tensor *rows, const hy_dispatched *d)
{
  const hy_travel *v = d->travel;
  hy_tensor *y = hy_unpermute(c, rows, d, d->weight);
  hy_rec *r;

  if (!v)
    return y;
  r = hy_rec_new(c, &op_collect, 1, &y);
  r->attr.travel = v;
  r->attr.room[0] = r->attr.room[1] =
      hy_bytes(HY_F32, n_sent(v) * hy_cols(rows));
  hy_rec_out(c, r, d->n_token, hy_cols(rows));
  return hy_exec(c, r);
}
