#include "data/feed.h"
#include "base/err.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How an item has ended, with the error of the thread that did it. */
typedef struct {
  int err;
  char text[HY_ERR_LEN];
} outcome;

typedef struct {
  hy_batch b;
  outcome end;
} slot;

/* The work is a stream of items in the order in which a training asks: the
 * choice of a step, its micro-batches, the choice of the next step. One item is
 * done at a time (busy), by the thread or by the caller, who does not wait for
 * a thread that has not begun. Choices up to `chosen` - 1 are made, `filled`
 * slots (modulo ahead) are filled; the caller is at step `at`, has taken
 * `taken` slots, and holds the last of them if `held`. */
struct hy_feed {
  hy_picker *picker;
  int64_t global_batch;
  int ahead;

  hy_pick alone; /* without the thread, and of rows in order */
  hy_batch columns;
  int by_stream; /* the present choice is the stream's */

  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t news;
  int there, quit, busy;
  int go;              /* the stream has more items */
  int64_t step, micro; /* the next one; micro -1: the choice */
  int64_t first_micro; /* of the first step */
  int64_t chosen, filled;
  hy_pick pick[2]; /* of even and odd steps */
  outcome picked[2];
  slot *slot; /* (ahead) */

  int64_t at, next_micro, taken;
  int held;
};

/* ---- one item ---- */

static void
keep_error(outcome *o, int err)
{
  o->err = err;
  snprintf(o->text, sizeof o->text, "%s", err ? hy_err_text() : "");
  hy_err_clear();
}

static int
take_error(const outcome *o)
{
  return o->err ? hy_fail(o->err, "%s", o->text) : HY_OK;
}

/* There is an item, nobody does it, and it has room: a choice that of two steps
 * before, a micro-batch a slot. With the lock, as all below. */
static int
may_work(const hy_feed *f)
{
  if (!f->go || f->busy)
    return 0;
  return f->micro < 0 ? f->at >= f->step - 1 : f->filled - f->taken < f->ahead;
}

/* Gives the lock back while it reads. */
static void
work(hy_feed *f)
{
  int64_t step = f->step, micro = f->micro;
  slot *s = &f->slot[f->filled % f->ahead];
  hy_pick *pick = &f->pick[step & 1];
  outcome *end = micro < 0 ? &f->picked[step & 1] : &s->end;

  f->busy = 1;
  pthread_mutex_unlock(&f->lock);
  keep_error(end, micro < 0
                      ? hy_picker_pick(f->picker, pick, step * f->global_batch,
                                       f->global_batch, 0)
                      : hy_picker_read(f->picker, pick, micro, &s->b));
  pthread_mutex_lock(&f->lock);
  f->busy = 0;
  if (micro < 0) {
    f->chosen = step + 1;
    if (end->err)
      f->go = 0;
    f->micro = f->first_micro;
    f->first_micro = 0;
  } else {
    f->filled++;
    f->micro++;
  }
  if (f->micro == pick->n_micro) {
    f->step++;
    f->micro = -1;
  }
  pthread_cond_broadcast(&f->news);
}

static void
work_or_wait(hy_feed *f)
{
  if (may_work(f))
    work(f);
  else
    pthread_cond_wait(&f->news, &f->lock);
}

static void *
run_thread(void *arg)
{
  hy_feed *f = arg;

  pthread_mutex_lock(&f->lock);
  while (!f->quit)
    work_or_wait(f);
  pthread_mutex_unlock(&f->lock);
  return NULL;
}

/* ---- the caller ---- */

static int
start_thread(hy_feed *f)
{
  f->slot = hy_calloc((size_t)f->ahead, sizeof *f->slot);
  for (int i = 0; i < f->ahead; i++)
    hy_picker_room(f->picker, &f->slot[i].b);
  f->there = !pthread_create(&f->thread, NULL, run_thread, f);
  if (!f->there)
    return hy_fail(HY_ERES, "data.prefetch: no thread can be started; set it "
                            "to 0 or raise the limit of processes");
  return HY_OK;
}

/* From now on the thread does nothing. */
static void
stop(hy_feed *f)
{
  f->go = 0;
  while (f->busy)
    pthread_cond_wait(&f->news, &f->lock);
}

static void
start(hy_feed *f, int64_t step, int64_t micro)
{
  stop(f);
  f->step = f->at = f->chosen = step;
  f->first_micro = f->next_micro = micro;
  f->micro = -1;
  f->filled = f->taken = 0;
  f->held = 0;
  f->go = 1;
  pthread_cond_broadcast(&f->news);
}

static void
give_back(hy_feed *f)
{
  f->taken += f->held;
  f->held = 0;
  pthread_cond_broadcast(&f->news);
}

static int
step_of_stream(hy_feed *f, int64_t step, const hy_pick **pick)
{
  int err;

  pthread_mutex_lock(&f->lock);
  give_back(f);
  if (f->by_stream && step == f->at + 1 &&
      f->next_micro == f->pick[f->at & 1].n_micro) {
    f->at = step;
    f->next_micro = 0;
    pthread_cond_broadcast(&f->news);
  } else
    start(f, step, 0);
  while (f->chosen <= step)
    work_or_wait(f);
  err = take_error(&f->picked[step & 1]);
  *pick = &f->pick[step & 1];
  f->by_stream = !err;
  pthread_mutex_unlock(&f->lock);
  return err;
}

int
hy_feed_step(hy_feed *f, int64_t step, const hy_pick **pick)
{
  int err = HY_OK;

  if (f->ahead && !f->there)
    err = start_thread(f);
  if (err)
    return err;
  if (f->ahead)
    return step_of_stream(f, step, pick);
  *pick = &f->alone;
  return hy_picker_pick(f->picker, &f->alone, step * f->global_batch,
                        f->global_batch, 0);
}

int
hy_feed_rows(hy_feed *f, int64_t first, int64_t n, const hy_pick **pick)
{
  if (f->there) {
    pthread_mutex_lock(&f->lock);
    stop(f);
    pthread_mutex_unlock(&f->lock);
  }
  f->by_stream = 0;
  *pick = &f->alone;
  return hy_picker_pick(f->picker, &f->alone, first, n, 1);
}

static int
micro_of_stream(hy_feed *f, int64_t i, hy_batch *b)
{
  const outcome *end = &f->picked[f->at & 1]; /* chosen again after a start */
  int err;

  pthread_mutex_lock(&f->lock);
  give_back(f);
  if (i != f->next_micro)
    start(f, f->at, i);
  while (f->filled == f->taken && (f->go || f->busy))
    work_or_wait(f);
  if (f->filled > f->taken) {
    slot *s = &f->slot[f->taken % f->ahead];

    end = &s->end;
    *b = s->b;
    f->held = 1;
    f->next_micro = i + 1;
  }
  err = take_error(end);
  pthread_mutex_unlock(&f->lock);
  return err;
}

int
hy_feed_micro(hy_feed *f, int64_t i, hy_batch *b)
{
  int err;

  if (f->by_stream)
    return micro_of_stream(f, i, b);
  if (!f->columns.token)
    hy_picker_room(f->picker, &f->columns);
  err = hy_picker_read(f->picker, &f->alone, i, &f->columns);
  *b = f->columns;
  return err;
}

/* ---- new ---- */

hy_feed *
hy_feed_new(hy_picker *picker, int64_t global_batch, int ahead)
{
  hy_feed *f = hy_calloc(1, sizeof *f);

  f->picker = picker;
  f->global_batch = global_batch;
  f->ahead = ahead;
  pthread_mutex_init(&f->lock, NULL);
  pthread_cond_init(&f->news, NULL);
  return f;
}

void
hy_feed_free(hy_feed *f)
{
  if (!f)
    return;
  if (f->there) {
    pthread_mutex_lock(&f->lock);
    f->quit = 1;
    pthread_cond_broadcast(&f->news);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
  }
  for (int i = 0; f->slot && i < f->ahead; i++)
    hy_batch_columns_free(&f->slot[i].b);
  free(f->slot);
  hy_batch_columns_free(&f->columns);
  hy_pick_free(&f->pick[0]);
  hy_pick_free(&f->pick[1]);
  hy_pick_free(&f->alone);
  pthread_mutex_destroy(&f->lock);
  pthread_cond_destroy(&f->news);
  free(f);
}
