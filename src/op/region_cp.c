/* region_cp.c: what a piece of a row needs from the pieces before it.
 *
 * Convolution: the last inputs of the piece before. Scan: the state at the
 * piece's begin, from the decay w and the own state s of the pieces before,
 *   in[0] = 0,  in[p+1] = w[p] in[p] + s[p],
 * and in backward, from the gradient h of in, the gradient of the state that
 * leaves a piece,
 *   g[n-1] = 0, g[p-1] = w[p] g[p] + h[p],  ds[p] = g[p], dw[p] = <g[p],
 * in[p]>. Both are the same exclusive scan, from left to right and from right
 * to left, in rounds of distance 1, 2, 4, ...: the number of rounds grows with
 * the logarithm of the pieces, what is sent does not depend on their length. */
#include "op/hop.h"
#include "op/region.h"
#include "op/cache.h"

static hy_layer_cache *
my_cache(hy_ctx *c)
{
  return c->cache && c->layer >= 0 ? &c->cache->layer[c->layer] : NULL;
}

static void
set_spans(hy_ctx *c, hy_rec *r)
{
  r->attr.comm = &c->grid->cp;
  r->attr.seq_len = c->batch->seq_len;
  r->attr.n_span = c->batch->n_span;
  r->attr.span = c->batch->span;
  r->attr.row_start = c->batch->row_start;
}

/* What put and take work on. */
typedef struct {
  const hy_backend *be;
  const hy_rec *r;
} place;

static hy_hop
hop_of(const hy_rec *r, hy_fmt fmt, int64_t n_item)
{
  return (hy_hop){.comm = r->attr.comm,
                  .n_rows = r->attr.n_span / 2,
                  .seq_len = r->attr.seq_len,
                  .row_start = r->attr.row_start,
                  .fmt = fmt,
                  .n_item = n_item,
                  .buf = r->scratch};
}

/* --- convolution: x (T, C) -> halo (n_span (n_taps-1), C) ---------------- */

/* Rows of a span that the next one needs, and the first of them. */
static int64_t
n_last(const hy_rec *r)
{
  return r->attr.n_span ? r->out[0]->dim[0] / r->attr.n_span : 0;
}

static int64_t
last_row(const hy_rec *r, int64_t span)
{
  const hy_span *s = &r->attr.span[span];

  return s->at + s->n - n_last(r);
}

static int64_t
halo_item(const hy_rec *r)
{
  return n_last(r) * r->out[0]->ld;
}

static void
conv_put(void *arg, int64_t span, void *to)
{
  const place *p = arg;
  const hy_tensor *x = p->r->in[0];
  size_t row = hy_bytes(x->fmt, hy_cols(x));

  p->be->mem->copy_rows(to, row,
                        hy_at(x->data, x->fmt, last_row(p->r, span) * x->ld),
                        hy_bytes(x->fmt, x->ld), row, n_last(p->r));
}

static void
conv_take(void *arg, int64_t span, const void *from)
{
  const place *p = arg;
  const hy_tensor *halo = p->r->out[0];
  int64_t n = halo_item(p->r);

  p->be->mem->copy(hy_at(halo->data, halo->fmt, span * n), from,
                   hy_bytes(halo->fmt, n));
}

static void
conv_put_grad(void *arg, int64_t span, void *to)
{
  const place *p = arg;
  const hy_tensor *halo = p->r->out[0];
  int64_t n = halo_item(p->r);

  p->be->mem->copy(to, hy_at(halo->grad, halo->gfmt, span * n),
                   hy_bytes(halo->gfmt, n));
}

static void
conv_take_grad(void *arg, int64_t span, const void *from)
{
  const place *p = arg;
  const hy_tensor *x = p->r->in[0];
  int64_t n = hy_cols(x);

  if (x->grad)
    p->be->kit->add(hy_at(x->grad, x->gfmt, last_row(p->r, span) * x->ld),
                    x->ld, from, n, x->gfmt, n_last(p->r), n, 1);
}

static void
carry_conv_fwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *halo = r->out[0];
  place p = {c->be, r};
  hy_hop h = hop_of(r, halo->fmt, halo_item(r));

  if (!c->be->dry) /* rows of no document before */
    c->be->mem->zero(halo->data, hy_bytes(halo->fmt, halo->dim[0] * halo->ld));
  h.put = conv_put;
  h.take = conv_take;
  h.arg = &p;
  hy_hop_run(&h, 1);
}

static void
carry_conv_bwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *x = r->in[0];
  place p = {c->be, r};
  hy_hop h = hop_of(r, r->out[0]->gfmt, halo_item(r));

  if (!c->be->dry && x->grad && r->beta[0] == 0.0f)
    c->be->mem->zero_rows(x->grad, hy_bytes(x->gfmt, x->ld),
                          hy_bytes(x->gfmt, hy_cols(x)), x->dim[0]);
  h.put = conv_put_grad;
  h.take = conv_take_grad;
  h.arg = &p;
  hy_hop_run(&h, -1);
}

const hy_op hy_op_carry_conv = {"carry_conv", carry_conv_fwd, carry_conv_bwd,
                                NULL, 1};

hy_tensor *
hy_carry_conv(hy_ctx *c, hy_tensor *x, int64_t n_taps)
{
  hy_rec *r;
  int64_t rows = c->batch->n_span * (n_taps - 1);

  if (my_cache(c))
    return &my_cache(c)->conv;
  if (c->grid->cp.size <= 1)
    return NULL;
  r = hy_rec_new(c, &hy_op_carry_conv, 1, &x);
  set_spans(c, r);
  hy_rec_out_fmt(c, r, x->fmt, rows, hy_cols(x));
  r->attr.room[0] = r->attr.room[1] =
      hy_bytes(x->fmt, hy_hop_room(r->attr.n_span, halo_item(r)));
  return hy_exec(c, r);
}

/* --- scan: (own state, decay) of each span -> state before it ------------ */

/* One scan. An item is a state and the decay of each head behind it; all in
 * fp32. */
typedef struct {
  const hy_kit *kit;          /* NULL: a dry run */
  int64_t n_heads, n_state;   /* of a head */
  const float *state, *decay; /* own, of span 0 */
  int64_t state_ld, decay_ld;
  float *known; /* (n_span, item): of the pieces before, nearest ones first */
} scan;

static int64_t
scan_item(const scan *k)
{
  return k->n_heads * (k->n_state + 1);
}

/* The own piece, then known. */
static void
scan_put(void *arg, int64_t span, void *to)
{
  const scan *k = arg;

  k->kit->carry_join(to, k->state + span * k->state_ld,
                     k->decay + span * k->decay_ld,
                     k->known + span * scan_item(k), k->n_heads, k->n_state);
}

/* Known, then what came. */
static void
scan_take(void *arg, int64_t span, const void *from)
{
  const scan *k = arg;
  float *known = k->known + span * scan_item(k);

  k->kit->carry_join(known, known, known + k->n_heads * k->n_state, from,
                     k->n_heads, k->n_state);
}

/* Fills known; dir: 1 from left to right, -1 from right to left. */
static void
scan_run(hy_rec *r, scan *k, int dir)
{
  hy_hop h = hop_of(r, HY_F32, scan_item(k));
  int64_t n = r->attr.n_span;

  h.buf = k->known + n * scan_item(k);
  h.put = scan_put;
  h.take = scan_take;
  h.arg = k;
  if (k->kit)
    k->kit->carry_none(k->known, n, k->n_heads, k->n_state);
  for (int d = 1; d < 2 * r->attr.comm->size; d *= 2)
    hy_hop_run(&h, dir * d);
}

static scan
scan_of(const hy_ctx *c, const hy_rec *r)
{
  const hy_tensor *own = r->in[0];
  int64_t all = hy_cols(r->out[0]);

  return (scan){.kit = c->be->dry ? NULL : c->be->kit,
                .n_heads = r->attr.n_heads,
                .n_state = all / r->attr.n_heads,
                .decay = hy_f32(own) + all,
                .decay_ld = own->ld,
                .known = r->scratch};
}

static void
carry_state_fwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *in = r->out[0];
  scan k = scan_of(c, r);

  k.state = hy_f32(r->in[0]);
  k.state_ld = r->in[0]->ld;
  scan_run(r, &k, 1);
  if (!c->be->dry)
    c->be->mem->copy_rows(in->data, hy_bytes(HY_F32, in->ld), k.known,
                          hy_bytes(HY_F32, scan_item(&k)),
                          hy_bytes(HY_F32, hy_cols(in)), r->attr.n_span);
}

/* Known is now of the pieces to the right: the gradient of what leaves. */
static void
carry_state_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *own = r->in[0], *in = r->out[0];
  scan k = scan_of(c, r);

  k.state = in->grad;
  k.state_ld = in->ld;
  scan_run(r, &k, -1);
  for (int64_t i = 0; k.kit && own->grad && i < r->attr.n_span; i++)
    k.kit->carry_grad(own->grad + i * own->ld, k.known + i * scan_item(&k),
                      hy_f32(in) + i * in->ld, k.n_heads, k.n_state,
                      r->beta[0]);
}

const hy_op hy_op_carry_state = {"carry_state", carry_state_fwd,
                                 carry_state_bwd, NULL, 1};

hy_tensor *
hy_carry_state(hy_ctx *c, hy_tensor *x, hy_tensor *dt, hy_tensor *b,
               hy_tensor *a_log, int64_t n_groups)
{
  hy_tensor *own;
  hy_rec *r;
  int64_t n;

  if (my_cache(c))
    return &my_cache(c)->ssm;
  if (c->grid->cp.size <= 1)
    return NULL;
  own = hy_ssd_state(c, x, dt, b, a_log, n_groups);
  r = hy_rec_new(c, &hy_op_carry_state, 1, &own);
  set_spans(c, r);
  r->attr.n_heads = a_log->dim[0];
  n = r->attr.n_span;
  hy_rec_out_fmt(c, r, HY_F32, n, hy_cols(own) - r->attr.n_heads);
  r->attr.room[0] = r->attr.room[1] =
      hy_bytes(HY_F32, n * hy_cols(own) + hy_hop_room(n, hy_cols(own)));
  return hy_exec(c, r);
}
