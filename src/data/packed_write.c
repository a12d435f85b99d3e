/* packed_write.c: all ranks write one packed file. */
#include "base/err.h"
#include "base/file.h"
#include "data/packed_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CALL_BYTES ((int64_t)512 << 20) /* of one H5Dwrite on one rank */

/* One dataset as this rank sees it. */
typedef struct {
  const void *data;
  int64_t first, n, total; /* in rows of the dataset */
  uint64_t sum;
} slab;

static int
write_failed(const char *path, const char *what)
{
  return hy_fail(HY_EFILE, "%s: cannot write %s; check the disk and its space",
                 path, what);
}

static int
write_attr(hid_t id, const char *name, const char *text, int64_t number)
{
  hid_t space = H5Screate(H5S_SCALAR), attr;
  hid_t type = H5Tcopy(text ? H5T_C_S1 : H5T_STD_I64LE);
  int bad;

  if (text) {
    H5Tset_size(type, strlen(text) + 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
  }
  attr = H5Acreate2(id, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
  bad = attr < 0 ||
        H5Awrite(attr, text ? type : H5T_NATIVE_INT64,
                 text ? (const void *)text : (const void *)&number) < 0;
  if (attr >= 0)
    H5Aclose(attr);
  H5Tclose(type);
  H5Sclose(space);
  return bad;
}

/* Collective: every rank makes the same number of calls, those with nothing
 * left select nothing. */
static int
write_rounds(hid_t set, int col, const slab *s, const hy_comm *comm)
{
  const hy_packed_col *c = &hy_packed_cols[col];
  int64_t row_bytes = (int64_t)(c->size * c->width);
  int64_t step = CALL_BYTES / row_bytes, most = hy_max_i64(comm, s->n);
  hid_t xfer = H5Pcreate(H5P_DATASET_XFER), file = H5Dget_space(set);
  int bad = 0, rank = c->width > 1 ? 2 : 1;

  H5Pset_dxpl_mpio(xfer, H5FD_MPIO_COLLECTIVE);
  for (int64_t at = 0; at < most; at += step) {
    int64_t n = s->n - at < step ? s->n - at : step;
    hsize_t start[2] = {(hsize_t)(s->first + at), 0};
    hsize_t count[2] = {(hsize_t)(n > 0 ? n : 1), c->width};
    hid_t mem = H5Screate_simple(rank, count, NULL);
    const char *data = s->data;

    H5Sselect_hyperslab(file, H5S_SELECT_SET, n > 0 ? start : (hsize_t[2]){0},
                        NULL, count, NULL);
    if (n <= 0) {
      H5Sselect_none(file);
      H5Sselect_none(mem);
    }
    bad |= H5Dwrite(set, hy_packed_type(col), mem, file, xfer,
                    n > 0 ? data + at * row_bytes : (const void *)"") < 0;
    H5Sclose(mem);
  }
  H5Sclose(file);
  H5Pclose(xfer);
  return bad;
}

static int
write_set(hid_t file, int col, const slab *s, const hy_comm *comm)
{
  const hy_packed_col *c = &hy_packed_cols[col];
  hsize_t dim[2] = {(hsize_t)s->total, c->width};
  hid_t space = H5Screate_simple(c->width > 1 ? 2 : 1, dim, NULL), set;
  hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
  char sum[17];
  int bad;

  H5Pset_obj_track_times(plist, 0);
  H5Pset_fill_time(plist, H5D_FILL_TIME_NEVER);
  H5Pset_alloc_time(plist, H5D_ALLOC_TIME_EARLY);
  set = H5Dcreate2(file, c->name, hy_packed_type(col), space, H5P_DEFAULT,
                   plist, H5P_DEFAULT);
  bad = set < 0;
  if (!bad) {
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)s->sum);
    bad = write_attr(set, "checksum", sum, 0);
    bad |= write_rounds(set, col, s, comm);
    bad |= H5Dclose(set) < 0;
  }
  H5Pclose(plist);
  H5Sclose(space);
  return bad;
}

static hid_t
create_file(const char *tmp, const hy_comm *comm)
{
  hid_t fapl = H5Pcreate(H5P_FILE_ACCESS), fcpl = H5Pcreate(H5P_FILE_CREATE);
  hid_t file;

  H5Eset_auto2(H5E_DEFAULT, NULL, NULL); /* one line of hymn's says enough */
  H5Pset_fapl_mpio(fapl, comm->mpi, MPI_INFO_NULL);
  H5Pset_all_coll_metadata_ops(fapl, 1);
  H5Pset_coll_metadata_write(fapl, 1);
  H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_LATEST);
  H5Pset_alignment(fapl, 1 << 12, HY_ALIGN);
  H5Pset_obj_track_times(fcpl, 0);
  file = H5Fcreate(tmp, H5F_ACC_TRUNC, fcpl, fapl);
  H5Pclose(fcpl);
  H5Pclose(fapl);
  return file;
}

static int
write_file(const char *path, const char *tmp, const hy_packed_info *info,
           const slab s[HY_PK_N], const hy_comm *comm)
{
  hid_t file = create_file(tmp, comm);
  int err = HY_OK, bad = 0;

  if (file < 0)
    err = hy_fail(HY_EFILE,
                  "%s: cannot create this file; give a folder that "
                  "can be written",
                  tmp);
  err = hy_agree(comm, err);
  if (err)
    return err;
  for (int i = 0; i < hy_packed_n_attrs; i++) {
    const hy_packed_attr *a = &hy_packed_attrs[i];
    const char *field = (const char *)info + a->at;

    bad |= write_attr(file, a->name, a->is_text ? *(char *const *)field : NULL,
                      a->is_text ? 0 : *(const int64_t *)field);
  }
  if (bad)
    err = write_failed(path, "the attributes");
  for (int i = 0; i < HY_PK_N; i++)
    if (s[i].total > 0 && write_set(file, i, &s[i], comm) && !err)
      err = write_failed(path, hy_packed_cols[i].name);
  if (H5Fclose(file) < 0 && !err)
    err = write_failed(path, "the end of the file");
  return hy_agree(comm, err);
}

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

/* A full disk in the middle of a collective write ends badly: look before. */
static int
check_space(const char *path, const slab s[HY_PK_N])
{
  char *dir = hy_path_dir(path);
  double need = 1 << 16, has;
  struct statvfs fs;
  int err = HY_OK;

  for (int i = 0; i < HY_PK_N; i++)
    need += (double)s[i].total *
            (double)(hy_packed_cols[i].size * hy_packed_cols[i].width);
  if (statvfs(dir, &fs) == 0) {
    has = (double)fs.f_bavail * (double)fs.f_frsize;
    if (has < need)
      err = hy_fail(HY_ERES,
                    "%s: needs %.1f MiB, the disk has %.1f; free some space",
                    path, need / (1 << 20), has / (1 << 20));
  }
  free(dir);
  return err;
}

/* Place of this rank's n in the sequence over all ranks. */
static void
place(slab *s, int64_t n, const hy_comm *comm)
{
  s->n = s->total = n;
  s->first = 0;
  MPI_Exscan(&n, &s->first, 1, MPI_INT64_T, MPI_SUM, comm->mpi);
  if (comm->rank == 0)
    s->first = 0; /* undefined after MPI_Exscan */
  hy_sum_i64(comm, &s->total, 1);
}

static void
sum_all(slab s[HY_PK_N], const hy_comm *comm)
{
  for (int i = 0; i < HY_PK_N; i++) {
    uint64_t words = hy_packed_cols[i].size * hy_packed_cols[i].width / 4;

    s[i].sum = s[i].n ? hy_checksum(s[i].data, (size_t)s[i].n * words,
                                    (uint64_t)s[i].first * words)
                      : 0;
    hy_sum_i64(comm, (int64_t *)&s[i].sum, 1); /* modulo 2^64 */
  }
}

/* Borders of documents: each rank those of its own, the last rank the end. */
static int64_t *
doc_slab(slab *s, const hy_packed_part *part, const slab *tokens,
         const hy_comm *comm)
{
  int64_t *start = hy_malloc(((size_t)part->n_docs + 1) * sizeof *start);
  int64_t at = tokens->first;

  for (int64_t i = 0; i < part->n_docs; i++) {
    start[i] = at;
    at += part->doc_len[i];
  }
  start[part->n_docs] = at;
  place(s, part->n_docs + (comm->rank == comm->size - 1), comm);
  s->data = start;
  return start;
}

/* Rows of the caller, or the stream cut every seq_len tokens, an equal share
 * of the rows for each rank. */
static int64_t (*row_slab(slab *s, const hy_packed_part *part,
                          const slab *tokens, const hy_comm *comm))[2]
{
  int64_t n_rows = (tokens->total + part->seq_len - 1) / part->seq_len;
  int64_t from = n_rows * comm->rank / comm->size;
  int64_t to = n_rows * (comm->rank + 1) / comm->size;
  int64_t(*row)[2];

  if (part->row) {
    place(s, part->n_rows, comm);
    s->data = part->row;
    return NULL;
  }
  row = hy_malloc((size_t)(to - from + 1) * sizeof *row);
  for (int64_t i = from; i < to; i++) {
    int64_t left = tokens->total - i * part->seq_len;

    row[i - from][0] = i * part->seq_len;
    row[i - from][1] = left < part->seq_len ? left : part->seq_len;
  }
  place(s, to - from, comm);
  s->data = row;
  return row;
}

int
hy_packed_write(const char *path, const hy_packed_part *part,
                const hy_comm *comm, char hash[HY_SHA_HEX])
{
  slab s[HY_PK_N] = {{0}};
  char *tmp = hy_asprintf("%s.tmp", path);
  int64_t *start, (*row)[2], n[HY_PK_N];
  uint64_t sum[HY_PK_N];
  hy_packed_info info = {(char *)HY_PACKED_FORMAT,
                         (char *)(part->row ? "rows" : "concatenative"),
                         (char *)part->tok_hash,
                         (char *)part->sources,
                         (char *)part->dropped,
                         hash,
                         HY_PACKED_VERSION,
                         part->seq_len,
                         part->vocab,
                         part->eos,
                         part->seed};
  int err = HY_OK;

  s[HY_PK_TOKENS].data = part->token;
  place(&s[HY_PK_TOKENS], part->n_tokens, comm);
  start = doc_slab(&s[HY_PK_DOC], part, &s[HY_PK_TOKENS], comm);
  row = row_slab(&s[HY_PK_ROWS], part, &s[HY_PK_TOKENS], comm);
  s[HY_PK_WEIGHT].data = part->weight;
  place(&s[HY_PK_WEIGHT], part->weight ? part->n_tokens : 0, comm);
  sum_all(s, comm);
  for (int i = 0; i < HY_PK_N; i++) {
    n[i] = s[i].total;
    sum[i] = s[i].sum;
  }
  hy_packed_content(&info, n, sum, hash);
  if (comm->rank == 0)
    err = hy_packed_writable(path);
  if (comm->rank == 0 && !err)
    err = check_space(path, s);
  err = hy_agree(comm, err);
  if (!err) {
    err = write_file(path, tmp, &info, s, comm);
    if (comm->rank == 0 && !err)
      err = hy_file_commit(tmp, path);
    else if (comm->rank == 0)
      unlink(tmp);
    err = hy_agree(comm, err);
  }
  free(start);
  free(row);
  free(tmp);
  return err;
}
