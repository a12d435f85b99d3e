#include "base/mem.h"
#include "base/err.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

static _Noreturn void
out_of_memory(size_t bytes)
{
  hy_die(HY_ERES,
         "memory: cannot get %zu bytes; use a smaller batch or model "
         "or more ranks (hymn --dry-run shows bytes per rank)",
         bytes);
}

void *
hy_malloc(size_t bytes)
{
  void *p = malloc(bytes ? bytes : 1);

  if (!p)
    out_of_memory(bytes);
  return p;
}

void *
hy_calloc(size_t n, size_t size)
{
  void *p = calloc(n ? n : 1, size ? size : 1);

  if (!p)
    out_of_memory(n * size);
  return p;
}

void *
hy_realloc(void *p, size_t bytes)
{
  p = realloc(p, bytes ? bytes : 1);
  if (!p)
    out_of_memory(bytes);
  return p;
}

char *
hy_strndup(const char *s, size_t n)
{
  char *p = hy_malloc(n + 1);

  memcpy(p, s, n);
  p[n] = '\0';
  return p;
}

char *
hy_strdup(const char *s)
{
  return hy_strndup(s, strlen(s));
}

char *
hy_asprintf(const char *fmt, ...)
{
  va_list ap;
  char *s;
  int n;

  va_start(ap, fmt);
  n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  s = hy_malloc((size_t)n + 1);
  va_start(ap, fmt);
  vsnprintf(s, (size_t)n + 1, fmt, ap);
  va_end(ap);
  return s;
}

static void
buf_room(hy_buf *b, size_t n)
{
  if (b->len + n + 1 <= b->cap)
    return;
  b->cap = 2 * b->cap > b->len + n + 1 ? 2 * b->cap : b->len + n + 64;
  b->data = hy_realloc(b->data, b->cap);
}

void
hy_buf_add(hy_buf *b, const void *data, size_t n)
{
  buf_room(b, n);
  if (n)
    memcpy(b->data + b->len, data, n);
  b->len += n;
  b->data[b->len] = '\0';
}

void
hy_buf_printf(hy_buf *b, const char *fmt, ...)
{
  va_list ap;
  int n;

  va_start(ap, fmt);
  n = vsnprintf(NULL, 0, fmt, ap);
  va_end(ap);
  buf_room(b, (size_t)n);
  va_start(ap, fmt);
  vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
  va_end(ap);
  b->len += (size_t)n;
}

size_t
hy_mem_peak(void)
{
  struct rusage u;

  getrusage(RUSAGE_SELF, &u);
  return (size_t)u.ru_maxrss << 10;
}

size_t
hy_mem_physical(void)
{
  long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);

  return pages > 0 && bytes > 0 ? (size_t)pages * (size_t)bytes : SIZE_MAX;
}

static int
no_room(const char *name, size_t size)
{
  return hy_fail(HY_ERES,
                 "memory: cannot get %zu bytes for %s; use a smaller batch "
                 "or model or more ranks",
                 size, name);
}

int
hy_arena_new(hy_arena *a, const char *name, size_t size)
{
  *a = (hy_arena){.name = name};
  size = (size + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
  if (size > hy_mem_physical()) /* a mapping alone would not be refused */
    return no_room(name, size);
  if (size > 0) {
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (base == MAP_FAILED)
      return no_room(name, size);
    a->base = base;
  }
  a->size = size;
  return HY_OK;
}

int
hy_arena_limited(hy_arena *a, const char *name, size_t most)
{
  size_t all = hy_mem_physical() / HY_ALIGN * HY_ALIGN;
  int err = hy_arena_new(a, name, most < all ? most : all);

  a->limited = most > all;
  return err;
}

int
hy_arena_in(hy_arena *a, const char *name, size_t now, size_t most,
            const hy_space *space)
{
  *a = (hy_arena){.name = name, .space = space, .limited = most > now};
  most = (most + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
  if (most == 0)
    return HY_OK;
  a->base = space->reserve(most);
  if (!a->base)
    return no_room(name, most);
  a->size = most;
  a->there = now ? space->commit(a->base, 0, now) : 0;
  if (now == 0 || a->there > 0)
    return HY_OK;
  hy_arena_free(a);
  return no_room(name, now);
}

void
hy_arena_plan(hy_arena *a, const char *name)
{
  *a = (hy_arena){.name = name, .counting = 1};
}

void
hy_arena_free(hy_arena *a)
{
  if (a->base && a->space)
    a->space->release(a->base, a->size);
  else if (a->base)
    munmap(a->base, a->size);
  *a = (hy_arena){0};
}

static size_t
aligned(size_t bytes)
{
  return (bytes + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
}

void *
hy_arena_get(hy_arena *a, size_t bytes)
{
  size_t at = a->used;

  bytes = aligned(bytes);
  if (!a->counting && bytes > a->size - at) {
    if (a->limited)
      out_of_memory(at + bytes);
    hy_die(HY_EBUG,
           "arena %s: %zu bytes wanted, %zu of %zu left; the memory "
           "plan is wrong, please report this deck",
           a->name, bytes, a->size - at, a->size);
  }
  a->used = at + bytes;
  if (a->space && a->used > a->there) {
    a->there = a->space->commit(a->base, a->there, a->used);
    if (a->there == 0)
      out_of_memory(a->used);
  }
  if (a->used > a->peak)
    a->peak = a->used;
  /* A counting arena gives distinct addresses that nobody may touch. */
  return a->counting ? (void *)(HY_ALIGN + at) : a->base + at;
}

void
hy_arena_release(hy_arena *a, size_t mark)
{
  a->used = mark;
}

void
hy_arena_shrink(hy_arena *a, const void *p, size_t from, size_t to)
{
  uintptr_t first = a->counting ? HY_ALIGN : (uintptr_t)a->base;
  size_t at = (uintptr_t)p - first;

  if (at + aligned(from) == a->used)
    a->used = at + aligned(to);
}
