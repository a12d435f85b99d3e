/* train_save.c: when and where a training saves, at once or beside its steps.
 */
#include "job/train_setup.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>

static hy_ckpt_state *
state_of(hy_train *r)
{
  hy_ckpt_state *st = &r->state;
  int64_t n_rows = hy_loader_n_rows(r->train);

  st->step = r->step;
  st->samples = st->cursor = r->samples;
  st->epoch = n_rows > 0 ? r->samples / n_rows : 0;
  st->tokens = r->tokens;
  st->seed = r->deck->job.seed;
  st->config = r->source.config;
  st->lineage = r->source.lineage;
  st->fmt = r->source.fmt;
  return st;
}

/* The save under way has ended if it is gone. */
static int
say_saved(hy_train *r, int err)
{
  if (err || r->save || r->save_step < 0)
    return err;
  if (r->grid->world.rank == 0) {
    printf("saved %s/step_%07lld.h5 in %.2f s", r->deck->job.dir,
           (long long)r->save_step, MPI_Wtime() - r->save_begun);
    if (r->deck->ckpt.async)
      printf(", the training stood still for %.2f s", r->save_copied);
    printf("\n");
    fflush(stdout);
  }
  r->save_step = -1;
  return err;
}

int
hy_train_save_go_on(hy_train *r)
{
  return r->save ? say_saved(r, hy_ckpt_save_poll(&r->save)) : 0;
}

int
hy_train_save_wait(hy_train *r)
{
  return r->save ? say_saved(r, hy_ckpt_save_wait(&r->save)) : 0;
}

int
hy_train_write(hy_train *r, const char *dir, int keep)
{
  int err = hy_train_save_wait(r);

  if (err)
    return err;
  return hy_ckpt_write(dir, &r->model.params, r->trainer.opt.m,
                       r->trainer.opt.v, state_of(r), r->deck, r->grid, keep);
}

int
hy_train_save_last(hy_train *r)
{
  char *name = hy_asprintf("step_%07lld.h5", (long long)r->step), *path;
  int there;

  path = hy_path_join(r->deck->job.dir, name);
  there = hy_path_exists(path);
  free(path);
  free(name);
  hy_bcast(&r->grid->world, &there, sizeof there, 0);
  return there ? 0 : hy_train_save(r);
}

int
hy_train_save(hy_train *r)
{
  const hy_deck *d = r->deck;
  int keep = (int)d->ckpt.keep, err = hy_train_save_wait(r);

  r->save_begun = MPI_Wtime();
  if (!err && d->ckpt.async)
    err = hy_ckpt_save_begin(&r->save, d->job.dir, &r->model.params,
                             r->trainer.opt.m, r->trainer.opt.v, state_of(r), d,
                             r->grid, keep);
  else if (!err)
    err = hy_train_write(r, d->job.dir, keep);
  if (err)
    return err;
  r->save_copied = MPI_Wtime() - r->save_begun;
  r->saved = r->save_step = r->step;
  return say_saved(r, err);
}
