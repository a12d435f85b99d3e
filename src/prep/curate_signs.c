/* curate_signs.c: signatures in the files of many shards. */
#include "prep/curate_impl.h"
#include "base/err.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int
check_size(const hy_signs *g, int64_t s)
{
  const char *path = g->shard[s].sign;
  struct stat st;

  if (stat(path, &st))
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  if (st.st_size / (int64_t)g->bytes != g->shard[s].n_docs ||
      st.st_size % (int64_t)g->bytes != 0)
    return hy_fail(HY_EFILE,
                   "%s: has %lld bytes, %lld signatures of %zu were expected; "
                   "remove it and run again",
                   path, (long long)st.st_size, (long long)g->shard[s].n_docs,
                   g->bytes);
  return HY_OK;
}

int
hy_signs_open(hy_signs *g, const hy_curate *c, const hy_curate_shard *shard,
              int64_t n, int64_t from, int64_t step)
{
  size_t bytes = hy_curate_sign_bytes(c);
  int err = HY_OK;

  *g = (hy_signs){.shard = shard, .n_shards = n, .bytes = bytes};
  for (int i = 0; i < HY_SIGNS_OPEN; i++)
    g->fd[i] = -1;
  g->n_cached = c->n_cached;
  g->cache = hy_malloc((size_t)g->n_cached * bytes);
  g->cached = hy_malloc((size_t)g->n_cached * sizeof *g->cached);
  for (int64_t i = 0; i < g->n_cached; i++)
    g->cached[i] = -1;
  g->first = hy_calloc((size_t)n + 1, sizeof *g->first);
  for (int64_t s = 0; s < n; s++)
    g->first[s + 1] = g->first[s] + shard[s].n_docs;
  for (int64_t s = from; s < n && !err; s += step)
    err = check_size(g, s);
  return err;
}

void
hy_signs_close(hy_signs *g)
{
  for (int i = 0; i < HY_SIGNS_OPEN; i++)
    if (g->fd[i] >= 0)
      close(g->fd[i]);
  free(g->cache);
  free(g->cached);
  free(g->first);
}

static int
file_of(hy_signs *g, int64_t s)
{
  int64_t slot = s % HY_SIGNS_OPEN;

  if (g->fd[slot] >= 0 && g->fd_shard[slot] == s)
    return g->fd[slot];
  if (g->fd[slot] >= 0)
    close(g->fd[slot]);
  g->fd[slot] = open(g->shard[s].sign, O_RDONLY);
  g->fd_shard[slot] = s;
  if (g->fd[slot] < 0)
    g->err = hy_fail(HY_EFILE, "%s: cannot read: %s", g->shard[s].sign,
                     strerror(errno));
  return g->fd[slot];
}

void
hy_signs_read(hy_signs *g, int64_t s, int64_t doc, int64_t n, char *to)
{
  size_t size = (size_t)n * g->bytes, done = 0;
  int fd = g->err || n == 0 ? -1 : file_of(g, s);

  while (fd >= 0 && done < size) {
    ssize_t k = pread(fd, to + done, size - done,
                      (off_t)((size_t)doc * g->bytes + done));

    if (k < 0 && errno == EINTR)
      continue;
    if (k <= 0) {
      g->err = hy_fail(HY_EFILE, "%s: read failed: %s", g->shard[s].sign,
                       k < 0 ? strerror(errno) : "the file became shorter");
      break;
    }
    done += (size_t)k;
  }
  memset(to + done, 0, size - done);
}

/* The shard of a document: first[lo] <= doc < first[hi]. */
static int64_t
shard_of(const hy_signs *g, int64_t doc)
{
  int64_t lo = 0, hi = g->n_shards;

  while (hi - lo > 1) {
    int64_t mid = lo + (hi - lo) / 2;

    if (g->first[mid] <= doc)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

const char *
hy_signs_get(hy_signs *g, int64_t doc)
{
  int64_t slot = doc % g->n_cached, s;
  char *to = g->cache + (size_t)slot * g->bytes;

  if (g->cached[slot] != doc) {
    s = shard_of(g, doc);
    hy_signs_read(g, s, doc - g->first[s], 1, to);
    g->cached[slot] = doc;
  }
  return to;
}
