/* ckpt_save.c: the steps of a write in their order, at once or by a thread
 * while the training goes on. MPI is called by the main thread alone. */
#include "io/ckpt_impl.h"
#include "base/err.h"
#include "base/file.h"
#include "model/cfg.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUM, CREATE, DATA, FINISH, N_STEPS };

struct hy_ckpt_save {
  hy_ckpt_job job;
  int at; /* step that is under way */
  int err;
  int threaded, running; /* a thread to join */
  pthread_t thread;
  atomic_int ready; /* its step is over */
  char text[HY_ERR_LEN];
};

/* This rank's part of a step. */
static int
work(hy_ckpt_save *s)
{
  hy_ckpt_job *w = &s->job;
  int root = w->grid->world.rank == 0;

  switch (s->at) {
  case SUM:
    hy_ckpt_sum_own(w);
    return HY_OK;
  case CREATE:
    return root ? hy_ckpt_create(w) : HY_OK;
  case DATA:
    return hy_ckpt_write_data(w);
  default:
    return root ? hy_ckpt_finish(w) : HY_OK;
  }
}

/* A thread has an error text of its own. */
static void *
work_apart(void *arg)
{
  hy_ckpt_save *s = arg;

  s->err = work(s);
  memcpy(s->text, hy_err_text(), sizeof s->text);
  atomic_store(&s->ready, 1);
  return NULL;
}

static void
start(hy_ckpt_save *s)
{
  atomic_store(&s->ready, 0);
  if (!s->threaded || pthread_create(&s->thread, NULL, work_apart, s)) {
    s->err = work(s);
    atomic_store(&s->ready, 1);
    return;
  }
  s->running = 1;
}

static void
join(hy_ckpt_save *s)
{
  if (!s->running)
    return;
  pthread_join(s->thread, NULL);
  s->running = 0;
  if (s->err) {
    hy_err_clear();
    hy_fail(s->err, "%s", s->text);
  }
}

/* What ranks share after a step. Collective. */
static int
share(hy_ckpt_save *s)
{
  hy_ckpt_job *w = &s->job;
  const hy_comm *world = &w->grid->world;
  int err = hy_agree(world, s->err);

  if (!err && s->at == SUM)
    for (int k = 0; k < 3; k++)
      hy_ckpt_sum(w->grid, w->sum[k], w->p->n);
  if (!err && s->at == CREATE)
    hy_bcast(world, w->extent, (size_t)w->n_set * sizeof *w->extent, 0);
  if (!err)
    return err;
  if (world->rank == 0 && s->at > SUM)
    unlink(w->tmp);
  return hy_agree(world, err); /* nobody returns before it is gone */
}

static void
discard(hy_ckpt_save **s)
{
  hy_ckpt_job_free(&(*s)->job);
  free(*s);
  *s = NULL;
}

/* Steps that are over on every rank, or all of them. Collective. */
static int
advance(hy_ckpt_save **save, int wait)
{
  hy_ckpt_save *s = *save;
  int err = HY_OK;

  while (s) {
    if (!wait && hy_max_i64(&s->job.grid->world, !atomic_load(&s->ready)))
      return HY_OK;
    join(s);
    err = share(s);
    if (err || ++s->at == N_STEPS) {
      discard(save);
      break;
    }
    start(s);
  }
  return err;
}

static void
make_texts(hy_ckpt_job *w, const hy_deck *deck)
{
  const hy_grid *g = w->grid;
  const hy_plan *plan = w->p->plan;

  hy_deck_print(deck, &w->deck, 1);
  hy_cfg_write(plan->cfg, "float32", w->st.config, &w->config);
  hy_buf_printf(&w->layout, "tp=%d sp=%d ep=%d cp=%d dp=%d pp=%d zero=%d",
                g->tp.size, g->sp, g->ep.size, g->cp.size, g->dp.size,
                g->pp.size, w->p->zero);
  for (int i = 0; i < plan->n_stage && g->pp.size > 1; i++)
    hy_buf_printf(&w->layout, "%s%d",
                  i ? "," : " pp_cut=", plan->first[i + 1] - plan->first[i]);
}

static hy_ckpt_save *
save_new(const char *dir, const hy_params *p, const float *m, const float *v,
         const hy_ckpt_state *st, const hy_deck *deck, const hy_grid *grid,
         int keep)
{
  hy_ckpt_save *s = hy_calloc(1, sizeof *s);
  char *name = hy_asprintf(".step_%07lld.h5.tmp", (long long)st->step);
  hy_ckpt_job *w = &s->job;

  w->grid = grid;
  w->st = *st;
  w->keep = keep;
  w->dir = hy_strdup(dir);
  w->tmp = hy_path_join(dir, name);
  hy_ckpt_job_new(w, p, m, v);
  if (grid->world.rank == 0)
    make_texts(w, deck);
  free(name);
  return s;
}

int
hy_ckpt_write(const char *dir, const hy_params *p, const float *m,
              const float *v, const hy_ckpt_state *st, const hy_deck *deck,
              const hy_grid *grid, int keep)
{
  hy_ckpt_save *s = save_new(dir, p, m, v, st, deck, grid, keep);

  start(s);
  return advance(&s, 1);
}

/* Floats of part k of parameter i that this rank owns and saves. */
static size_t
own_len(const hy_ckpt_job *w, int k, int i)
{
  const hy_param_ref *r = &w->p->ref[i];

  if (!w->host.flat[k] || (k > 0 && r->group < 0) || r->own.to <= r->own.from)
    return 0;
  return (size_t)(r->own.to - r->own.from);
}

/* What this rank owns, out of the way of the training. */
static int
copy_own(hy_ckpt_job *w)
{
  size_t n = 0;

  for (int k = 0; k < 3; k++)
    for (int i = 0; i < w->p->n; i++)
      n += own_len(w, k, i);
  w->copy = malloc((n ? n : 1) * sizeof *w->copy);
  if (!w->copy)
    return hy_fail(HY_ERES,
                   "memory: no room for a copy of %zu bytes; set "
                   "ckpt.async=.false.",
                   n * sizeof *w->copy);
  n = 0;
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < w->p->n; i++) {
      const hy_own *o = &w->p->ref[i].own;
      size_t len = own_len(w, k, i);

      if (len == 0)
        continue;
      w->held[k][i] = (hy_held){o->from, o->to, n};
      hy_host_copy(&w->host, k, i, o->from, o->to, w->copy + n);
      n += len;
    }
  return HY_OK;
}

int
hy_ckpt_save_begin(hy_ckpt_save **s, const char *dir, const hy_params *p,
                   const float *m, const float *v, const hy_ckpt_state *st,
                   const hy_deck *deck, const hy_grid *grid, int keep)
{
  int err;

  *s = save_new(dir, p, m, v, st, deck, grid, keep);
  (*s)->threaded = 1;
  err = hy_agree(&grid->world, copy_own(&(*s)->job));
  if (err)
    discard(s);
  else
    start(*s);
  return err;
}

int
hy_ckpt_save_poll(hy_ckpt_save **s)
{
  return advance(s, 0);
}

int
hy_ckpt_save_wait(hy_ckpt_save **s)
{
  return advance(s, 1);
}

void
hy_ckpt_save_drop(hy_ckpt_save **s)
{
  if (!*s)
    return;
  if ((*s)->running)
    pthread_join((*s)->thread, NULL);
  if ((*s)->job.grid->world.rank == 0)
    unlink((*s)->job.tmp);
  discard(s);
}
