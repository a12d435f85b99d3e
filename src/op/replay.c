#include "op/replay.h"
#include "op/op.h"
#include "op/tape_impl.h"

#include <string.h>

enum { MAX_CHOICE = 4 }; /* routers in a piece */

/* What a piece needs to run again. */
struct hy_again {
  hy_text *run;
  const void *arg;
  int depth;
  int with_aux;
  float aux_scale;
  int n, next; /* routers' choices; the next one when it runs again */
  hy_tensor *choice[MAX_CHOICE];
};

const hy_op hy_op_replay = {"replay", NULL, NULL, NULL, 0};

const int32_t *
hy_again_choice(hy_ctx *c, int64_t rows, int64_t top_k)
{
  if (c->again)
    return hy_i32(c->again->choice[c->again->next++]);
  return c->choose && !c->be->dry ? c->choose(c->choose_arg, c, rows, top_k)
                                  : NULL;
}

/* A contiguous tensor moves down to the next free place; what lay there is not
 * read any more. */
static hy_tensor *
move_down(hy_ctx *c, hy_tensor old)
{
  hy_tensor *t = hy_new(c, old.fmt, old.dim[0], hy_cols(&old));

  if (!c->be->dry && t->dim[0] > 0)
    c->be->mem->copy(t->data, old.data, hy_bytes(t->fmt, t->dim[0] * t->ld));
  t->want = old.want;
  return t;
}

hy_tensor *
hy_replay(hy_ctx *c, hy_text *run, const void *arg, hy_tensor *x)
{
  hy_tensor choice[MAX_CHOICE], y;
  struct hy_again *a;
  size_t mark, host;
  hy_rec *r;
  int first;

  if (!c->taping)
    return run(c, arg, x);
  r = hy_rec_new(c, &hy_op_replay, 1, &x);
  a = r->attr.again = hy_arena_get(&c->host, sizeof *a);
  *a = (struct hy_again){.run = run,
                         .arg = arg,
                         .depth = c->depth,
                         .with_aux = c->aux != NULL,
                         .aux_scale = c->aux_scale};
  hy_tape_keep(c, r);
  first = c->tape.n;
  mark = c->act.used;
  host = c->host.used;
  y = *run(c, arg, x);
  for (int i = first; i < c->tape.n; i++)
    if (c->tape.rec[i]->op == &c->be->op[HY_OP_router])
      choice[a->n++] = *c->tape.rec[i]->save[0];
  c->tape.n = first;
  hy_arena_release(&c->act, mark);
  hy_arena_release(&c->host, host);
  for (int i = 0; i < a->n; i++) /* in the order in which they lie */
    a->choice[i] = move_down(c, choice[i]);
  return r->out[r->n_out++] = move_down(c, y);
}

void
hy_replay_back(hy_ctx *c, hy_rec *r)
{
  struct hy_again *a = r->attr.again;
  hy_ctx was = *c;
  int first = c->tape.n;
  hy_tensor *nobody, *y;

  c->count = NULL;
  c->margin = NULL;
  c->watch = NULL;
  nobody = hy_new(c, HY_I64, 1, 1); /* a double in backend memory */
  c->aux = a->with_aux ? nobody->data : NULL;
  c->aux_scale = a->aux_scale;
  c->depth = a->depth;
  c->again = a;
  a->next = 0;
  y = a->run(c, a->arg, r->in[0]);
  c->count = was.count;
  c->margin = was.margin;
  c->watch = was.watch;
  c->aux = was.aux;
  c->aux_scale = was.aux_scale;
  c->depth = was.depth;
  c->again = NULL;
  y->grad = r->out[0]->grad;
  y->has = 1;
  for (int i = c->tape.n - 1; i >= first; i--)
    hy_tape_back(c, c->tape.rec[i]);
  c->tape.n = first;
  hy_arena_release(&c->act, was.act.used);
  hy_arena_release(&c->host, was.host.used);
}
