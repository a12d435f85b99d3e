/* fiber.h: a thread of a block: a stack, and copies under way. */
#ifndef HYMN_SHIM_FIBER_H
#define HYMN_SHIM_FIBER_H

#include "shim.h"

#include <vector>

namespace shim
{

enum { FIBER_STACK = 64 << 10 };

/** A copy of cp.async: its bytes, which arrive at the wait. */
struct Copy {
  void *to;
  size_t bytes;
  char value[16];
};

struct Fiber {
  void *sp = nullptr; /* saved stack pointer, or ucontext_t */
  char *stack = nullptr;
  int thread = -1; /* of the block; -1: idle */
  bool done = false;
  Site at{}; /* where it waits */
  void *tsan = nullptr, *asan = nullptr;
  std::vector<Copy> copies;
  std::vector<size_t> groups; /* number of copies at each commit */
};

/** The scheduler's own stack, and who runs. */
extern Fiber scheduler, *current;

/** A fiber that will run entry(), which does not return. */
Fiber *fiber_new(void (*entry)());
void fiber_free(Fiber *f);

/** Let it run until somebody switches back. */
void fiber_switch(Fiber *to);

/** For ThreadSanitizer: a new thread of the program begins in this fiber. */
void fiber_begin(Fiber *f);
/** To be called first and last by entry(). */
void fiber_entered();

} // namespace shim

#endif
