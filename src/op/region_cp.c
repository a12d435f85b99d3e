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

#include <string.h>

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

static hy_hop
hop_of(const hy_rec *r, int64_t n_item)
{
  return (hy_hop){.comm = r->attr.comm,
                  .n_rows = r->attr.n_span / 2,
                  .seq_len = r->attr.seq_len,
                  .row_start = r->attr.row_start,
                  .n_item = n_item,
                  .buf = r->scratch,
                  .arg = (void *)(uintptr_t)r};
}

/* --- convolution: x (T, C) -> halo (n_span (n_taps-1), C) ---------------- */

/* The last inputs of a span. */
static void
conv_put(void *arg, int64_t span, float *to)
{
  const hy_rec *r = arg;
  const hy_tensor *x = r->in[0];
  const hy_span *s = &r->attr.span[span];
  int64_t past = r->out[0]->dim[0] / r->attr.n_span, n = hy_cols(x);

  for (int64_t j = 0; j < past; j++)
    memcpy(to + j * n, hy_f32(x) + (s->at + s->n - past + j) * x->ld,
           (size_t)n * sizeof *to);
}

static void
conv_take(void *arg, int64_t span, const float *from)
{
  const hy_rec *r = arg;
  const hy_tensor *halo = r->out[0];
  int64_t n = halo->dim[0] / r->attr.n_span * halo->ld;

  memcpy(hy_f32(halo) + span * n, from, (size_t)n * sizeof *from);
}

static void
conv_put_grad(void *arg, int64_t span, float *to)
{
  const hy_rec *r = arg;
  const hy_tensor *halo = r->out[0];
  int64_t n = halo->dim[0] / r->attr.n_span * halo->ld;

  memcpy(to, halo->grad + span * n, (size_t)n * sizeof *to);
}

static void
conv_take_grad(void *arg, int64_t span, const float *from)
{
  const hy_rec *r = arg;
  const hy_tensor *x = r->in[0];
  const hy_span *s = &r->attr.span[span];
  int64_t past = r->out[0]->dim[0] / r->attr.n_span, n = hy_cols(x);

  for (int64_t j = 0; x->grad != NULL && j < past; j++) {
    float *to = x->grad + (s->at + s->n - past + j) * x->ld;

    for (int64_t i = 0; i < n; i++)
      to[i] += from[j * n + i];
  }
}

static int64_t
halo_item(const hy_rec *r)
{
  const hy_tensor *halo = r->out[0];

  return r->attr.n_span ? halo->dim[0] / r->attr.n_span * halo->ld : 0;
}

static void
carry_conv_fwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *halo = r->out[0];
  hy_hop h = hop_of(r, halo_item(r));

  if (!c->be->dry) /* rows of no document before */
    memset(halo->data, 0, hy_bytes(HY_F32, halo->dim[0] * halo->ld));
  h.put = conv_put;
  h.take = conv_take;
  hy_hop_run(&h, 1);
}

static void
carry_conv_bwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *x = r->in[0];
  hy_hop h = hop_of(r, halo_item(r));

  for (int64_t t = 0; !c->be->dry && t < x->dim[0]; t++)
    if (x->grad != NULL && r->beta[0] == 0.0f)
      memset(x->grad + t * x->ld, 0, (size_t)hy_cols(x) * sizeof *x->grad);
  h.put = conv_put_grad;
  h.take = conv_take_grad;
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
  hy_rec_out(c, r, rows, hy_cols(x));
  r->attr.room[0] = r->attr.room[1] =
      hy_bytes(HY_F32, hy_hop_room(r->attr.n_span, halo_item(r)));
  return hy_exec(c, r);
}

/* --- scan: (own state, decay) of each span -> state before it ------------ */

/* One scan. An item is a state and the decay of each head behind it. */
typedef struct {
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

/* to = old + decay * more, where a decay of 0 lets nothing through, not even
 * a NaN of another document. */
static void
scan_add(int64_t n, const float *old, float decay, const float *more, float *to)
{
  if (decay == 0.0f)
    memmove(to, old, (size_t)n * sizeof *to);
  else
    for (int64_t i = 0; i < n; i++)
      to[i] = old[i] + decay * more[i];
}

/* known, then the own piece. */
static void
scan_put(void *arg, int64_t span, float *to)
{
  const scan *k = arg;
  const float *known = k->known + span * scan_item(k);
  const float *decay = k->decay + span * k->decay_ld;
  int64_t all = k->n_heads * k->n_state;

  for (int64_t h = 0; h < k->n_heads; h++) {
    scan_add(k->n_state, k->state + span * k->state_ld + h * k->n_state,
             decay[h], known + h * k->n_state, to + h * k->n_state);
    to[all + h] = decay[h] * known[all + h];
  }
}

/* What came, then known. */
static void
scan_take(void *arg, int64_t span, const float *from)
{
  const scan *k = arg;
  float *known = k->known + span * scan_item(k);
  int64_t all = k->n_heads * k->n_state;

  for (int64_t h = 0; h < k->n_heads; h++) {
    float *state = known + h * k->n_state;

    scan_add(k->n_state, state, known[all + h], from + h * k->n_state, state);
    known[all + h] *= from[all + h];
  }
}

/* Fills known; dir: 1 from left to right, -1 from right to left. */
static void
scan_run(const hy_ctx *c, hy_rec *r, scan *k, int dir)
{
  hy_hop h = hop_of(r, scan_item(k));
  int64_t all = k->n_heads * k->n_state, n = r->attr.n_span;

  h.buf = k->known + n * scan_item(k);
  h.put = scan_put;
  h.take = scan_take;
  h.arg = k;
  for (int64_t i = 0; !c->be->dry && i < n; i++) {
    float *known = k->known + i * scan_item(k);

    memset(known, 0, (size_t)all * sizeof *known);
    for (int64_t j = 0; j < k->n_heads; j++)
      known[all + j] = 1.0f;
  }
  for (int d = 1; d < 2 * r->attr.comm->size; d *= 2)
    hy_hop_run(&h, dir * d);
}

static scan
scan_of(const hy_rec *r)
{
  const hy_tensor *own = r->in[0];
  int64_t all = hy_cols(r->out[0]);

  return (scan){.n_heads = r->attr.n_heads,
                .n_state = all / r->attr.n_heads,
                .decay = hy_f32(own) + all,
                .decay_ld = own->ld,
                .known = r->scratch};
}

static void
carry_state_fwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *in = r->out[0];
  scan k = scan_of(r);

  k.state = hy_f32(r->in[0]);
  k.state_ld = r->in[0]->ld;
  scan_run(c, r, &k, 1);
  for (int64_t i = 0; !c->be->dry && i < r->attr.n_span; i++)
    memcpy(hy_f32(in) + i * in->ld, k.known + i * scan_item(&k),
           (size_t)hy_cols(in) * sizeof(float));
}

/* Gradients of span i's own state and decays, g: known of its right. */
static void
carry_state_put(const hy_rec *r, const scan *k, int64_t i, const float *g)
{
  const hy_tensor *own = r->in[0], *in = r->out[0];
  float *to = own->grad + i * own->ld;

  for (int64_t h = 0; h < k->n_heads; h++) {
    const float *gh = g + h * k->n_state;
    const float *ih = hy_f32(in) + i * in->ld + h * k->n_state;
    float *toh = to + h * k->n_state, *dw = to + hy_cols(in) + h;
    double dot = 0.0;

    for (int64_t j = 0; j < k->n_state; j++) {
      dot += (double)gh[j] * (double)ih[j];
      toh[j] = gh[j] + (r->beta[0] == 0.0f ? 0.0f : toh[j]);
    }
    *dw = (float)dot + (r->beta[0] == 0.0f ? 0.0f : *dw);
  }
}

static void
carry_state_bwd(hy_ctx *c, hy_rec *r)
{
  scan k = scan_of(r);

  k.state = r->out[0]->grad;
  k.state_ld = r->out[0]->ld;
  scan_run(c, r, &k, -1);
  for (int64_t i = 0; !c->be->dry && i < r->attr.n_span; i++)
    if (r->in[0]->grad != NULL)
      carry_state_put(r, &k, i, k.known + i * scan_item(&k));
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
  hy_rec_out(c, r, n, hy_cols(own) - r->attr.n_heads);
  r->attr.room[0] = r->attr.room[1] =
      hy_bytes(HY_F32, n * hy_cols(own) + hy_hop_room(n, hy_cols(own)));
  return hy_exec(c, r);
}
