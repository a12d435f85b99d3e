/* packed_write.c: all ranks write one packed file.
 *
 * Rank 0 makes the file without data through HDF5; then the places of the
 * datasets are known and every rank writes its pieces there, whenever it has
 * them. Checksums are sums over the pieces. At the end rank 0 fills in what is
 * known only then, and renames. */
#include "base/err.h"
#include "base/file.h"
#include "base/version.h"
#include "data/packed_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct hy_packed_out {
  char *path, *tmp;
  hy_comm comm;
  hy_packed_info info;
  int fd;
  int64_t at[HY_PK_N]; /* byte where a dataset begins */
  int64_t n[HY_PK_N];  /* its rows; 0: absent */
  uint64_t sum[HY_PK_N];
};

#define SUM_HEX 17
static const char no_sum[SUM_HEX] = "0000000000000000";
static const char no_hash[HY_SHA_HEX] =
    "0000000000000000000000000000000000000000000000000000000000000000";

int
hy_packed_writable(const char *path)
{
  char *dir = hy_path_dir(path), *tmp = hy_asprintf("%s.tmp", path);
  int err = hy_make_dirs(dir);
  FILE *f;

  if (!err && hy_path_is_dir(path))
    err = hy_fail(HY_EFILE, "%s: is a folder; give the name of a file", path);
  if (!err && !(f = fopen(tmp, "wb")))
    err = hy_fail(HY_EFILE,
                  "%s: cannot write: %s; give a folder that can be written",
                  path, strerror(errno));
  else if (!err) {
    fclose(f);
    unlink(tmp);
  }
  free(tmp);
  free(dir);
  return err;
}

/* ---- the file without its data, rank 0 ---- */

static int
create_set(hy_packed_out *o, hid_t file, int col)
{
  const hy_packed_col *c = &hy_packed_cols[col];
  hsize_t dim[2] = {(hsize_t)o->n[col], c->width};
  hid_t space = H5Screate_simple(c->width > 1 ? 2 : 1, dim, NULL), set;
  hid_t how = hy_h5_timeless(H5P_DATASET_CREATE);
  int bad;

  H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
  set = H5Dcreate2(file, c->name, hy_packed_type(col), space, H5P_DEFAULT, how,
                   H5P_DEFAULT);
  bad = set < 0;
  if (!bad) {
    bad = hy_h5_put_text(set, "checksum", no_sum);
    o->at[col] = (int64_t)H5Dget_offset(set);
    bad |= H5Dclose(set) < 0;
  }
  H5Pclose(how);
  H5Sclose(space);
  return bad;
}

static int
create_file(hy_packed_out *o)
{
  hid_t access = hy_h5_access(), how = hy_h5_timeless(H5P_FILE_CREATE), file;
  int bad;

  hy_h5_quiet();
  H5Pset_alignment(access, 1 << 12, HY_ALIGN);
  file = H5Fcreate(o->tmp, H5F_ACC_TRUNC, how, access);
  H5Pclose(how);
  H5Pclose(access);
  bad = file < 0;
  for (int i = 0; i < hy_packed_n_attrs && !bad; i++) {
    const hy_packed_attr *a = &hy_packed_attrs[i];
    const char *field = (const char *)&o->info + a->at;

    bad = a->is_text ? hy_h5_put_text(file, a->name, *(char *const *)field)
                     : hy_h5_put_i64(file, a->name, *(const int64_t *)field);
  }
  for (int i = 0; i < HY_PK_N && !bad; i++)
    if (o->n[i])
      bad = create_set(o, file, i);
  if (file >= 0)
    bad |= H5Fclose(file) < 0;
  return bad ? hy_fail(HY_EFILE,
                       "%s: cannot create this file; check the folder and its "
                       "space",
                       o->tmp)
             : HY_OK;
}

/* Looked for before HDF5 sizes the file, which it cannot undo, and reserved
 * after: a full disk shows before the work. */
static int
check_room(const hy_packed_out *o, int64_t bytes)
{
  int why = hy_file_room(o->tmp, &bytes);

  if (!hy_file_is_full(why))
    return why ? hy_file_failed(o->path, why) : HY_OK;
  return hy_fail(HY_ERES, "%s: no room for %.1f MiB (%s); free some space",
                 o->path, (double)bytes / (1 << 20), strerror(why));
}

/* No less than the file will have. */
static int64_t
size_guess(const hy_packed_out *o)
{
  int64_t bytes = 1 << 16;

  for (int i = 0; i < HY_PK_N; i++)
    bytes +=
        o->n[i] * (int64_t)(hy_packed_cols[i].size * hy_packed_cols[i].width) +
        HY_ALIGN;
  for (int i = 0; i < hy_packed_n_attrs; i++)
    if (hy_packed_attrs[i].is_text)
      bytes += 2 * (int64_t)strlen(*(char *const *)((const char *)&o->info +
                                                    hy_packed_attrs[i].at));
  return bytes;
}

static char *
text_or(const char *text, const char *other)
{
  return (char *)(uintptr_t)(text ? text : other);
}

static void
fill_info(hy_packed_info *info, const hy_packed_head *h)
{
  *info = (hy_packed_info){.format = text_or(HY_PACKED_FORMAT, ""),
                           .packing = text_or(h->packing, ""),
                           .tokenizer = text_or(h->tok_hash, ""),
                           .chat = text_or(h->chat_hash, ""),
                           .keys = text_or(h->keys, "{}"),
                           .sources = text_or(h->sources, "[]"),
                           .dropped = text_or(h->dropped, "{}"),
                           .notes = text_or(h->notes, "{}"),
                           .lineage = text_or(h->lineage, "[]"),
                           .hash = text_or(no_hash, ""),
                           .code = text_or(hy_version(), ""),
                           .version = HY_PACKED_VERSION,
                           .seq_len = h->seq_len,
                           .vocab = h->vocab,
                           .eos = h->eos,
                           .seed = h->seed};
}

/* Texts of the head need not last until the end. */
static void
own_info(hy_packed_info *info)
{
  for (int i = 0; i < hy_packed_n_attrs; i++)
    if (hy_packed_attrs[i].is_text) {
      char **text = (char **)((char *)info + hy_packed_attrs[i].at);

      *text = hy_strdup(*text);
    }
}

static void
out_free(hy_packed_out *o)
{
  if (o->fd >= 0)
    close(o->fd);
  hy_packed_info_free(&o->info);
  free(o->path);
  free(o->tmp);
  free(o);
}

int
hy_packed_create(hy_packed_out **out, const char *path,
                 const hy_packed_head *head, const hy_comm *comm)
{
  hy_packed_out *o = hy_calloc(1, sizeof *o);
  int err = HY_OK;

  *out = NULL;
  o->path = hy_strdup(path);
  o->tmp = hy_asprintf("%s.tmp", path);
  o->comm = *comm;
  o->fd = -1;
  o->n[HY_PK_TOKENS] = head->n_tokens;
  o->n[HY_PK_DOC] = head->n_docs + 1;
  o->n[HY_PK_ROWS] = head->n_rows;
  o->n[HY_PK_WEIGHT] = head->weights ? head->n_tokens : 0;
  fill_info(&o->info, head);
  own_info(&o->info);
  if (comm->rank == 0) {
    err = hy_packed_writable(path);
    err = err ? err : check_room(o, size_guess(o));
    err = err ? err : create_file(o);
    err = err ? err : check_room(o, 0);
  }
  err = hy_agree(comm, err);
  if (!err) {
    hy_bcast(comm, o->at, sizeof o->at, 0);
    o->fd = open(o->tmp, O_WRONLY);
    if (o->fd < 0)
      err = hy_fail(HY_EFILE, "%s: cannot open: %s; every node must see it",
                    o->tmp, strerror(errno));
    err = hy_agree(comm, err);
  }
  if (!err) {
    *out = o;
    return HY_OK;
  }
  if (comm->rank == 0)
    unlink(o->tmp);
  out_free(o);
  return err;
}

/* ---- data, every rank ---- */

static int
put(hy_packed_out *o, int col, int64_t first, int64_t n, const void *data)
{
  size_t bytes = hy_packed_cols[col].size * hy_packed_cols[col].width;
  int why;

  o->sum[col] += hy_checksum(data, (size_t)n * bytes / sizeof(uint32_t),
                             (uint64_t)first * bytes / sizeof(uint32_t));
  why = hy_file_put(o->fd, data, (size_t)n * bytes,
                    o->at[col] + first * (int64_t)bytes);
  return why ? hy_file_failed(o->path, why) : HY_OK;
}

int
hy_packed_put_tokens(hy_packed_out *o, int64_t first, int64_t n,
                     const int32_t *id, const float *weight)
{
  int err = put(o, HY_PK_TOKENS, first, n, id);

  if (!err && o->n[HY_PK_WEIGHT])
    err = put(o, HY_PK_WEIGHT, first, n, weight);
  return err;
}

int
hy_packed_put_docs(hy_packed_out *o, int64_t first, int64_t n,
                   const int64_t *start)
{
  return put(o, HY_PK_DOC, first, n, start);
}

int
hy_packed_put_rows(hy_packed_out *o, int64_t first, int64_t n,
                   const int64_t (*row)[2])
{
  return put(o, HY_PK_ROWS, first, n, row);
}

/* ---- the end ---- */

/* Checksums and content hash take the place of zeros. */
static int
seal(hy_packed_out *o)
{
  hid_t access = hy_h5_access(), set;
  hid_t file = H5Fopen(o->tmp, H5F_ACC_RDWR, access);
  int bad = file < 0;
  char sum[SUM_HEX];

  H5Pclose(access);
  for (int i = 0; i < HY_PK_N && !bad; i++) {
    if (!o->n[i])
      continue;
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)o->sum[i]);
    set = H5Dopen2(file, hy_packed_cols[i].name, H5P_DEFAULT);
    bad = set < 0 || hy_h5_set_text(set, "checksum", sum);
    if (set >= 0)
      bad |= H5Dclose(set) < 0;
  }
  if (!bad)
    bad = hy_h5_set_text(file, "content_hash", o->info.hash);
  if (file >= 0)
    bad |= H5Fclose(file) < 0;
  return bad ? hy_fail(HY_EFILE, "%s: cannot be finished; check the disk",
                       o->path)
             : hy_file_commit(o->tmp, o->path);
}

int
hy_packed_close(hy_packed_out *o, int code, char hash[HY_SHA_HEX])
{
  const hy_comm *comm = &o->comm;
  int err = code;

  if (!err && fsync(o->fd))
    err = hy_file_failed(o->path, errno);
  err = hy_agree(comm, err);
  if (!err) {
    hy_sum_i64(comm, (int64_t *)o->sum, HY_PK_N); /* modulo 2^64 */
    hy_packed_content(&o->info, o->n, o->sum, o->info.hash);
    memcpy(hash, o->info.hash, HY_SHA_HEX);
    err = hy_agree(comm, comm->rank == 0 ? seal(o) : HY_OK);
  }
  if (err && comm->rank == 0)
    unlink(o->tmp);
  out_free(o);
  return err;
}

/* ---- all at once ---- */

/* Place of this rank's n in the sequence over all ranks; n becomes the sum. */
static int64_t
place(int64_t *n, const hy_comm *comm)
{
  int64_t first = 0;

  MPI_Exscan(n, &first, 1, MPI_INT64_T, MPI_SUM, comm->mpi);
  hy_sum_i64(comm, n, 1);
  return comm->rank ? first : 0; /* undefined on rank 0 */
}

static int
put_docs(hy_packed_out *o, const hy_packed_part *part, int64_t doc, int64_t at)
{
  int64_t *start = hy_malloc(((size_t)part->n_docs + 1) * sizeof *start);
  int last = o->comm.rank == o->comm.size - 1, err;

  for (int64_t i = 0; i < part->n_docs; i++) {
    start[i] = at;
    at += part->doc_len[i];
  }
  start[part->n_docs] = at;
  err = hy_packed_put_docs(o, doc, part->n_docs + last, start);
  free(start);
  return err;
}

/* The stream cut every seq_len tokens. */
static int
put_rows(hy_packed_out *o)
{
  int64_t n = o->n[HY_PK_TOKENS], seq_len = o->info.seq_len;
  int64_t n_rows = o->n[HY_PK_ROWS], (*row)[2];
  int err;

  if (o->comm.rank != 0)
    return HY_OK;
  row = hy_malloc((size_t)n_rows * sizeof *row);
  for (int64_t i = 0; i < n_rows; i++) {
    row[i][0] = i * seq_len;
    row[i][1] = n - row[i][0] < seq_len ? n - row[i][0] : seq_len;
  }
  err = hy_packed_put_rows(o, 0, n_rows, (const int64_t(*)[2])row);
  free(row);
  return err;
}

int
hy_packed_write(const char *path, const hy_packed_part *part,
                const hy_comm *comm, char hash[HY_SHA_HEX])
{
  hy_packed_head head = {.n_tokens = part->n_tokens,
                         .n_docs = part->n_docs,
                         .weights = part->weight != NULL,
                         .seq_len = part->seq_len,
                         .vocab = part->vocab,
                         .eos = -1,
                         .packing = "concatenative"};
  int64_t first = place(&head.n_tokens, comm);
  int64_t doc = place(&head.n_docs, comm);
  hy_packed_out *o;
  int err;

  head.n_rows = (head.n_tokens + part->seq_len - 1) / part->seq_len;
  err = hy_packed_create(&o, path, &head, comm);
  if (err)
    return err;
  err =
      hy_packed_put_tokens(o, first, part->n_tokens, part->token, part->weight);
  err = err ? err : put_docs(o, part, doc, first);
  err = err ? err : put_rows(o);
  return hy_packed_close(o, err, hash);
}
