/* fiber.cpp: stacks and the switch between them. */
#include "fiber.h"

#include <cstdlib>
#ifdef SHIM_TSAN
#include <sanitizer/tsan_interface.h>
extern "C" {
void AnnotateIgnoreReadsBegin(const char *, int);
void AnnotateIgnoreReadsEnd(const char *, int);
void AnnotateIgnoreWritesBegin(const char *, int);
void AnnotateIgnoreWritesEnd(const char *, int);
}
#endif
#ifdef SHIM_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace shim
{

Fiber scheduler, *current = &scheduler;
#ifdef SHIM_ASAN
static size_t scheduler_stack; /* bytes, as the first fiber learns them */
#endif

/* --- the switch ---------------------------------------------------------- */

#if defined(__x86_64__) && !defined(SHIM_UCONTEXT)

/* Registers that a call preserves go on the old stack and come from the new. */
extern "C" void shim_swap(void **save, void *load)
    __attribute__((visibility("hidden")));
asm(".text\n"
    ".globl shim_swap\n"
    ".hidden shim_swap\n"
    ".type shim_swap,@function\n"
    "shim_swap:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\n"
    "mov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\n"
    "ret\n"
    ".size shim_swap,.-shim_swap\n");

static void
start_on(Fiber *f, void (*entry)())
{
  void **sp = (void **)((uintptr_t)(f->stack + FIBER_STACK) & ~(uintptr_t)63);

  *--sp = nullptr; /* entry() has no caller */
  *--sp = (void *)entry;
  for (int i = 0; i < 6; i++)
    *--sp = nullptr;
  f->sp = sp;
}

static void
swap(Fiber *from, Fiber *to)
{
  shim_swap(&from->sp, to->sp);
}

static void
drop(Fiber *)
{
}

#else

/* Other processors: slower, through the C library. */
} // namespace shim
#include <ucontext.h>
namespace shim
{

static void
start_on(Fiber *f, void (*entry)())
{
  ucontext_t *u = new ucontext_t;

  getcontext(u);
  u->uc_stack.ss_sp = f->stack;
  u->uc_stack.ss_size = FIBER_STACK;
  u->uc_link = nullptr;
  makecontext(u, entry, 0);
  f->sp = u;
}

static void
swap(Fiber *from, Fiber *to)
{
  if (!from->sp)
    from->sp = new ucontext_t;
  swapcontext((ucontext_t *)from->sp, (const ucontext_t *)to->sp);
}

static void
drop(Fiber *f)
{
  delete (ucontext_t *)f->sp;
}

#endif

/* threadIdx of the thread that runs. */
static void
set_thread(int t)
{
  unsigned u = (unsigned)t;

  threadIdx.x = u % blockDim.x;
  threadIdx.y = u / blockDim.x % blockDim.y;
  threadIdx.z = u / (blockDim.x * blockDim.y);
}

void
fiber_begin(Fiber *f)
{
  if (f == current)
    set_thread(f->thread);
#ifdef SHIM_TSAN
  else
    f->tsan = __tsan_create_fiber(0);
#endif
}

void
fiber_switch(Fiber *to)
{
  Fiber *from = current;

  current = to;
  if (to != &scheduler)
    set_thread(to->thread);
#ifdef SHIM_TSAN
  if (from == &scheduler)
    from->tsan = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef SHIM_ASAN
  __sanitizer_start_switch_fiber(
      &from->asan, to->stack, to == &scheduler ? scheduler_stack : FIBER_STACK);
#endif
  swap(from, to);
#ifdef SHIM_ASAN
  __sanitizer_finish_switch_fiber(from->asan, nullptr, nullptr);
#endif
}

void
fiber_entered()
{
#ifdef SHIM_ASAN
  const void *bottom;

  __sanitizer_finish_switch_fiber(nullptr, &bottom, &scheduler_stack);
  scheduler.stack = (char *)bottom;
#endif
}

Fiber *
fiber_new(void (*entry)())
{
  Fiber *f = new Fiber;

  f->stack = (char *)malloc(FIBER_STACK);
  if (!f->stack)
    die("no memory for the stack of a thread");
  start_on(f, entry);
  return f;
}

void
fiber_free(Fiber *f)
{
  drop(f);
  free(f->stack);
  delete f;
}

#ifdef SHIM_TSAN
Quiet::Quiet()
{
  AnnotateIgnoreReadsBegin("", 0);
  AnnotateIgnoreWritesBegin("", 0);
}

Quiet::~Quiet()
{
  AnnotateIgnoreWritesEnd("", 0);
  AnnotateIgnoreReadsEnd("", 0);
}

void
acquire(void *at)
{
  __tsan_acquire(at);
}

void
release(void *at)
{
  __tsan_release(at);
}
#endif

} // namespace shim
