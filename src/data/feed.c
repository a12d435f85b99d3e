#include "data/feed.h"
#include "base/err.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the thread has done, with the error of it. */
typedef struct {
  int err;
  char text[HY_ERR_LEN];
} outcome;

typedef struct {
  hy_batch b;
  outcome end;
} slot;

/* The thread makes choices first_step .. chosen-1 and fills slots 0 .. filled-1
 * (modulo ahead) of its stream; the caller is at step `at`, has taken `taken`
 * slots, and holds the last of them if `held`. */
struct hy_feed {
  hy_picker *picker;
  int64_t global_batch;
  int ahead;

  hy_pick alone; /* without the thread, and of rows in order */
  hy_batch columns;
  int by_thread; /* the present choice is the thread's */

  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t news;
  int there, quit, busy;
  int go;         /* the stream may run: its begin is set */
  int64_t stream; /* number of it */
  int64_t first_step, first_micro;
  int64_t chosen, filled;
  hy_pick pick[2]; /* of even and odd steps */
  outcome picked[2];
  slot *slot; /* (ahead) */

  int64_t at, next_micro, taken;
  int held;
};

/* ---- the thread ---- */

static void
keep_error(outcome *o, int err)
{
  o->err = err;
  snprintf(o->text, sizeof o->text, "%s", err ? hy_err_text() : "");
  hy_err_clear();
}

/* Wait for news; 0 when the stream has ended. With the lock. */
static int
listen(hy_feed *f, int64_t stream)
{
  if (!f->quit && f->stream == stream)
    pthread_cond_wait(&f->news, &f->lock);
  return !f->quit && f->stream == stream;
}

/* The work between, without the lock. 1: the stream goes on. */
static int
make_choice(hy_feed *f, int64_t stream, int64_t step)
{
  int err;

  f->busy = 1;
  pthread_mutex_unlock(&f->lock);
  err = hy_picker_pick(f->picker, &f->pick[step & 1], step * f->global_batch,
                       f->global_batch, 0);
  keep_error(&f->picked[step & 1], err);
  pthread_mutex_lock(&f->lock);
  f->busy = 0;
  if (f->stream == stream)
    f->chosen = step + 1;
  pthread_cond_broadcast(&f->news);
  return !f->quit && f->stream == stream && !err;
}

static int
fill(hy_feed *f, int64_t stream, int64_t step, int64_t i)
{
  slot *s = &f->slot[f->filled % f->ahead];

  f->busy = 1;
  pthread_mutex_unlock(&f->lock);
  keep_error(&s->end, hy_picker_read(f->picker, &f->pick[step & 1], i, &s->b));
  pthread_mutex_lock(&f->lock);
  f->busy = 0;
  f->filled += f->stream == stream;
  pthread_cond_broadcast(&f->news);
  return !f->quit && f->stream == stream;
}

/* One stream, to its end or to an error. With the lock. */
static void
run_stream(hy_feed *f)
{
  int64_t stream = f->stream, i = f->first_micro;

  for (int64_t step = f->first_step;; step++, i = 0) {
    while (f->at < step - 1) /* its memory is that of step - 2 */
      if (!listen(f, stream))
        return;
    if (!make_choice(f, stream, step))
      return;
    for (; i < f->pick[step & 1].n_micro; i++) {
      while (f->filled - f->taken == f->ahead)
        if (!listen(f, stream))
          return;
      if (!fill(f, stream, step, i))
        return;
    }
  }
}

static void *
work(void *arg)
{
  hy_feed *f = arg;
  int64_t done = 0;

  pthread_mutex_lock(&f->lock);
  while (!f->quit) {
    if (!f->go || f->stream == done)
      pthread_cond_wait(&f->news, &f->lock);
    else {
      done = f->stream;
      run_stream(f);
    }
  }
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
  f->there = !pthread_create(&f->thread, NULL, work, f);
  if (!f->there)
    return hy_fail(HY_ERES, "data.prefetch: no thread can be started; set it "
                            "to 0 or raise the limit of processes");
  return HY_OK;
}

/* From now on the thread does nothing; with the lock. */
static void
stop(hy_feed *f)
{
  f->stream++;
  f->go = 0;
  pthread_cond_broadcast(&f->news);
  while (f->busy)
    pthread_cond_wait(&f->news, &f->lock);
}

static void
start(hy_feed *f, int64_t step, int64_t micro)
{
  stop(f);
  f->first_step = f->at = f->chosen = step;
  f->first_micro = f->next_micro = micro;
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
take_error(const outcome *o)
{
  return o->err ? hy_fail(o->err, "%s", o->text) : HY_OK;
}

static int
step_by_thread(hy_feed *f, int64_t step, const hy_pick **pick)
{
  int err;

  pthread_mutex_lock(&f->lock);
  give_back(f);
  if (f->by_thread && step == f->at + 1 && f->chosen > f->at &&
      f->next_micro == f->pick[f->at & 1].n_micro) {
    f->at = step;
    f->next_micro = 0;
    pthread_cond_broadcast(&f->news);
  } else
    start(f, step, 0);
  while (f->chosen <= step)
    pthread_cond_wait(&f->news, &f->lock);
  err = take_error(&f->picked[step & 1]);
  *pick = &f->pick[step & 1];
  f->by_thread = !err;
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
    return step_by_thread(f, step, pick);
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
  f->by_thread = 0;
  *pick = &f->alone;
  return hy_picker_pick(f->picker, &f->alone, first, n, 1);
}

int
hy_feed_micro(hy_feed *f, int64_t i, hy_batch *b)
{
  const outcome *end;
  int err;

  if (!f->by_thread) {
    if (!f->columns.token)
      hy_picker_room(f->picker, &f->columns);
    err = hy_picker_read(f->picker, &f->alone, i, &f->columns);
    *b = f->columns;
    return err;
  }
  pthread_mutex_lock(&f->lock);
  give_back(f);
  if (i != f->next_micro)
    start(f, f->at, i);
  end = &f->picked[f->at & 1]; /* chosen once more after a start */
  while (f->filled == f->taken && !(f->chosen > f->at && end->err))
    pthread_cond_wait(&f->news, &f->lock);
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
