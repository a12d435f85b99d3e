/* mem.h: heap memory outside the step loop, and arenas inside it. */
#ifndef HYMN_BASE_MEM_H
#define HYMN_BASE_MEM_H

#include <stddef.h>

/** malloc, calloc, realloc, strdup that end the run (HY_ERES) when the
 *  machine has no more memory; the step loop never calls them. */
void *hy_malloc(size_t bytes);
void *hy_calloc(size_t n, size_t size);
void *hy_realloc(void *p, size_t bytes);
char *hy_strdup(const char *s);
char *hy_strndup(const char *s, size_t n);

/** printf into a fresh string; the caller frees it. */
char *hy_asprintf(const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;

/** A growing array of bytes: hy_buf b = {0}; ... free(b.data). */
typedef struct {
  char *data; /* always followed by a NUL that len does not count */
  size_t len, cap;
} hy_buf;

void hy_buf_add(hy_buf *b, const void *data, size_t n);
void hy_buf_printf(hy_buf *b, const char *fmt, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Addresses that get memory when they are needed. */
typedef struct {
  /** `size` bytes of addresses, NULL: no room. */
  void *(*reserve)(size_t size);
  /** Put memory behind bytes [from, to) of them, or more. \return the first
   *  byte that has none, 0: there is no memory */
  size_t (*commit)(void *base, size_t from, size_t to);
  void (*release)(void *base, size_t size);
} hy_space;

/** An arena hands out aligned pieces of one block and takes them back all at
 *  once. Without storage (hy_arena_plan) it only counts: the dry run walks
 *  the same program as the run and reads `peak`. */
typedef struct {
  const char *name; /* for messages */
  char *base;
  size_t size, used, peak;
  const hy_space *space; /* NULL: of the host */
  size_t there;          /* bytes in it that have memory behind them */
  int counting; /* no storage: addresses must not be touched */
  int limited;  /* may be needed beyond the machine's memory */
} hy_arena;

#define HY_ALIGN 64 /* bytes: one cache line, one AVX-512 vector */

/** Most bytes of memory this process has had so far. */
size_t hy_mem_peak(void);

/** Bytes of memory of this machine. */
size_t hy_mem_physical(void);

/** Reserve size bytes of addresses; a page costs memory from its first use on.
 *  0 or HY_ERES (also when size exceeds the machine's memory). */
int hy_arena_new(hy_arena *a, const char *name, size_t size);
/** As hy_arena_new, for a worst case that is not expected: of `most` bytes no
 *  more addresses than the machine has memory. */
int hy_arena_limited(hy_arena *a, const char *name, size_t most);
/** An arena in other memory: addresses for `most` bytes, memory behind the
 *  first `now` of them, behind the rest as it is used. */
int hy_arena_in(hy_arena *a, const char *name, size_t now, size_t most,
                const hy_space *space);
/** An arena that counts bytes and never holds any. */
void hy_arena_plan(hy_arena *a, const char *name);
void hy_arena_free(hy_arena *a);
/** bytes rounded up to HY_ALIGN; ends the run when the arena is full, which
 *  is a bug of the plan. The memory is not cleared. */
void *hy_arena_get(hy_arena *a, size_t bytes);
/** p, taken with `from` bytes, becomes `to` <= from bytes long; nothing when it
 *  is not the newest piece. */
void hy_arena_shrink(hy_arena *a, const void *p, size_t from, size_t to);
/** Give back everything taken since `used` had the value mark. */
void hy_arena_release(hy_arena *a, size_t mark);

#endif
