/* block.cpp: the scheduler of a block: who runs next, and the barrier. */
#include "block.h"

#include <cstdio>
#include <cstdlib>
#include <utility>
#ifdef SHIM_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace shim
{

Block block;
char grid_end;
#ifdef SHIM_TSAN
static std::vector<void *> graves;
#endif

/* --- starting and ending threads ----------------------------------------- */

static void
check_end()
{
  const Block &b = block;

  if (!current->copies.empty() || !current->groups.empty())
    die("thread %d ended with copies in flight (no __pipeline_wait_prior)",
        current->thread);
  if (b.waiting)
    die("thread %d ended while %d thread(s) wait at %s, %s:%d", current->thread,
        b.waiting, b.at.op, b.at.file, b.at.line);
}

static void
begin_next(Fiber *f)
{
  f->done = false;
  f->thread = block.order[(size_t)block.started++];
  block.thread[(size_t)f->thread] = f;
  fiber_begin(f);
}

/* Where fibers start. The next thread can use the stack of one that has ended
 * at once: kernels without barriers cost no switch at all. */
static void
run_threads()
{
  fiber_entered();
  for (;;) {
    bool next = false;

    (*block.body)();
    check_end();
    block.ended++;
#ifndef SHIM_TSAN
    next =
        block.started < block.n && (settings().seed == 0 || random_bits() & 3);
#endif
    if (next) {
      begin_next(current);
    } else {
      current->done = true;
      release(&grid_end);
      fiber_switch(&scheduler);
    }
  }
}

static Fiber *
new_thread()
{
  Fiber *f;

  if (block.idle.empty()) {
    f = fiber_new(run_threads);
    block.fiber.push_back(f);
  } else {
    f = block.idle.back();
    block.idle.pop_back();
  }
  begin_next(f);
  return f;
}

static void
retire(Fiber *f)
{
  f->thread = -1;
#ifdef SHIM_TSAN /* a new stack each time, else its reuse looks like a race */
  if (settings().between_blocks)
    graves.push_back(f->tsan); /* its number must not be used again yet */
  else
    __tsan_destroy_fiber(f->tsan);
  for (auto &x : block.fiber)
    if (x == f) {
      x = block.fiber.back();
      block.fiber.pop_back();
      break;
    }
  fiber_free(f);
#else
  block.idle.push_back(f);
#endif
}

void
graves_clear()
{
#ifdef SHIM_TSAN
  for (void *t : graves)
    __tsan_destroy_fiber(t);
  graves.clear();
#endif
}

/* --- the loop ------------------------------------------------------------ */

static void
reset()
{
  Block &b = block;

  b.started = b.ended = b.waiting = b.turn = 0;
  b.votes[0] = b.votes[1] = 0;
  b.warp.resize((size_t)(b.n + 31) / 32);
  for (Warp &w : b.warp)
    w.n = 0;
  b.order.resize((size_t)b.n);
  b.thread.assign((size_t)b.n, nullptr);
  b.greedy = settings().greedy || coin();
  for (int i = 0; i < b.n; i++)
    b.order[(size_t)i] = settings().reverse ? b.n - 1 - i : i;
  for (int i = b.n - 1; settings().seed != 0 && i > 0; i--)
    std::swap(b.order[(size_t)i],
              b.order[(size_t)(random_bits() % (unsigned)(i + 1))]);
}

[[noreturn]] static void
deadlock()
{
  for (const Fiber *w : block.fiber)
    if (w->thread >= 0 && !w->done)
      fprintf(stderr, "cuda_shim: thread %d waits at %s, %s:%d\n", w->thread,
              w->at.op, w->at.file, w->at.line);
  die("deadlock: %d of %d threads ended", block.ended, block.n);
}

static Fiber *
next_thread()
{
  Block &b = block;
  Fiber *f;
  bool fresh = b.ready.empty() ||
               (!b.greedy && (settings().seed == 0 || random_bits() & 3));

  if (fresh && b.started < b.n)
    return new_thread();
  if (b.ready.empty())
    deadlock();
  f = b.ready.front();
  b.ready.pop_front();
  return f;
}

void
block_run()
{
  Quiet quiet; /* for the scheduler; a fiber has a state of its own */

  reset();
  block.sync = (char *)malloc(2); /* a new place: no edge between blocks */
  while (block.ended < block.n) {
    Fiber *f = next_thread();

    fiber_switch(f);
    if (f->done)
      retire(f);
  }
  if (!settings().between_blocks)
    acquire(&grid_end);
  free(block.sync);
  shared_free();
}

/* --- waiting ------------------------------------------------------------- */

void
thread_wait(Site at)
{
  Block &b = block;
  Fiber *next = &scheduler;

  current->at = at;
  /* Once all threads have started, hand over without a detour. */
  if (b.started == b.n && !b.ready.empty()) {
    next = b.ready.front();
    b.ready.pop_front();
  }
  if (next != current)
    fiber_switch(next);
}

void
thread_wake(Fiber *f, bool of_warp)
{
  if ((block.greedy && of_warp) || coin())
    block.ready.push_front(f);
  else
    block.ready.push_back(f);
}

static void
check_barrier(Site at)
{
  const Block &b = block;

  if (b.waiting && (b.at.line != at.line || strcmp(b.at.file, at.file)))
    die("threads of one block wait at different barriers: %s:%d (thread %d) "
        "and %s:%d",
        at.file, at.line, current->thread, b.at.file, b.at.line);
  if (b.ended)
    die("thread %d waits at %s, %s:%d after %d thread(s) ended",
        current->thread, at.op, at.file, at.line, b.ended);
}

/* All have come. */
static void
open_barrier(Site at)
{
  Block &b = block;

  b.waiting = 0;
  b.turn ^= 1;
  b.votes[b.turn] = 0;
  for (Fiber *f : b.at_barrier)
    thread_wake(f, false);
  b.at_barrier.clear();
  if (coin()) {
    thread_wake(current, false);
    thread_wait(at);
  }
}

int
syncthreads(Site at, Vote kind, int mine)
{
  Quiet quiet;
  Block &b = block;
  int turn = b.turn;

  check_barrier(at);
  b.at = at;
  b.votes[turn] += mine;
  release(&b.sync[turn]);
  if (++b.waiting < b.n) {
    b.at_barrier.push_back(current);
    thread_wait(at);
  } else {
    open_barrier(at);
  }
  acquire(&b.sync[turn]);
  switch (kind) {
  case VOTE_OR:
    return b.votes[turn] != 0;
  case VOTE_AND:
    return b.votes[turn] == b.n;
  default:
    return b.votes[turn];
  }
}

} // namespace shim
