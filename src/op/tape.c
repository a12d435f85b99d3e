#include "op/tape.h"
#include "base/err.h"
#include "op/columns.h"
#include "op/tape_impl.h"
#include "op/timer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const hy_op op_layer_begin = {"layer_begin", NULL, NULL, NULL, 0};

enum { REC_PER_LAYER = 64, HOST_PER_REC = 2048 };

/* What a dry context talks to. */
typedef struct {
  hy_grid grid; /* first: c->grid is this block */
  hy_meter meter;
} dry_grid;

static const hy_grid *
dry_copy(const hy_grid *grid)
{
  dry_grid *d = hy_calloc(1, sizeof *d);

  hy_grid_dry(&d->grid, grid, &d->meter);
  return &d->grid;
}

void
hy_ctx_init(hy_ctx *c, const hy_backend *be, const hy_grid *grid, int n_threads,
            int64_t n_layers)
{
  *c = (hy_ctx){
      .be = be, .grid = grid, .n_threads = n_threads, .in_use = {-1, -1}};
  if (!be->dry) {
    be->init();
    return;
  }
  c->grid = dry_copy(grid);
  hy_arena_plan(&c->act, "activations");
  hy_arena_plan(&c->turn[0], "gradients of activations");
  hy_arena_plan(&c->turn[1], "gradients of activations");
  c->tape.max = (int)(n_layers + 8) * REC_PER_LAYER;
  c->tape.rec = hy_malloc((size_t)c->tape.max * sizeof *c->tape.rec);
  if (hy_arena_new(&c->host, "records", (size_t)c->tape.max * HOST_PER_REC))
    hy_die(HY_ERES, "%s", hy_err_text());
}

/* An arena of tensors. The worst case of a routing is not expected: memory
 * comes as it is used. */
static int
reserve(const hy_ctx *c, hy_arena *a, const hy_arena *plan, int worst)
{
  const hy_space *space = c->be->mem->space;

  if (space)
    return hy_arena_in(a, plan->name, worst ? 0 : plan->peak, plan->peak,
                       space);
  return worst ? hy_arena_limited(a, plan->name, plan->peak)
               : hy_arena_new(a, plan->name, plan->peak);
}

int
hy_ctx_reserve(hy_ctx *c, const hy_ctx *plan)
{
  int err = reserve(c, &c->act, &plan->act, plan->worst);

  for (int i = 0; i < 2 && !err; i++)
    err = reserve(c, &c->turn[i], &plan->turn[i], plan->worst);
  if (!err)
    err = plan->worst
              ? hy_arena_limited(&c->host, plan->host.name, plan->host.peak)
              : hy_arena_new(&c->host, plan->host.name, plan->host.peak);
  hy_ctx_expect(c, plan);
  c->tape.max = plan->tape.max;
  c->tape.rec = hy_malloc((size_t)c->tape.max * sizeof *c->tape.rec);
  return err;
}

void
hy_ctx_expect(hy_ctx *c, const hy_ctx *plan)
{
  c->planned = plan->cost;
  c->unit_bytes = plan->unit_bytes;
  memcpy(c->sent, plan->sent, sizeof c->sent);
  c->expected = plan->act.peak + plan->turn[0].peak + plan->turn[1].peak +
                plan->host.peak;
}

void
hy_ctx_free(hy_ctx *c)
{
  hy_arena_free(&c->act);
  hy_arena_free(&c->turn[0]);
  hy_arena_free(&c->turn[1]);
  hy_arena_free(&c->host);
  hy_columns_free(c);
  free(c->tape.rec);
  c->tape.rec = NULL;
  if (c->be && c->be->dry)
    free((void *)(uintptr_t)c->grid);
  c->grid = NULL;
}

void
hy_ctx_reset(hy_ctx *c, int taping)
{
  hy_layers_end(c);
  hy_arena_release(&c->act, 0);
  hy_arena_release(&c->turn[0], 0);
  hy_arena_release(&c->turn[1], 0);
  hy_arena_release(&c->host, 0);
  c->cur = 0;
  c->tape.n = 0;
  c->taping = taping;
  c->layer = -1;
  c->segment = NULL;
  c->pipe.in = c->pipe.out = NULL;
}

static hy_arena *
activations(hy_ctx *c)
{
  return c->taping ? &c->act : &c->turn[c->cur];
}

static hy_tensor *
header(hy_ctx *c, hy_fmt fmt, int64_t rows, int64_t cols)
{
  hy_tensor *t = hy_arena_get(&c->host, sizeof *t);

  *t = (hy_tensor){
      .fmt = fmt, .gfmt = fmt, .n_dim = 2, .dim = {rows, cols, 1, 1}, .ld = cols};
  return t;
}

hy_tensor *
hy_new(hy_ctx *c, hy_fmt fmt, int64_t rows, int64_t cols)
{
  hy_tensor *t = header(c, fmt, rows, cols);

  t->data = hy_arena_get(activations(c), hy_bytes(fmt, rows * cols));
  return t;
}

hy_tensor *
hy_cols_of(hy_ctx *c, hy_tensor *t, int64_t first, int64_t n)
{
  hy_tensor *v = header(c, t->fmt, t->dim[0], n);

  if (t->remake)
    hy_die(HY_EBUG, "tape: a view of %s, whose memory is lent",
           t->remake->op->name);
  v->ld = t->ld;
  v->gfmt = t->gfmt;
  v->data = hy_at(t->data, t->fmt, first);
  v->base = t->base ? t->base : t;
  v->first = t->first + first;
  v->want = t->want;
  return v;
}

void
hy_shrink(hy_ctx *c, const hy_tensor *t, int64_t rows)
{
  hy_arena_shrink(activations(c), t->data, hy_bytes(t->fmt, t->dim[0] * t->ld),
                  hy_bytes(t->fmt, rows * t->ld));
}

hy_tensor *
hy_from(hy_ctx *c, void *data, int64_t rows, int64_t cols)
{
  hy_tensor *t = header(c, c->be->act, rows, cols);

  t->data = data;
  t->want = c->taping;
  return t;
}

static void *
grad_room(hy_arena *a, const hy_tensor *t)
{
  return hy_arena_get(a, hy_bytes(t->gfmt, t->dim[0] * t->ld));
}

void
hy_keep(hy_ctx *c, hy_tensor *t)
{
  if (c->taping && t->want)
    t->grad = grad_room(&c->act, t);
}

/* Forward leaves the memory for gradients alone: what it lends lies there. */
static void *
lend(hy_ctx *c, const hy_tensor *t)
{
  size_t before = c->turn[c->cur].used;
  void *p = grad_room(&c->turn[c->cur], t);

  c->lent += c->turn[c->cur].used - before;
  return p;
}

hy_rec *
hy_rec_new(hy_ctx *c, const hy_op *op, int n_in, hy_tensor **in)
{
  hy_rec *r = hy_arena_get(&c->host, sizeof *r);

  *r = (hy_rec){.op = op, .n_in = n_in, .attr.layer = c->layer};
  for (int i = 0; i < n_in; i++)
    r->in[i] = in[i];
  return r;
}

hy_tensor *
hy_rec_out(hy_ctx *c, hy_rec *r, int64_t rows, int64_t cols)
{
  return hy_rec_out_fmt(c, r, c->be->act, rows, cols);
}

hy_tensor *
hy_rec_out_fmt(hy_ctx *c, hy_rec *r, hy_fmt fmt, int64_t rows, int64_t cols)
{
  hy_tensor *t = hy_new(c, fmt, rows, cols);

  for (int i = 0; i < r->n_in; i++)
    t->want |= r->in[i]->want;
  r->out[r->n_out++] = t;
  return t;
}

hy_tensor *
hy_rec_lend(hy_ctx *c, hy_rec *r, int64_t rows, int64_t cols)
{
  hy_fmt fmt = r->in[0]->fmt;
  hy_tensor *t;

  if (!c->taping || c->again) /* nothing outlives its segment */
    return hy_rec_out_fmt(c, r, fmt, rows, cols);
  t = header(c, fmt, rows, cols);
  t->data = lend(c, t);
  t->remake = r;
  for (int i = 0; i < r->n_in; i++)
    t->want |= r->in[i]->want;
  r->out[r->n_out++] = t;
  return t;
}

hy_tensor *
hy_rec_save(hy_ctx *c, hy_rec *r, hy_fmt fmt, int64_t rows, int64_t cols)
{
  return r->save[r->n_save++] = hy_new(c, fmt, rows, cols);
}

void
hy_tape_keep(hy_ctx *c, hy_rec *r)
{
  if (c->tape.n == c->tape.max)
    hy_die(HY_EBUG, "tape: more than %d records; please report this deck",
           c->tape.max);
  c->tape.rec[c->tape.n++] = r;
}

/* A region says itself, or sums its tensor over ranks; everything else asks
 * the backend. */
static size_t
scratch_bytes(const hy_ctx *c, const hy_rec *r, int backward)
{
  if (r->attr.room[0] || r->attr.room[1])
    return r->attr.room[backward];
  if (r->attr.comm)
    return hy_bytes(r->in[0]->fmt,
                    (int64_t)hy_sum_room(
                        r->attr.comm,
                        (size_t)(r->in[0]->dim[0] * r->in[0]->ld)));
  return c->be->scratch(c, r, backward);
}

/* Scratch is the top of the activations, given back right after the body. */
static void
run_body(hy_ctx *c, hy_rec *r, void (*body)(hy_ctx *, hy_rec *), int backward)
{
  hy_arena *a = activations(c);
  size_t mark = a->used, bytes = scratch_bytes(c, r, backward);

  r->scratch = bytes ? hy_arena_get(a, bytes) : NULL;
  if (body && c->timer && !c->be->dry)
    hy_timed_body(c, r, body, backward);
  else if (body && (!c->be->dry || r->op->counts))
    body(c, r);
  hy_arena_release(a, mark);
}

static void
add_work(hy_ctx *c, double flops, double bytes)
{
  double x = bytes > 0 ? flops / bytes : 0;
  int i = 0;

  for (; x >= 2 && i < HY_N_WORK - 1; i++)
    x /= 2;
  c->work[i].flops += flops;
  c->work[i].bytes += bytes;
}

/* Backward reads and writes a gradient for each tensor of forward. */
static void
add_cost(hy_ctx *c, const hy_rec *r)
{
  hy_cost k = r->op->cost(r);

  add_work(c, k.fwd, k.bytes);
  if (c->again) /* counted the first time */
    return;
  c->cost.fwd += k.fwd;
  c->cost.bytes += k.bytes;
  c->cost.bwd += c->taping ? k.bwd : 0;
  if (c->taping)
    add_work(c, k.bwd, 2 * k.bytes);
}

hy_tensor *
hy_exec(hy_ctx *c, hy_rec *r)
{
  if (r->op->cost)
    add_cost(c, r);
  run_body(c, r, r->op->fwd, 0);
  if (c->taping)
    hy_tape_keep(c, r);
  return r->n_out ? r->out[0] : NULL;
}

static int
acquire(hy_ctx *c, int unit, int backward)
{
  if (c->fetch && unit >= 0)
    c->fetch->acquire(c->fetch->arg, unit, backward);
  return unit;
}

static void
release(hy_ctx *c, int unit, int backward, int last)
{
  if (c->fetch && unit >= 0)
    c->fetch->release(c->fetch->arg, unit, backward, last);
}

void
hy_layers_end(hy_ctx *c)
{
  hy_arena_release(&c->turn[c->cur], c->turn[c->cur].used - c->lent);
  c->lent = 0;
  for (int k = 0; k < 2; k++) {
    release(c, c->in_use[k], 0, 0);
    c->in_use[k] = -1;
  }
}

static int
used_before(const hy_rec *r, int unit)
{
  for (r = r->attr.before; r; r = r->attr.before)
    if (r->attr.unit[0] == unit || r->attr.unit[1] == unit)
      return 1;
  return 0;
}

void
hy_layer_begin(hy_ctx *c, int64_t layer, int a, int b)
{
  hy_rec *r;

  c->layer = layer;
  hy_layers_end(c);
  c->in_use[0] = acquire(c, a, 0);
  c->in_use[1] = acquire(c, b, 0);
  if (!c->taping) { /* the other arena holds this layer's input */
    c->cur ^= 1;
    hy_arena_release(&c->turn[c->cur], 0);
    return;
  }
  r = hy_rec_new(c, &op_layer_begin, 0, NULL);
  r->attr.mark = c->act.used;
  r->attr.before = c->segment;
  for (int k = 0; k < 2; k++) {
    r->attr.unit[k] = c->in_use[k];
    r->attr.first[k] = !used_before(r, c->in_use[k]);
  }
  c->segment = r;
  hy_tape_keep(c, r);
}

/* Backward enters a segment at its end and leaves it at its begin. */
static void
enter_segment(hy_ctx *c, hy_rec *r)
{
  c->segment = r;
  for (int k = 0; r && k < 2; k++)
    acquire(c, r->attr.unit[k], 1);
}

static void
leave_segment(hy_ctx *c, const hy_rec *r)
{
  for (int k = 0; k < 2; k++)
    release(c, r->attr.unit[k], 1, r->attr.first[k]);
  enter_segment(c, r->attr.before);
}

/* Where the gradient of input i goes, and whether something is there. */
static void
want_grad(hy_ctx *c, hy_rec *r, int i)
{
  hy_tensor *t = r->in[i], *own = t->base ? t->base : t;

  if (!t->want)
    return;
  if (!own->grad && own->param)
    hy_die(HY_EBUG, "backward: a weight's gradient has no place; report this");
  if (!own->grad)
    own->grad = grad_room(&c->turn[c->cur], own);
  if (t->base) { /* other columns come from other records: start from zero */
    if (!own->has && !c->be->dry)
      c->be->mem->zero(own->grad, hy_bytes(own->gfmt, own->dim[0] * own->ld));
    t->grad = hy_at(own->grad, own->gfmt, t->first);
    own->has = 1;
  }
  r->beta[i] = own->has ? 1.0f : 0.0f;
  own->has = 1;
}

static void
make_again(hy_ctx *c, hy_tensor *t)
{
  hy_rec *r = t->remake;

  if (!r)
    return;
  t->data = grad_room(&c->turn[c->cur], t);
  t->remake = NULL;
  run_body(c, r, r->op->fwd, 0);
}

static int
reached(const hy_rec *r)
{
  for (int i = 0; i < r->n_out; i++)
    if (r->out[i]->has)
      return 1;
  return r->n_out == 0; /* a loss seeds itself */
}

void
hy_tape_back(hy_ctx *c, hy_rec *r)
{
  if (!reached(r))
    return;
  for (int j = 0; j < r->n_in; j++) {
    make_again(c, r->in[j]);
    want_grad(c, r, j);
  }
  run_body(c, r, r->op->bwd, 1);
}

void
hy_backward(hy_ctx *c)
{
  c->cur = 0;
  hy_layers_end(c);
  enter_segment(c, c->segment);
  if (c->pipe.out) /* its gradient has come from the stage behind */
    c->pipe.out->has = 1;
  for (int i = c->tape.n - 1; i >= 0; i--) {
    hy_rec *r = c->tape.rec[i];

    c->layer = r->attr.layer;
    if (r->op == &op_layer_begin) {
      /* what this layer gave to the one before lies in turn[cur]; what it
       * got from the one behind is not needed any more */
      hy_arena_release(&c->act, r->attr.mark);
      c->cur ^= 1;
      hy_arena_release(&c->turn[c->cur], 0);
      leave_segment(c, r);
      continue;
    }
    if (r->op == &hy_op_replay && reached(r)) {
      c->tape.n = i + 1; /* what it makes again follows it */
      hy_replay_back(c, r);
    } else
      hy_tape_back(c, r);
  }
}
