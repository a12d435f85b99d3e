/* threads.h: what a kernel sees of its block when it runs on the CPU.
 *
 * Every CUDA thread is a fiber; a block runs on one core, and its threads
 * switch at barriers and warp operations, in an order that HYMN_SHIM_ORDER
 * picks. A barrier carries its place in the source, so that threads which wait
 * at different ones are named. */
#ifndef HYMN_SHIM_THREADS_H
#define HYMN_SHIM_THREADS_H

#include "include/cuda_runtime_api.h"

#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>

extern uint3 threadIdx, blockIdx; /* set at every switch of fibers */
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace shim
{

/** A place where threads meet. */
struct Site {
  const char *op, *file;
  int line;
};

/** Put a kernel into a stream; body is the call with its arguments. Without the
 *  kernel's address its shared memory is not limited to what was asked for. */
void launch(const char *name, const void *kernel, dim3 grid, dim3 block,
            size_t shmem, cudaStream_t s, std::function<void()> body);
void launch(const char *name, dim3 grid, dim3 block, size_t shmem,
            cudaStream_t s, std::function<void()> body);

/** The same with the arguments as they are now: the kernel may run later. */
template <class... P, class... A>
inline void
launch_with(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
            size_t shmem, cudaStream_t s, A &&...args)
{
  std::tuple<P...> values(std::forward<A>(args)...);

  launch(name, (const void *)kernel, grid, block, shmem, s,
         [=] { std::apply(kernel, values); });
}

/** Shared memory: a number for each variable in the text; its memory, new for
 *  each block and full of NaN; the dynamic part. */
int new_site();
void *shared(int site, size_t bytes);
void *dyn_shared();

/** What __syncthreads_KIND gives back for the votes of all threads. */
enum Vote { NO_VOTE, VOTE_OR, VOTE_AND, VOTE_COUNT };

/** Barrier of the block. */
int syncthreads(Site at, Vote kind = NO_VOTE, int mine = 0);

/** All lanes of mask meet.
 *  \return their 32 slots of 16 bytes, of which each lane has filled its own;
 *          valid until the caller's second next meeting */
const void *warp_meet(unsigned mask, const void *mine, size_t bytes, Site at);
int lane();

/** Asynchronous copies of this thread (cp.async): the last `zeros` of the
 *  bytes are not read but set to zero. */
void cp_async(void *to, const void *from, size_t bytes, size_t zeros = 0);
void cp_commit();
void cp_wait(int keep);

template <class T>
inline T
shfl(unsigned mask, T v, int from, int width, Site at)
{
  static_assert(sizeof(T) <= 16, "shuffle of more than 16 bytes");
  const char *slot = (const char *)warp_meet(mask, &v, sizeof v, at);
  int l = lane(), base = l & ~(width - 1);
  T r;

  if (from < base || from >= base + width)
    from = l; /* out of the group: its own value */
  memcpy(&r, slot + 16 * from, sizeof r);
  return r;
}

template <class T>
inline T
shfl_idx(unsigned mask, T v, int from, int width, Site at)
{
  int base = lane() & ~(width - 1);

  return shfl(mask, v, base + (from & (width - 1)), width, at);
}

template <class T>
inline T
shfl_xor(unsigned mask, T v, int bits, int width, Site at)
{
  return shfl(mask, v, lane() ^ bits, width, at);
}

template <class T>
inline T
shfl_down(unsigned mask, T v, int by, int width, Site at)
{
  return shfl(mask, v, lane() + by, width, at);
}

template <class T>
inline T
shfl_up(unsigned mask, T v, int by, int width, Site at)
{
  return shfl(mask, v, lane() - by, width, at);
}

template <class T, class F>
inline T
reduce(unsigned mask, T v, F f, Site at)
{
  const char *slot = (const char *)warp_meet(mask, &v, sizeof v, at);
  T r{}, x;
  bool first = true;

  for (int i = 0; i < 32; i++) {
    if (!(mask >> i & 1))
      continue;
    memcpy(&x, slot + 16 * i, sizeof x);
    r = first ? x : f(r, x);
    first = false;
  }
  return r;
}

inline unsigned
ballot(unsigned mask, bool mine, Site at)
{
  return reduce(
      mask, mine ? 1u << lane() : 0u,
      [](unsigned a, unsigned b) { return a | b; }, at);
}

/* Lanes whose bits of v are mine. */
template <class T>
inline unsigned
match(unsigned mask, T v, Site at)
{
  const char *slot = (const char *)warp_meet(mask, &v, sizeof v, at);
  unsigned same = 0;

  for (int i = 0; i < 32; i++)
    if (mask >> i & 1 && memcmp(slot + 16 * i, &v, sizeof v) == 0)
      same |= 1u << i;
  return same;
}

inline unsigned
full_mask(unsigned m = 0xffffffffu)
{
  return m;
}

} // namespace shim

#define SHIM_AT(op) (shim::Site{op, __FILE__, __LINE__})

#define __syncthreads() shim::syncthreads(SHIM_AT("__syncthreads"))
#define __syncthreads_or(p)                                                    \
  shim::syncthreads(SHIM_AT("__syncthreads_or"), shim::VOTE_OR, !!(p))
#define __syncthreads_and(p)                                                   \
  shim::syncthreads(SHIM_AT("__syncthreads_and"), shim::VOTE_AND, !!(p))
#define __syncthreads_count(p)                                                 \
  shim::syncthreads(SHIM_AT("__syncthreads_count"), shim::VOTE_COUNT, !!(p))
#define __syncwarp(...)                                                        \
  ((void)shim::warp_meet(shim::full_mask(__VA_ARGS__), "", 1,                  \
                         SHIM_AT("__syncwarp")))

/* The width may be left out. */
#define SHIM_SHFL(f, op, mask, v, arg, width, ...)                             \
  shim::f(mask, v, arg, width, SHIM_AT(op))
#define __shfl_sync(...) SHIM_SHFL(shfl_idx, "__shfl_sync", __VA_ARGS__, 32, 0)
#define __shfl_xor_sync(...)                                                   \
  SHIM_SHFL(shfl_xor, "__shfl_xor_sync", __VA_ARGS__, 32, 0)
#define __shfl_down_sync(...)                                                  \
  SHIM_SHFL(shfl_down, "__shfl_down_sync", __VA_ARGS__, 32, 0)
#define __shfl_up_sync(...)                                                    \
  SHIM_SHFL(shfl_up, "__shfl_up_sync", __VA_ARGS__, 32, 0)

#define __ballot_sync(mask, p) shim::ballot(mask, p, SHIM_AT("__ballot_sync"))
#define __any_sync(mask, p) (shim::ballot(mask, p, SHIM_AT("__any_sync")) != 0)
#define __all_sync(mask, p)                                                    \
  (shim::ballot(mask, !(p), SHIM_AT("__all_sync")) == 0)
#define __match_any_sync(mask, v)                                              \
  shim::match((unsigned)(mask), v, SHIM_AT("__match_any_sync"))
#define __activemask() 0xffffffffu
#define SHIM_REDUCE(op, mask, v, value)                                        \
  shim::reduce((unsigned)(mask), v, [](auto a, auto b) { return value; },      \
               SHIM_AT(op))
#define __reduce_add_sync(mask, v)                                             \
  SHIM_REDUCE("__reduce_add_sync", mask, v, a + b)
#define __reduce_max_sync(mask, v)                                             \
  SHIM_REDUCE("__reduce_max_sync", mask, v, a > b ? a : b)
#define __reduce_min_sync(mask, v)                                             \
  SHIM_REDUCE("__reduce_min_sync", mask, v, a < b ? a : b)
#define __reduce_or_sync(mask, v)                                              \
  SHIM_REDUCE("__reduce_or_sync", mask, v, a | b)
#define __reduce_and_sync(mask, v)                                             \
  SHIM_REDUCE("__reduce_and_sync", mask, v, a &b)

#define __threadfence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define __threadfence_block() __threadfence()
#define __trap() __builtin_trap()

/* --- atomics: real ones, so that ThreadSanitizer sees them as such ------- */

namespace shim
{

template <class T> struct same {
  typedef T type;
};

template <class T>
inline T
fetch(T *p, T v, T (*f)(T, T))
{
  T old, next;

  __atomic_load(p, &old, __ATOMIC_RELAXED);
  do
    next = f(old, v);
  while (!__atomic_compare_exchange(p, &old, &next, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED));
  return old;
}

} // namespace shim

#define SHIM_ATOMIC(name, value)                                               \
  template <class T> inline T name(T *p, typename shim::same<T>::type v)       \
  {                                                                            \
    return shim::fetch<T>(p, v, [](T a, T b) { return (T)(value); });          \
  }
SHIM_ATOMIC(atomicAdd, a + b)
SHIM_ATOMIC(atomicSub, a - b)
SHIM_ATOMIC(atomicMax, a > b ? a : b)
SHIM_ATOMIC(atomicMin, a < b ? a : b)
SHIM_ATOMIC(atomicOr, a | b)
SHIM_ATOMIC(atomicAnd, a &b)
SHIM_ATOMIC(atomicExch, (void(a), b))
#undef SHIM_ATOMIC

template <class T>
inline T
atomicCAS(T *p, typename shim::same<T>::type old,
          typename shim::same<T>::type next)
{
  __atomic_compare_exchange(p, &old, &next, false, __ATOMIC_RELAXED,
                            __ATOMIC_RELAXED);
  return old;
}

#endif
