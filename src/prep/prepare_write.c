/* prepare_write.c: windows of documents to the files of the job. */
#include "base/err.h"
#include "base/file.h"
#include "base/progress.h"
#include "data/indexed.h"
#include "data/packed.h"
#include "prep/prepare_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUF_TOKENS ((int64_t)1 << 18)
#define BUF_PLACES ((int64_t)1 << 13) /* documents, rows */
#define OPEN_PARTS 64

/* Where a window begins in its file, or what it has. */
typedef struct {
  int64_t n_tokens, n_docs, n_rows;
} extent;

typedef struct {
  int64_t shard; /* -1: none */
  int tok, wgt;  /* -1: not there, all weights are 1 */
} open_part;

/* One file under way. */
typedef struct {
  hy_prep *p;
  hy_prep_file *file;
  int f;
  int64_t n_windows;
  extent *at; /* (n_windows + 1) */
  hy_window w;
  int64_t loaded; /* number of w, -1: none */

  hy_packed_out *packed; /* one of these */
  hy_indexed_out *indexed;

  open_part part[OPEN_PARTS];
  int32_t *id;             /* (BUF_TOKENS) */
  float *weight;           /* (BUF_TOKENS), NULL: all 1 */
  int64_t *doc, (*row)[2]; /* (BUF_PLACES) */
  int64_t n_id, n_doc, n_row;
  extent next; /* of the next token, document, row to be buffered */
  hy_progress bar;
  int64_t done;
} writer;

/* ---- buffers ---- */

static int
flush_tokens(writer *w)
{
  int64_t n = w->n_id, first = w->next.n_tokens - n;

  w->n_id = 0;
  if (w->packed)
    return hy_packed_put_tokens(w->packed, first, n, w->id, w->weight);
  hy_indexed_put_ids(w->indexed, first, n, w->id);
  return HY_OK;
}

static int
flush_docs(writer *w)
{
  int64_t n = w->n_doc, first = w->next.n_docs - n;

  w->n_doc = 0;
  if (w->packed)
    return hy_packed_put_docs(w->packed, first, n, w->doc);
  hy_indexed_put_docs(w->indexed, first, n, w->doc);
  return HY_OK;
}

static int
flush_rows(writer *w)
{
  int64_t n = w->n_row, first = w->next.n_rows - n;

  w->n_row = 0;
  return n ? hy_packed_put_rows(w->packed, first, n,
                                (const int64_t(*)[2])w->row)
           : HY_OK;
}

static int
flush(writer *w)
{
  int err = flush_tokens(w);

  err = err ? err : flush_docs(w);
  return err ? err : flush_rows(w);
}

static int
add_row(writer *w, int64_t first, int64_t n)
{
  w->row[w->n_row][0] = first;
  w->row[w->n_row++][1] = n;
  w->next.n_rows++;
  return w->n_row == BUF_PLACES ? flush_rows(w) : HY_OK;
}

/* ---- parts ---- */

static void
close_part(open_part *o)
{
  if (o->shard >= 0) {
    close(o->tok);
    if (o->wgt >= 0)
      close(o->wgt);
  }
  o->shard = -1;
}

static int
open_file(const hy_prep *p, int64_t shard, const char *suffix, int optional,
          int *fd)
{
  char *path = hy_part_path(p->dir, shard, suffix);
  int err = HY_OK;

  *fd = open(path, O_RDONLY);
  if (*fd < 0 && !(optional && errno == ENOENT))
    err = hy_fail(HY_EFILE, "%s: cannot read: %s; run again", path,
                  strerror(errno));
  free(path);
  return err;
}

static int
get_part(writer *w, int64_t shard, open_part **out)
{
  open_part *o = &w->part[shard % OPEN_PARTS];
  int err;

  *out = o;
  if (o->shard == shard)
    return HY_OK;
  close_part(o);
  err = open_file(w->p, shard, "tok", 0, &o->tok);
  if (err)
    return err;
  o->wgt = -1;
  o->shard = shard;
  return w->weight ? open_file(w->p, shard, "wgt", 1, &o->wgt) : HY_OK;
}

static int
read_part(writer *w, const open_part *o, int64_t at, int64_t n)
{
  int32_t *id = w->id + w->n_id;
  float *weight = w->weight ? w->weight + w->n_id : NULL;
  int64_t byte = at * (int64_t)sizeof *id;
  int why = hy_file_get(o->tok, id, (size_t)n * sizeof *id, byte);

  if (!why && weight && o->wgt >= 0)
    why = hy_file_get(o->wgt, weight, (size_t)n * sizeof *weight, byte);
  for (int64_t i = 0; i < n && weight && o->wgt < 0; i++)
    weight[i] = 1.0f;
  return why ? hy_fail(HY_EFILE, "%s/%08lld.tok: read failed: %s; run again",
                       w->p->dir, (long long)o->shard, strerror(why))
             : HY_OK;
}

static int
add_piece(writer *w, hy_piece_at piece)
{
  open_part *o;
  int err = get_part(w, piece.shard, &o);

  w->doc[w->n_doc++] = w->next.n_tokens;
  w->next.n_docs++;
  if (!err && w->n_doc == BUF_PLACES)
    err = flush_docs(w);
  while (piece.n > 0 && !err) {
    int64_t room = BUF_TOKENS - w->n_id, n = piece.n < room ? piece.n : room;

    err = read_part(w, o, piece.at, n);
    w->n_id += n;
    w->next.n_tokens += n;
    piece.at += n;
    piece.n -= n;
    if (!err && w->n_id == BUF_TOKENS)
      err = flush_tokens(w);
  }
  return err;
}

/* ---- windows ---- */

static int
load(writer *w, int64_t number)
{
  int err;

  if (w->loaded == number)
    return HY_OK;
  err = hy_window_load(&w->w, w->p, w->f, number);
  w->loaded = err ? -1 : number;
  return err;
}

/* What each window has, then where each begins. */
static int
measure(writer *w)
{
  static const char *const phrase[] = {"cut off at the end of a row",
                                       "tokens cut off", "split into rows"};
  const hy_comm *comm = w->p->comm;
  int64_t n_long[3] = {0};
  extent sum = {0};
  int rows = w->p->packing != HY_PACK_CONCATENATIVE, err = HY_OK;

  for (int64_t v = comm->rank; v < w->n_windows && !err; v += comm->size) {
    err = load(w, v);
    w->at[v] = (extent){w->w.n_tokens, w->w.n_pieces, rows ? w->w.n_groups : 0};
    n_long[0] += w->w.n_cut;
    n_long[1] += w->w.n_lost;
    n_long[2] += w->w.n_split;
  }
  err = hy_agree(comm, err);
  if (err)
    return err;
  hy_sum_i64(comm, &w->at[0].n_tokens, (int)(3 * (w->n_windows + 1)));
  hy_sum_i64(comm, n_long, 3);
  for (int i = 0; i < 3; i++)
    if (n_long[i])
      hy_tally_add(&w->file->notes, phrase[i], n_long[i]);
  for (int64_t v = 0; v <= w->n_windows; v++) {
    extent has = w->at[v];

    w->at[v] = sum;
    sum.n_tokens += has.n_tokens;
    sum.n_docs += has.n_docs;
    sum.n_rows += has.n_rows;
  }
  w->file->n_tokens = sum.n_tokens;
  w->file->n_docs = sum.n_docs;
  w->file->n_rows =
      rows ? sum.n_rows
           : (sum.n_tokens + w->p->d->seq_len - 1) / w->p->d->seq_len;
  return HY_OK;
}

/* Groups from .. to-1 of the window that is loaded. */
static int
write_groups(writer *w, int64_t from, int64_t to)
{
  const hy_window *v = &w->w;
  int rows = w->p->packing != HY_PACK_CONCATENATIVE, err = HY_OK;

  w->next = w->at[w->loaded];
  for (int64_t g = 0; g < to && !err; g++) {
    int64_t begin = w->next.n_tokens;

    for (int64_t i = v->first[g]; i < v->first[g + 1] && !err; i++)
      for (int64_t k = v->unit[v->order[i]];
           k < v->unit[v->order[i] + 1] && !err; k++)
        if (g >= from)
          err = add_piece(w, v->piece[k]);
        else {
          w->next.n_tokens += v->piece[k].n;
          w->next.n_docs++;
        }
    if (g < from)
      w->next.n_rows += rows;
    else if (rows && !err)
      err = add_row(w, begin, w->next.n_tokens - begin);
  }
  return err ? err : flush(w);
}

/* Own share: whole windows, or where there are few of them parts of each. */
static int
write_windows(writer *w)
{
  int64_t size = w->p->comm->size, rank = w->p->comm->rank, n_parts = 1;
  int64_t n_tasks, n_own;
  int err = HY_OK;

  if (w->n_windows < 4 * size)
    n_parts = (4 * size + w->n_windows - 1) / w->n_windows;
  n_tasks = w->n_windows * n_parts;
  n_own = (n_tasks - rank + size - 1) / size;
  hy_progress_begin(&w->bar, "write", (double)n_own, rank == 0);
  for (int64_t t = rank; t < n_tasks && !err; t += size) {
    int64_t part = t % n_parts;

    err = load(w, t / n_parts);
    if (!err)
      err = write_groups(w, w->w.n_groups * part / n_parts,
                         w->w.n_groups * (part + 1) / n_parts);
    hy_progress_at(&w->bar, (double)++w->done);
  }
  hy_progress_end(&w->bar);
  return err;
}

/* Rows of one stream, cut every seq_len tokens. */
static int
write_stream_rows(writer *w)
{
  int64_t seq_len = w->p->d->seq_len, n = w->file->n_rows;
  int64_t rank = w->p->comm->rank, size = w->p->comm->size;
  int64_t to = n * (rank + 1) / size;
  int err = HY_OK;

  w->next.n_rows = n * rank / size;
  while (w->next.n_rows < to && !err) {
    int64_t first = w->next.n_rows * seq_len, left = w->file->n_tokens - first;

    err = add_row(w, first, left < seq_len ? left : seq_len);
  }
  return err ? err : flush_rows(w);
}

/* ---- files ---- */

static int
write_packed(writer *w, const hy_packed_head *head)
{
  const hy_comm *comm = w->p->comm;
  int err = hy_packed_create(&w->packed, w->file->path, head, comm);

  if (err)
    return err;
  err = write_windows(w);
  if (!err && w->p->packing == HY_PACK_CONCATENATIVE)
    err = write_stream_rows(w);
  if (!err && comm->rank == 0)
    err = hy_packed_put_docs(w->packed, head->n_docs, 1, &head->n_tokens);
  return hy_packed_close(w->packed, err, w->file->hash);
}

static int
write_indexed(writer *w, const hy_packed_head *head)
{
  const hy_comm *comm = w->p->comm;
  const char *name = w->file->path;
  hy_indexed *x = NULL;
  int err;

  if (w->p->weights)
    return hy_fail(HY_EDATA,
                   "%s: Megatron's format has no place for loss weights, and "
                   "these readers give some; set prepare.format='hymn', or "
                   "prepare.loss='all'",
                   name);
  err = hy_indexed_create(&w->indexed, name, hy_indexed_type_of(head->vocab),
                          head->n_tokens, head->n_docs, comm);
  if (err)
    return err;
  err = hy_indexed_close(w->indexed, write_windows(w));
  if (!err)
    err = hy_agree(comm, hy_indexed_open(&x, name));
  if (!err) {
    hy_indexed_hash_all(x, comm, w->file->hash);
    err = hy_agree(comm, comm->rank == 0 ? hy_prep_side_files(w->p, w->f, head)
                                         : HY_OK);
  }
  hy_indexed_free(x);
  return err;
}

static void
new_buffers(writer *w)
{
  w->id = hy_malloc((size_t)BUF_TOKENS * sizeof *w->id);
  if (w->p->weights)
    w->weight = hy_malloc((size_t)BUF_TOKENS * sizeof *w->weight);
  w->doc = hy_malloc((size_t)BUF_PLACES * sizeof *w->doc);
  w->row = hy_malloc((size_t)BUF_PLACES * sizeof *w->row);
  for (int i = 0; i < OPEN_PARTS; i++)
    w->part[i].shard = -1;
  w->at = hy_calloc((size_t)w->n_windows + 1, sizeof *w->at);
  w->loaded = -1;
}

static void
free_buffers(writer *w)
{
  for (int i = 0; i < OPEN_PARTS; i++)
    close_part(&w->part[i]);
  hy_window_free(&w->w);
  free(w->at);
  free(w->id);
  free(w->weight);
  free(w->doc);
  free(w->row);
}

static int
write_file(hy_prep *p, int f)
{
  writer w = {.p = p, .file = &p->file[f], .f = f};
  hy_packed_head head;
  int err;

  w.n_windows = (w.file->n_units - 1) / HY_WINDOW_UNITS + 1;
  new_buffers(&w);
  err = measure(&w);
  if (!err) {
    hy_prep_head(p, f, &head);
    err = strcmp(p->d->format, "megatron") ? write_packed(&w, &head)
                                           : write_indexed(&w, &head);
    hy_prep_head_free(&head);
  }
  free_buffers(&w);
  return err;
}

int
hy_prep_write(hy_prep *p)
{
  int err = HY_OK;

  for (int f = 0; f < p->n_files && !err; f++)
    if (p->file[f].n_units > 0)
      err = write_file(p, f);
  return err;
}
