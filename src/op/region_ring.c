/* region_ring.c: attention over a row that cp has cut: keys and values travel
 * around grid.cp.
 *
 * Rank r has pieces r and n-1-r of n = 2 cp; keys and values go from rank r to
 * r - 1, so at step s a rank holds those of home rank r + s. Of a piece only
 * the keys travel that later pieces see: its end, from the start of the
 * document that runs over the border. Every query of a later piece that sees
 * any of them sees them all: they meet in blocks without a mask. A piece is
 * left behind once no rank further on sees it; all ranks know row_start and so
 * decide alike. Backward keys and values travel again, their gradients go
 * along, and the last rank that adds to them sends them home. Source: Liu,
 * Zaharia and Abbeel 2023, arXiv:2310.01889. */
#include "op/cache.h"
#include "op/region.h"

enum { IN_Q, IN_K, IN_V, FEW = 64 };

typedef struct {
  hy_ctx *c;
  hy_rec *r;
  const hy_batch *b; /* what the host reads of it */
  int cp, rank, n;   /* ranks, this one, pieces of a row */
  hy_fmt fmt, gfmt;  /* of keys and values, and of their gradients */
  int64_t width;     /* of a key: all key heads */
  int64_t room;      /* numbers in a buffer for keys and values */
  int backward;
  void *work; /* scratch of the op */
} ring;

/* What travels of one piece: the keys, then the values of its last n
 * tokens. */
typedef struct {
  int64_t i;   /* row * 2, + 1 for the far piece of the home rank */
  int64_t row; /* n_rows: no more pieces */
  int piece;
  int64_t n;
  int64_t at; /* numbers before it in the buffer */
} part;

static int64_t
piece_at(const ring *w, int p)
{
  return hy_cut_at(w->b->seq_len, w->cp, p);
}

/* Piece q sees something of piece p before it. */
static int
linked(const ring *w, int64_t row, int p, int q)
{
  return hy_cut_linked(w->b->row_start, w->b->seq_len, w->cp, row, p, q);
}

static int
wanted(const ring *w, int64_t row, int piece, int rank)
{
  return linked(w, row, piece, rank) || linked(w, row, piece, w->n - 1 - rank);
}

/* The rank that holds, at the given step, what started on `home`. */
static int
holder(const ring *w, int home, int step)
{
  return (home + w->cp - step) % w->cp;
}

static int
home_of(const ring *w, int step)
{
  return (w->rank + step) % w->cp;
}

/* A rank that holds the piece at this step or a later one sees it. The first
 * step is 1: at home nothing travels. */
static int
needed(const ring *w, int64_t row, int piece, int step)
{
  int home = hy_cut_owner(w->cp, piece);

  for (int s = step > 1 ? step : 1; s < w->cp; s++)
    if (wanted(w, row, piece, holder(w, home, s)))
      return 1;
  return 0;
}

/* From p->i on, the next piece held at this step. */
static void
find_part(const ring *w, int step, part *p)
{
  int home = home_of(w, step);

  for (; p->i < 2 * w->b->n_rows; p->i++) {
    p->row = p->i / 2;
    p->piece = p->i % 2 ? w->n - 1 - home : home;
    if (needed(w, p->row, p->piece, step)) {
      int64_t end = piece_at(w, p->piece + 1), first = piece_at(w, p->piece);
      int64_t doc = w->b->row_start[p->row * w->n + p->piece + 1];

      p->n = end - (doc > first ? doc : first);
      return;
    }
  }
  p->row = w->b->n_rows;
}

static part
first_part(const ring *w, int step)
{
  part p = {0};

  find_part(w, step, &p);
  return p;
}

static void
next_part(const ring *w, int step, part *p)
{
  p->at += 2 * p->n * w->width;
  p->i++;
  find_part(w, step, p);
}

#define EACH_PART(w, step, p)                                                  \
  for (part p = first_part(w, step); p.row < (w)->b->n_rows;                   \
       next_part(w, step, &p))

/* Bytes of a piece's keys and values, or of their gradients. */
static size_t
part_bytes(const ring *w, const part *p, hy_fmt fmt)
{
  return hy_bytes(fmt, 2 * p->n * w->width);
}

/* ---- one block ---- */

/* Rows of t from `first` on, as a tensor of their own. */
static hy_tensor
rows_of(const hy_tensor *t, int64_t first, int64_t n)
{
  hy_tensor v = *t;

  v.dim[0] = n;
  v.data = hy_at(t->data, t->fmt, first * t->ld);
  v.grad = t->grad ? hy_at(t->grad, t->gfmt, first * t->ld) : NULL;
  return v;
}

/* The queries of a span's first document against n keys. */
static void
meet(const ring *w, const hy_span *span, hy_tensor *k, hy_tensor *v)
{
  const int32_t *start = w->b->seq_start + span->at;
  const hy_op *op = &w->c->be->op[HY_OP_attention_block];
  hy_tensor q, out, lse;
  hy_rec r = {.op = op,
              .n_in = 3,
              .in = {&q, k, v},
              .n_out = 1,
              .out = {&out},
              .n_save = 1,
              .save = {&lse},
              .beta = {1, 1, 1},
              .attr.n_heads = w->r->attr.n_heads,
              .attr.n_kv_heads = w->r->attr.n_kv_heads,
              .scratch = w->work};
  int64_t n = 1;

  while (n < span->n && start[n] == start[0])
    n++;
  q = rows_of(w->r->in[IN_Q], span->at, n);
  out = rows_of(w->r->out[0], span->at, n);
  lse = rows_of(w->r->save[0], span->at, n);
  if (w->backward)
    op->bwd(w->c, &r);
  else
    op->fwd(w->c, &r);
}

/* The two pieces of this rank. */
static void
meet_own(const ring *w)
{
  for (int64_t row = 0; row < w->b->n_rows; row++) {
    const hy_span *near = &w->b->span[2 * row], *far = near + 1;
    int64_t doc = w->b->row_start[row * w->n + far->piece];
    int64_t skip = doc - piece_at(w, near->piece);
    hy_tensor k, v;

    if (!linked(w, row, near->piece, far->piece))
      continue;
    skip = skip > 0 ? skip : 0;
    k = rows_of(w->r->in[IN_K], near->at + skip, near->n - skip);
    v = rows_of(w->r->in[IN_V], near->at + skip, near->n - skip);
    meet(w, far, &k, &v);
  }
}

static hy_tensor
in_buffer(const ring *w, int64_t n, void *data, void *grad)
{
  return (hy_tensor){.fmt = w->fmt,
                     .gfmt = w->gfmt,
                     .n_dim = 2,
                     .dim = {n, w->width, 1, 1},
                     .ld = w->width,
                     .data = data,
                     .grad = grad};
}

/* What is held at this step; grad: forward NULL. */
static void
meet_held(const ring *w, int step, void *kv, void *grad)
{
  EACH_PART(w, step, p)
  {
    int64_t n = p.n * w->width;
    hy_tensor k = in_buffer(w, p.n, hy_at(kv, w->fmt, p.at),
                            grad ? hy_at(grad, w->gfmt, p.at) : NULL);
    hy_tensor v = in_buffer(w, p.n, hy_at(kv, w->fmt, p.at + n),
                            grad ? hy_at(grad, w->gfmt, p.at + n) : NULL);

    for (int i = 0; i < 2; i++) {
      const hy_span *span = &w->b->span[2 * p.row + i];

      if (linked(w, p.row, p.piece, span->piece))
        meet(w, span, &k, &v);
    }
  }
}

/* ---- travel ---- */

/* First local row of a piece of this rank that travels. */
static int64_t
own_row(const ring *w, const part *p)
{
  const hy_span *span = &w->b->span[p->i];

  return span->at + span->n - p->n;
}

static void
pack(const ring *w, void *kv)
{
  size_t row = hy_bytes(w->fmt, w->width);

  EACH_PART(w, 0, p)
  {
    for (int i = IN_K; i <= IN_V; i++) {
      const hy_tensor *x = w->r->in[i];
      int64_t at = p.at + (i - IN_K) * p.n * w->width;

      w->c->be->mem->copy_rows(hy_at(kv, w->fmt, at), row,
                               hy_at(x->data, w->fmt, own_row(w, &p) * x->ld),
                               hy_bytes(w->fmt, x->ld), row, p.n);
    }
  }
}

/* What is held at this step and needed further on goes down, what the next
 * step needs comes from above. */
static void
pass_keys(const ring *w, int step, hy_pending *p, const void *held, void *next)
{
  const hy_comm *cp = &w->c->grid->cp;
  int above = (w->rank + 1) % w->cp, below = (w->rank + w->cp - 1) % w->cp;

  hy_group_begin(cp);
  EACH_PART(w, step + 1, in)
  {
    hy_recv_start(p, cp, hy_at(next, w->fmt, in.at), part_bytes(w, &in, w->fmt),
                  above);
  }
  EACH_PART(w, step, out)
  {
    if (needed(w, out.row, out.piece, step + 1))
      hy_send_start(p, cp, hy_at(held, w->fmt, out.at),
                    part_bytes(w, &out, w->fmt), below);
  }
  hy_group_end(cp);
}

/* The same for their gradients, but what nobody needs further on goes home;
 * what left the ring at this step comes home from its last holder. All are
 * posted in the order of the steps on every rank: messages between two ranks
 * meet in that order. */
static void
pass_grads(const ring *w, int step, hy_pending *p, const void *held, void *next,
           hy_pending *at_home, void *home)
{
  const hy_comm *cp = &w->c->grid->cp;
  int above = (w->rank + 1) % w->cp, below = (w->rank + w->cp - 1) % w->cp;

  hy_group_begin(cp);
  EACH_PART(w, step + 1, in)
  {
    hy_recv_start(p, cp, hy_at(next, w->gfmt, in.at),
                  part_bytes(w, &in, w->gfmt), above);
  }
  EACH_PART(w, step, out)
  {
    int on = needed(w, out.row, out.piece, step + 1);

    hy_send_start(p, cp, hy_at(held, w->gfmt, out.at),
                  part_bytes(w, &out, w->gfmt), on ? below : home_of(w, step));
  }
  EACH_PART(w, 0, own)
  {
    if (needed(w, own.row, own.piece, step) &&
        !needed(w, own.row, own.piece, step + 1))
      hy_recv_start(at_home, cp, hy_at(home, w->gfmt, own.at),
                    part_bytes(w, &own, w->gfmt), holder(w, w->rank, step));
  }
  hy_group_end(cp);
}

/* ---- the record ---- */

/* Numbers in a buffer, in whole cache lines: the keys and values of a rank that
 * has most. */
static int64_t
buffer_room(const hy_batch *b, int cp, const hy_tensor *k)
{
  int64_t most = 0, line = HY_ALIGN / (int64_t)hy_bytes(k->fmt, 1);

  for (int r = 0; r < cp; r++) {
    int64_t n = hy_cut_tokens(b->seq_len, cp, r);

    most = n > most ? n : most;
  }
  return (b->n_rows * most * 2 * hy_cols(k) + line - 1) / line * line;
}

/* The i-th buffer: two of keys and values, backward two of gradients and one of
 * what comes home. */
static void *
buffer(const ring *w, int i)
{
  int n_keys = i < 2 ? i : 2;

  return hy_at(hy_at(w->r->scratch, w->fmt, n_keys * w->room), w->gfmt,
               (i - n_keys) * w->room);
}

static ring
ring_of(hy_ctx *c, hy_rec *r, int backward)
{
  const hy_comm *cp = &c->grid->cp;
  ring w = {.c = c,
            .r = r,
            .b = c->batch,
            .cp = cp->size,
            .rank = cp->rank,
            .n = 2 * cp->size,
            .fmt = r->in[IN_K]->fmt,
            .gfmt = r->in[IN_K]->gfmt,
            .width = hy_cols(r->in[IN_K]),
            .backward = backward};

  w.room = buffer_room(w.b, w.cp, r->in[IN_K]);
  w.work = buffer(&w, backward ? 5 : 2);
  return w;
}

static void
ring_fwd(hy_ctx *c, hy_rec *r)
{
  ring w = ring_of(c, r, 0);
  void *kv[2] = {buffer(&w, 0), buffer(&w, 1)};
  MPI_Request few[FEW];
  hy_pending p = {.cap = FEW, .borrowed = 1, .req = few};

  if (!c->be->dry)
    pack(&w, kv[0]);
  for (int s = 0; s < w.cp; s++) {
    pass_keys(&w, s, &p, kv[s % 2], kv[(s + 1) % 2]);
    if (!c->be->dry && s == 0)
      meet_own(&w);
    else if (!c->be->dry)
      meet_held(&w, s, kv[s % 2], NULL);
    hy_wait(&p);
  }
  hy_pending_free(&p);
}

/* Gradients of the inputs start from zero where nothing is in them. */
static void
clear_grads(const hy_ctx *c, const hy_rec *r)
{
  for (int i = 0; i < r->n_in; i++) {
    const hy_tensor *x = r->in[i];

    if (x->grad && r->beta[i] == 0)
      c->be->mem->zero_rows(x->grad, hy_bytes(x->gfmt, x->ld),
                            hy_bytes(x->gfmt, hy_cols(x)), x->dim[0]);
  }
}

/* Add what came home. */
static void
unpack(const ring *w, const void *home)
{
  EACH_PART(w, 0, p)
  {
    for (int i = IN_K; i <= IN_V; i++) {
      const hy_tensor *x = w->r->in[i];
      int64_t at = p.at + (i - IN_K) * p.n * w->width;

      if (x->grad)
        w->c->be->kit->add(hy_at(x->grad, w->gfmt, own_row(w, &p) * x->ld),
                           x->ld, hy_at(home, w->gfmt, at), w->width, w->gfmt,
                           p.n, w->width, 1);
    }
  }
}

static void
ring_bwd(hy_ctx *c, hy_rec *r)
{
  ring w = ring_of(c, r, 1);
  void *kv[2] = {buffer(&w, 0), buffer(&w, 1)};
  void *g[2] = {buffer(&w, 2), buffer(&w, 3)}, *home = buffer(&w, 4);
  MPI_Request few[3][FEW];
  hy_pending key = {.cap = FEW, .borrowed = 1, .req = few[0]};
  hy_pending grad = {.cap = FEW, .borrowed = 1, .req = few[1]};
  hy_pending at_home = {.cap = FEW, .borrowed = 1, .req = few[2]};

  if (!c->be->dry) {
    clear_grads(c, r);
    pack(&w, kv[0]);
  }
  for (int s = 0; s < w.cp; s++) {
    pass_keys(&w, s, &key, kv[s % 2], kv[(s + 1) % 2]);
    hy_wait(&grad);
    if (!c->be->dry && s == 0)
      meet_own(&w);
    if (!c->be->dry && s == 1)
      c->be->mem->zero(g[1], hy_bytes(w.gfmt, w.room));
    if (!c->be->dry && s > 0)
      meet_held(&w, s, kv[s % 2], g[s % 2]);
    if (s > 0)
      pass_grads(&w, s, &grad, g[s % 2], g[(s + 1) % 2], &at_home, home);
    hy_wait(&key);
  }
  hy_wait(&grad);
  hy_wait(&at_home);
  if (!c->be->dry)
    unpack(&w, home);
  hy_pending_free(&key);
  hy_pending_free(&grad);
  hy_pending_free(&at_home);
}

static const hy_op op_ring = {"ring_kv", ring_fwd, ring_bwd, NULL, 1};

/* Scratch of the largest block. */
static size_t
block_room(const hy_ctx *c, const hy_rec *r, int backward)
{
  int64_t n = c->batch->seq_len / (2 * c->grid->cp.size) + 1;
  hy_tensor q = *r->in[IN_Q], k = *r->in[IN_K], v = *r->in[IN_V];
  hy_rec block = {.op = &c->be->op[HY_OP_attention_block],
                  .n_in = 3,
                  .in = {&q, &k, &v},
                  .attr.n_heads = r->attr.n_heads,
                  .attr.n_kv_heads = r->attr.n_kv_heads};

  q.dim[0] = k.dim[0] = v.dim[0] = n;
  return c->be->scratch(c, &block, backward);
}

hy_tensor *
hy_ring_kv(hy_ctx *c, hy_tensor *q, hy_tensor *k, hy_tensor *v, int64_t n_heads,
           int64_t n_kv_heads)
{
  hy_layer_cache *l =
      c->cache && c->layer >= 0 ? &c->cache->layer[c->layer] : NULL;
  hy_tensor *lse, *out = hy_attention(c, q, k, v, n_heads, n_kv_heads,
                                      l ? &l->k : NULL, l ? &l->v : NULL, &lse);
  size_t keys, grads;
  int64_t room;
  hy_rec *r;

  if (c->grid->cp.size <= 1 || c->seg)
    return out;
  r = hy_rec_new(c, &op_ring, 3, (hy_tensor *[]){q, k, v});
  r->attr.n_heads = n_heads;
  r->attr.n_kv_heads = n_kv_heads;
  r->attr.comm = &c->grid->cp;
  r->out[r->n_out++] = out; /* changed in place, as is lse */
  r->save[r->n_save++] = lse;
  room = buffer_room(c->batch, c->grid->cp.size, k);
  keys = hy_bytes(k->fmt, 2 * room);
  grads = hy_bytes(k->gfmt, 3 * room);
  r->attr.room[0] = keys + block_room(c, r, 0);
  r->attr.room[1] = keys + grads + block_room(c, r, 1);
  return hy_exec(c, r);
}
