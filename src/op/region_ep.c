/* region_ep.c: tokens go to the ranks of their experts and back.
 *
 * Rank d of grid->ep holds experts d n/ep .. (d+1) n/ep - 1. A token's row goes
 * once to each rank that holds some of the experts it chose, with the list of
 * those choices; the rank returns one row, their weighted sum. Rows travel in
 * the order of destination, then token, so sums have a fixed order. Only as
 * many rows travel as there are: counts go first. The backend finds them where
 * the choices are; the host reads how many there are for each rank, which
 * hy_announce begins early. */
#include "op/region.h"

#include <math.h>
#include <string.h>

/* Rows and choices sent to rank d are [to[d], to[d+1]), those that come from
 * it [from[d], from[d+1]). */
struct hy_travel {
  const hy_comm *ep;
  int64_t own;                                          /* experts of a rank */
  int64_t *row_to, *row_from, *choice_to, *choice_from; /* (ep + 1) */
  hy_places place;   /* of what is sent, in backend memory */
  const int32_t *at; /* their ends, as hy_travel_kit has them, where the host
                        reads them before the next layer's */
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

static int32_t *
list(hy_ctx *c, int64_t n)
{
  return hy_i32(hy_new(c, HY_I32, 1, n));
}

/* Places of what is sent. */
static void
find_places(hy_ctx *c, hy_travel *v, const int32_t *idx)
{
  int size = v->ep->size;
  int64_t n = v->place.n_row * v->place.top_k;
  size_t room = hy_travel_room(2 * n, 2 * size);
  hy_tensor *work;
  int32_t *at;

  v->place.row = list(c, n);
  v->place.choice = list(c, n);
  at = list(c, 2 * size + 1);
  work = hy_new(c, HY_U8, (int64_t)room, 1);
  if (!c->be->dry) {
    c->be->kit->travel->places(&v->place, at, idx, v->own, size, work->data);
    v->at = c->be->mem->fetch(at, (size_t)(2 * size + 1) * sizeof *at);
  }
  hy_shrink(c, work, 0);
}

/* count[d]: rows, then choices, to rank d. */
static void
count_places(const hy_ctx *c, const hy_travel *v, int64_t (*count)[2])
{
  int size = v->ep->size;

  c->be->mem->fetched();
  for (int d = 0; d < size; d++) {
    count[d][0] = v->at[size + d + 1] - v->at[size + d];
    count[d][1] = v->at[d + 1] - v->at[d];
  }
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

/* Of this rank alone: what goes where. */
static hy_travel *
begin_travel(hy_ctx *c, const hy_route *route, int64_t n_experts)
{
  const hy_comm *ep = &c->grid->ep;
  hy_travel *v = hy_arena_get(&c->host, sizeof *v);
  size_t n = 4 * ((size_t)ep->size + 1);
  int64_t *block = hy_arena_get(&c->host, n * sizeof *block);

  memset(block, 0, n * sizeof *block);
  *v = (hy_travel){.ep = ep,
                   .own = n_experts / ep->size,
                   .row_to = block,
                   .row_from = block + (ep->size + 1),
                   .choice_to = block + 2 * (ep->size + 1),
                   .choice_from = block + 3 * (ep->size + 1),
                   .place = {.n_row = route->weight->dim[0],
                             .top_k = hy_cols(route->weight)}};
  find_places(c, v, route->idx);
  return v;
}

void
hy_announce(hy_ctx *c, hy_route *route, int64_t n_experts)
{
  if (c->grid->ep.size > 1)
    route->travel = begin_travel(c, route, n_experts);
}

/* Tell every rank how much will come. */
static void
plan_travel(hy_ctx *c, hy_travel *v)
{
  const hy_comm *ep = v->ep;
  hy_comm host = hy_comm_host(ep);
  size_t n = (size_t)ep->size;
  int64_t *each = hy_arena_get(&c->host, (n + 1 + 4 * n) * sizeof *each);
  int64_t(*out)[2] = (int64_t(*)[2])(each + n + 1), (*in)[2] = out + n;

  even(each, ep->size, ep->size);
  if (!c->be->dry)
    count_places(c, v, out);
  hy_all_to_all(&host, out, each, in, each, sizeof *out);
  if (c->be->dry)
    plan_sizes(c, v, v->place.n_row, v->place.top_k, v->own * ep->size);
  else {
    add_up(v->row_to, v->choice_to, out, ep->size);
    add_up(v->row_from, v->choice_from, in, ep->size);
  }
}

/* ---- the two regions ---- */

/* Several messages to each rank, without the heap where ranks are few. */
enum { FEW = 64 };

#define FLIGHT(p)                                                              \
  MPI_Request few_##p[FEW];                                                    \
  hy_pending p = {.cap = FEW, .borrowed = 1, .req = few_##p}

static void
land(hy_pending *p)
{
  hy_wait(p);
  hy_pending_free(p);
}

/* Parts of a body's scratch, one after another. */
static size_t
part(size_t bytes)
{
  return (bytes + 63) / 64 * 64;
}

static void *
next_part(char **at, size_t bytes)
{
  void *p = *at;

  *at += part(bytes);
  return p;
}

static size_t
rows_sent(const hy_travel *v, const hy_tensor *x)
{
  return hy_bytes(x->fmt, n_sent(v) * hy_cols(x));
}

static size_t
choice_bytes(int64_t n)
{
  return (size_t)n * sizeof(hy_choice);
}

/* The choices, which are few, are read while the rows travel. */
static void
dispatch_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_travel_kit *kit = c->be->dry ? NULL : c->be->kit->travel;
  const hy_tensor *x = r->in[0], *w = r->in[1];
  int64_t n = hy_cols(x);
  char *at = r->scratch;
  void *rows = next_part(&at, rows_sent(v, x));
  hy_choice *out = next_part(&at, choice_bytes(choices_sent(v)));
  hy_choice *in = next_part(&at, choice_bytes(choices_received(v)));
  FLIGHT(p);
  FLIGHT(q);

  if (kit) {
    kit->pack(&v->place, out, r->attr.idx, hy_f32(w), w->ld, v->own);
    kit->spread(&v->place, rows, x->data, x->ld, x->fmt, n, c->n_threads);
  }
  hy_all_to_all_start(&q, v->ep, out, v->choice_to, in, v->choice_from,
                      sizeof *out);
  hy_all_to_all_start(&p, v->ep, rows, v->row_to, r->out[0]->data, v->row_from,
                      hy_bytes(x->fmt, n));
  land(&q);
  if (kit)
    kit->unpack(in, choices_received(v), n_received(v), hy_i32(r->save[0]),
                hy_i32(r->save[1]), hy_f32(r->out[1]), at);
  land(&p);
}

static void
dispatch_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_travel_kit *kit = c->be->dry ? NULL : c->be->kit->travel;
  const hy_tensor *x = r->in[0], *w = r->in[1];
  int64_t n = hy_cols(x);
  char *at = r->scratch;
  void *rows = next_part(&at, rows_sent(v, x));
  float *dw = next_part(&at, hy_bytes(HY_F32, choices_sent(v)));
  FLIGHT(p);

  hy_all_to_all_start(&p, v->ep, r->out[0]->grad, v->row_from, rows, v->row_to,
                      hy_bytes(x->fmt, n));
  hy_all_to_all_start(&p, v->ep, r->out[1]->grad, v->choice_from, dw,
                      v->choice_to, sizeof *dw);
  land(&p);
  if (kit && x->grad)
    kit->gather(&v->place, x->grad, x->ld, rows, x->gfmt, n, r->beta[0],
                c->n_threads);
  if (kit && w->grad)
    kit->weights(&v->place, w->grad, w->ld, dw, r->beta[1]);
}

static void
collect_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_tensor *x = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(x);

  hy_all_to_all(v->ep, x->data, v->row_from, r->scratch, v->row_to,
                hy_bytes(x->fmt, n));
  if (!c->be->dry)
    c->be->kit->travel->gather(&v->place, y->data, y->ld, r->scratch, y->fmt, n,
                               0, c->n_threads);
}

/* in[0] is combine's output, which nobody else reads: beta is 0. */
static void
collect_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_travel *v = r->attr.travel;
  const hy_tensor *x = r->in[0], *y = r->out[0];
  int64_t n = hy_cols(x);

  if (!c->be->dry)
    c->be->kit->travel->spread(&v->place, r->scratch, y->grad, y->ld, y->gfmt,
                               n, c->n_threads);
  hy_all_to_all(v->ep, r->scratch, v->row_to, x->grad, v->row_from,
                hy_bytes(x->gfmt, n));
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
  v = route->travel ? route->travel : begin_travel(c, route, n_experts);
  plan_travel(c, v);
  r = hy_rec_new(c, &op_dispatch, 2, (hy_tensor *[]){x, route->weight});
  rows = part(rows_sent(v, x));
  r->attr.travel = v;
  r->attr.top_k = hy_cols(route->weight);
  r->attr.idx = route->idx;
  r->attr.room[0] = rows + part(choice_bytes(choices_sent(v))) +
                    part(choice_bytes(choices_received(v))) +
                    hy_travel_room(choices_received(v), 1);
  r->attr.room[1] = rows + hy_bytes(HY_F32, choices_sent(v));
  hy_rec_out_fmt(c, r, x->fmt, n_received(v), hy_cols(x));
  hy_rec_out_fmt(c, r, HY_F32, choices_received(v), 1);
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
  r->attr.room[0] = r->attr.room[1] = rows_sent(v, y);
  hy_rec_out_fmt(c, r, y->fmt, d->n_token, hy_cols(rows));
  return hy_exec(c, r);
}
