/* arena.cpp: addresses for device memory and the memory behind them. With
 * HYMN_SHIM_PROTECT=1 only the work of streams can touch it (protection keys of
 * the processor, which cost nothing): a host that reads or writes device memory
 * ends with a message instead of being right by luck. */
#include "memory.h"

#include <csignal>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

namespace shim
{

static struct {
  bool set_up;
  int key, open;           /* key: -1: nothing is protected */
  struct sigaction before; /* who handles SIGSEGV else */
} arena;

enum { PAGE = 4096 };

/* --- protection ---------------------------------------------------------- */

static void
say_and_die(int sig, siginfo_t *info, void *context)
{
  static const char text[] = "cuda_shim: the host touches device memory\n";

#ifdef SEGV_PKUERR
  if (info->si_code == SEGV_PKUERR && write(2, text, sizeof text - 1) < 0)
    _exit(134);
#endif
  sigaction(SIGSEGV, &arena.before, nullptr);
  if (arena.before.sa_flags & SA_SIGINFO)
    arena.before.sa_sigaction(sig, info, context);
}

static void
set_up()
{
  arena.set_up = true;
  arena.key = -1;
#ifdef PKEY_DISABLE_ACCESS
  if (settings().protect)
    arena.key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
#endif
  if (arena.key >= 0) {
    struct sigaction a = {};

    a.sa_sigaction = say_and_die;
    a.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &a, &arena.before);
  }
}

bool
arena_used()
{
  if (!arena.set_up)
    set_up();
  return arena.key >= 0;
}

static void
set_rights(bool allowed)
{
#ifdef PKEY_DISABLE_ACCESS
  pkey_set(arena.key, allowed ? 0 : PKEY_DISABLE_ACCESS);
#else
  (void)allowed;
#endif
}

void
device_open()
{
  if (arena_used() && arena.open++ == 0)
    set_rights(true);
}

void
device_close()
{
  if (arena_used() && --arena.open == 0)
    set_rights(false);
}

/* --- addresses ----------------------------------------------------------- */

static size_t
pages(size_t bytes)
{
  return (bytes + PAGE - 1) / PAGE * PAGE;
}

void *
arena_reserve(size_t bytes, size_t align)
{
  char *p;
  size_t before;

  align = align < PAGE ? PAGE : align;
  p = (char *)mmap(nullptr, pages(bytes) + align, PROT_NONE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    return nullptr;
  before = (align - (uintptr_t)p % align) % align;
  if (before > 0)
    munmap(p, before);
  if (align - before > 0)
    munmap(p + before + pages(bytes), align - before);
  return p + before;
}

void
arena_free(void *p, size_t bytes)
{
  munmap(p, pages(bytes));
}

bool
arena_commit(void *p, size_t bytes)
{
  int e;

#ifdef PKEY_DISABLE_ACCESS
  if (arena_used())
    e = pkey_mprotect(p, pages(bytes), PROT_READ | PROT_WRITE, arena.key);
  else
#endif
    e = mprotect(p, pages(bytes), PROT_READ | PROT_WRITE);
  if (e)
    return false;
  device_open();
  memset(p, 0xff, pages(bytes));
  device_close();
  return true;
}

void
arena_release(void *p, size_t bytes)
{
  madvise(p, pages(bytes), MADV_DONTNEED);
  mprotect(p, pages(bytes), PROT_NONE);
}

} // namespace shim
