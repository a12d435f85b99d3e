/* indexed_write.c: all ranks write one pair NAME.idx, NAME.bin at places that
 * are known from the totals. */
#include "data/indexed_impl.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
hy_indexed_type_of(int64_t vocab)
{
  return vocab < 65500 ? 8 : 4;
}

/* ---- create ---- */

static int
check_head(const char *name, const hy_indexed_head *h)
{
  int64_t most = INT64_MAX / 16;

  if (h->type < 1 || h->type >= HY_IDX_N_TYPES || h->n_tokens < 0 ||
      h->n_seq < 0 || h->n_docs < 0 || h->n_tokens > most || h->n_seq > most ||
      h->n_docs > most)
    return hy_fail(HY_EBUG,
                   "%s: indexed data of type %d with %lld tokens, %lld "
                   "sequences, %lld documents; report this",
                   name, h->type, (long long)h->n_tokens, (long long)h->n_seq,
                   (long long)h->n_docs);
  return HY_OK;
}

static int
make_file(const hy_indexed_file *f, int64_t bytes)
{
  int fd = open(f->tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666), why = 0;

  if (fd < 0 || ftruncate(fd, (off_t)bytes))
    why = errno;
  if (fd >= 0)
    close(fd);
  return why ? hy_file_failed(f->path, why) : HY_OK;
}

static int
open_file(hy_indexed_file *f)
{
  f->fd = open(f->tmp, O_WRONLY);
  return f->fd < 0 ? hy_file_failed(f->path, errno) : HY_OK;
}

static void
write_head(hy_indexed_out *o)
{
  uint64_t n_seq = (uint64_t)o->head.n_seq, version = HY_IDX_VERSION;
  uint64_t n_borders = (uint64_t)o->head.n_docs + 1;
  char head[HY_IDX_HEAD];

  memcpy(head, HY_IDX_MAGIC, 9);
  memcpy(head + HY_IDX_AT_VERSION, &version, 8);
  head[HY_IDX_AT_TYPE] = (char)o->head.type;
  memcpy(head + HY_IDX_AT_N_SEQ, &n_seq, 8);
  memcpy(head + HY_IDX_AT_N_BORDERS, &n_borders, 8);
  hy_indexed_write_at(o, &o->idx, head, sizeof head, 0);
  hy_indexed_write_at(o, &o->idx, &o->head.n_seq, 8,
                      HY_IDX_AT_BORDER(o, o->head.n_docs));
}

static void
name_file(hy_indexed_file *f, const char *name, const char *suffix)
{
  f->path = hy_asprintf("%s%s", name, suffix);
  f->tmp = hy_asprintf("%s%s.tmp", name, suffix);
  f->fd = -1;
}

static void
drop(hy_indexed_out *o)
{
  hy_indexed_file *f[2] = {&o->idx, &o->bin};

  for (int i = 0; i < 2; i++) {
    if (f[i]->fd >= 0)
      close(f[i]->fd);
    free(f[i]->path);
    free(f[i]->tmp);
  }
  free(o->r);
  free(o);
}

static void
unlink_both(const hy_indexed_out *o)
{
  if (o->comm.rank == 0) {
    unlink(o->idx.tmp);
    unlink(o->bin.tmp);
  }
}

static int
make_files(hy_indexed_out *o)
{
  const hy_indexed_head *h = &o->head;
  char *dir = hy_path_dir(o->idx.path);
  int err = hy_make_dirs(dir);

  free(dir);
  if (!err)
    err = make_file(&o->idx, HY_IDX_AT_BORDER(o, h->n_docs + 1));
  if (!err)
    err = make_file(&o->bin, h->n_tokens * hy_indexed_kinds[h->type].size);
  return err;
}

static int
create(hy_indexed_out **out, const char *path, const hy_indexed_head *head,
       int one_seq, const hy_comm *comm)
{
  hy_indexed_out *o = hy_calloc(1, sizeof *o);
  char *name = hy_indexed_name(path);
  int err = check_head(path, head);

  *out = NULL;
  o->one_seq = one_seq;
  o->head = *head;
  o->comm = *comm;
  name_file(&o->idx, name, ".idx");
  name_file(&o->bin, name, ".bin");
  free(name);
  if (comm->rank == 0 && !err)
    err = make_files(o);
  err = hy_agree(comm, err);
  if (!err) {
    err = open_file(&o->idx);
    if (!err)
      err = open_file(&o->bin);
    if (!err && comm->rank == 0) {
      write_head(o);
      err = o->code;
    }
    err = hy_agree(comm, err);
  }
  if (err) {
    unlink_both(o);
    drop(o);
  } else
    *out = o;
  return err;
}

int
hy_indexed_create(hy_indexed_out **o, const char *name, int type,
                  int64_t n_tokens, int64_t n_docs, const hy_comm *comm)
{
  hy_indexed_head head = {type, n_tokens, n_docs, n_docs};

  return create(o, name, &head, 1, comm);
}

int
hy_indexed_create_seq(hy_indexed_out **o, const char *name,
                      const hy_indexed_head *head, const hy_comm *comm)
{
  return create(o, name, head, 0, comm);
}

/* ---- close ---- */

static int
by_first(const void *a, const void *b)
{
  const hy_indexed_run *x = a, *y = b;

  return (x->first > y->first) - (x->first < y->first);
}

/* Runs of all ranks on every rank; the caller frees them. */
static hy_indexed_run *
all_runs(hy_indexed_out *o, int64_t *n)
{
  hy_comm host = hy_comm_host(&o->comm);
  int64_t *at = hy_calloc((size_t)host.size + 1, sizeof *at);
  int64_t *count = hy_calloc((size_t)host.size, sizeof *count);
  hy_indexed_run *r;

  for (int i = 0; i <= host.size; i++)
    at[i] = i;
  count[host.rank] = o->n_runs;
  hy_all_gather(&host, count, at, sizeof *count);
  for (int i = 0; i < host.size; i++)
    at[i + 1] = at[i] + count[i];
  *n = at[host.size];
  r = hy_malloc(((size_t)*n + 1) * sizeof *r);
  if (o->n_runs)
    memcpy(r + at[host.rank], o->r, (size_t)o->n_runs * sizeof *r);
  hy_all_gather(&host, r, at, sizeof *r);
  free(at);
  free(count);
  return r;
}

/* Lengths of the last sequences of runs, and whether every sequence was given
 * once. */
static void
join_runs(hy_indexed_out *o, hy_indexed_run *r, int64_t n)
{
  int64_t next = 0;

  qsort(r, (size_t)n, sizeof *r, by_first);
  for (int64_t i = 0; i < n; i++) {
    int64_t end = i + 1 < n ? r[i + 1].start : o->head.n_tokens;

    if (r[i].first != next)
      break;
    next = r[i].last + 1;
    hy_indexed_put_lengths(o, r[i].last, 1, (int64_t[]){r[i].last_start, end});
  }
  if (!o->code && (next != o->head.n_seq || (n > 0 && r[0].start != 0) ||
                   (n == 0 && o->head.n_tokens > 0)))
    hy_indexed_failed(
        o, hy_fail(HY_EBUG,
                   "%s: sequences before or after number %lld of %lld are "
                   "missing; report this",
                   o->idx.path, (long long)next, (long long)o->head.n_seq));
}

static void
check_counts(hy_indexed_out *o)
{
  int64_t n[2] = {o->n_ids, o->n_borders};

  hy_sum_i64(&o->comm, n, 2);
  if (!o->code && (n[0] != o->head.n_tokens || n[1] != o->head.n_docs))
    hy_indexed_failed(
        o, hy_fail(HY_EBUG,
                   "%s: %lld tokens of %lld and %lld documents of %lld were "
                   "given; report this",
                   o->bin.path, (long long)n[0], (long long)o->head.n_tokens,
                   (long long)n[1], (long long)o->head.n_docs));
}

static void
sync_file(hy_indexed_out *o, hy_indexed_file *f)
{
  if (!o->code && fsync(f->fd))
    hy_indexed_failed(o, hy_file_failed(f->path, errno));
  if (close(f->fd) && !o->code)
    hy_indexed_failed(o, hy_file_failed(f->path, errno));
  f->fd = -1;
}

/* An older index goes first: at no moment there are two files that do not
 * belong together. */
static int
commit(const hy_indexed_out *o)
{
  int err;

  unlink(o->idx.path);
  err = hy_file_commit(o->bin.tmp, o->bin.path);
  if (!err && (err = hy_file_commit(o->idx.tmp, o->idx.path)))
    unlink(o->bin.path);
  return err;
}

int
hy_indexed_close(hy_indexed_out *o, int code)
{
  int64_t n;
  hy_indexed_run *r;
  int err;

  hy_indexed_failed(o, code);
  err = hy_agree(&o->comm, o->code);
  if (!err) { /* else something is missing for a reason */
    check_counts(o);
    err = hy_agree(&o->comm, o->code);
  }
  r = all_runs(o, &n);
  if (o->comm.rank == 0 && !err)
    join_runs(o, r, n);
  free(r);
  sync_file(o, &o->idx);
  sync_file(o, &o->bin);
  err = hy_agree(&o->comm, o->code);
  if (!err) {
    if (o->comm.rank == 0)
      err = commit(o);
    err = hy_agree(&o->comm, err);
  }
  if (err)
    unlink_both(o);
  drop(o);
  return err;
}
