/* shim.h: what the parts of the shim share: settings, messages, and how the
 * sanitizers are told of threads that they cannot see.
 *
 * Settings are environment variables:
 *   HYMN_SHIM_ORDER     forward (default), reverse, greedy (a warp runs on
 * until the next barrier of the block), or a seed > 0 for a random order of
 * threads, blocks and nodes of graphs HYMN_SHIM_LAZY      1: streams run
 * nothing until someone waits for them, so that a missing wait gives wrong data
 *   HYMN_SHIM_PATIENCE  seconds after which a stream that does not move ends
 * the process (100) HYMN_SHIM_PROTECT   0: the host may read device memory (see
 * arena.cpp) HYMN_SHIM_GPUS      number of GPUs (1); -1: no driver; may change
 *   HYMN_SHIM_ARCH      their architecture (90)
 *   HYMN_SHIM_MEMORY    bytes of each, with K, M or G (16G)
 *   HYMN_SHIM_FAIL      part of a kernel's name, then :N if wanted: the (N-th)
 *                       launch fails when it runs, as an illegal address does
 *   HYMN_SHIM_TRACE     a line for each launch
 *   HYMN_SHIM_BLOCKS    with ThreadSanitizer: races between blocks too (at most
 *                       some 8000 threads in a grid) */
#ifndef HYMN_SHIM_SHIM_H
#define HYMN_SHIM_SHIM_H

#include "include/cuda_runtime.h"

#include <cstddef>
#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define SHIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SHIM_ASAN 1
#endif
#endif

namespace shim
{

struct Settings {
  bool reverse, greedy, lazy, protect, trace, between_blocks;
  unsigned seed; /* 0: no random order */
  double patience;
  int arch;
  size_t memory;
  const char *fail;
  int fail_at; /* which of the launches */
};
const Settings &settings();
int n_gpus();

/** Random bits of the schedule; settings().seed is not 0. */
unsigned random_bits();
static inline bool
coin()
{
  return settings().seed != 0 && random_bits() & 1;
}

/** Ends the process with a message that names the block under way. */
[[noreturn]] void die(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));

/** Remember an error for cudaGetLastError. */
cudaError_t fail(cudaError_t e);
/** An error from which the device does not recover: every call gives it. */
void fail_for_good(cudaError_t e);
/** That error, or success. */
cudaError_t status();

/** Run a kernel now. */
void run_grid(const char *name, dim3 grid, dim3 block, size_t shmem,
              const std::function<void()> &body);

double now_ms();

/* ThreadSanitizer sees every thread of a block as a fiber of its own; barriers
 * and warp operations are the only edges between them. These files are compiled
 * without it; Quiet hides what templates of the library do for the shim. */
#ifdef SHIM_TSAN
struct Quiet {
  Quiet();
  ~Quiet();
};
void acquire(void *at);
void release(void *at);
#else
struct Quiet {
  Quiet() {}
  ~Quiet() {}
};
static inline void
acquire(void *)
{
}
static inline void
release(void *)
{
}
#endif

} // namespace shim

#endif
