/* block.h: the block under way, for the operations of its threads. */
#ifndef HYMN_SHIM_BLOCK_H
#define HYMN_SHIM_BLOCK_H

#include "fiber.h"

#include <deque>
#include <functional>
#include <vector>

namespace shim
{

/** A meeting of the lanes in mask: a ring of slots, so that a lane that goes on
 *  does not overwrite what a late one still reads. */
struct Meeting {
  unsigned mask, in; /* who meets; who has come */
  int turn;
  Site at;
  char slot[4][32][16], sync[4];
};

struct Warp {
  int n = 0; /* meetings in use, one for each mask */
  std::deque<Meeting> meeting;
};

struct Block {
  int n;                       /* threads */
  int started, ended, waiting; /* of them; waiting: at the block's barrier */
  int turn;                    /* of the barrier */
  int votes[2];
  char *sync; /* two bytes: the barrier as ThreadSanitizer knows it */
  Site at;    /* of the barrier that threads wait at */
  const std::function<void()> *body;
  void *dynamic;          /* shared memory */
  bool greedy;            /* woken lanes of a warp run first */
  std::vector<int> order; /* in which threads start */
  std::deque<Fiber *> ready;
  std::vector<Fiber *> fiber, idle; /* all; those without a thread */
  std::vector<Fiber *> thread;      /* by number */
  std::vector<Fiber *> at_barrier;
  std::vector<Warp> warp;
};
extern Block block;

/** Run all threads of the block whose index is set. */
void block_run();

/** Let others run until this thread is woken. */
void thread_wait(Site at);
/** of_warp: it was waiting for lanes of its warp. */
void thread_wake(Fiber *f, bool of_warp);

/** Give back the shared memory of the block. */
void shared_free();

/** The launch as ThreadSanitizer knows it. */
extern char grid_end;
/** Forget the fibers kept until the end of the grid. */
void graves_clear();

} // namespace shim

#endif
