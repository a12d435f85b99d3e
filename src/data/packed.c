/* packed.c: reading a packed file: rank 0 asks HDF5 where the datasets lie,
 * every rank maps them. */
#include "data/packed_impl.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Mapped values need not be aligned: HDF5 places small datasets freely. */
static int64_t
get_i64(const hy_packed *p, int col, int64_t i)
{
  int64_t v;

  memcpy(&v, p->map + p->at[col] + i * (int64_t)sizeof v, sizeof v);
  return v;
}

static const char *
token_at(const hy_packed *p, int64_t i)
{
  return p->map + p->at[HY_PK_TOKENS] + i * (int64_t)sizeof(int32_t);
}

/* ---- what HDF5 says, rank 0 ---- */

/* A text attribute, NULL: none; the caller frees it. */
static char *
get_text(hid_t file, const char *name)
{
  hy_buf b = {0};

  hy_buf_add(&b, "", 0);
  if (!hy_h5_get_text(file, name, &b))
    return b.data;
  free(b.data);
  return NULL;
}

static int
read_attrs(hy_packed *p, hid_t file)
{
  p->info.format = get_text(file, "format");
  if (!p->info.format || strcmp(p->info.format, HY_PACKED_FORMAT))
    return hy_fail(HY_EFILE,
                   "%s: is no packed token file; make one with the "
                   "job prepare",
                   p->path);
  for (int i = 1; i < hy_packed_n_attrs; i++) {
    const hy_packed_attr *a = &hy_packed_attrs[i];
    char *field = (char *)&p->info + a->at;
    int bad;

    if (a->is_text)
      bad = !(*(char **)field = get_text(file, a->name));
    else
      bad = hy_h5_get_i64(file, a->name, (int64_t *)field);
    if (bad)
      return hy_fail(HY_EDATA,
                     "%s: attribute %s is missing or broken; prepare "
                     "the file again",
                     p->path, a->name);
    if (!strcmp(a->name, "version") && p->info.version != HY_PACKED_VERSION)
      return hy_fail(HY_EFILE,
                     "%s: has format version %lld, this hymn reads %d; prepare "
                     "the file again",
                     p->path, (long long)p->info.version, HY_PACKED_VERSION);
  }
  return HY_OK;
}

/* What is wrong with a dataset, NULL if nothing; sets place and size. */
static const char *
read_set(hy_packed *p, hid_t file, int col)
{
  const hy_packed_col *c = &hy_packed_cols[col];
  hid_t set = H5Dopen2(file, c->name, H5P_DEFAULT);
  hid_t type, space, plist;
  hsize_t dim[2] = {0, 1};
  const char *bad = NULL;
  haddr_t at;

  if (set < 0)
    return "cannot be opened";
  type = H5Dget_type(set);
  space = H5Dget_space(set);
  plist = H5Dget_create_plist(set);
  at = H5Dget_offset(set);
  if (H5Tequal(type, hy_packed_type(col)) <= 0)
    bad = "has the wrong type";
  else if (H5Sget_simple_extent_ndims(space) != (c->width > 1 ? 2 : 1) ||
           H5Sget_simple_extent_dims(space, dim, NULL) < 0 ||
           dim[1] != c->width)
    bad = "has the wrong shape";
  else if (H5Pget_layout(plist) != H5D_CONTIGUOUS || dim[0] == 0 ||
           at == HADDR_UNDEF)
    bad = dim[0] ? "is not contiguous" : "is empty";
  p->at[col] = (int64_t)at;
  p->n[col] = (int64_t)dim[0];
  H5Pclose(plist);
  H5Sclose(space);
  H5Tclose(type);
  H5Dclose(set);
  return bad;
}

static int
read_sets(hy_packed *p, hid_t file)
{
  for (int i = 0; i < HY_PK_N; i++) {
    const char *name = hy_packed_cols[i].name, *bad = "is missing";

    p->at[i] = -1;
    if (H5Lexists(file, name, H5P_DEFAULT) > 0)
      bad = read_set(p, file, i);
    else if (hy_packed_cols[i].optional)
      bad = NULL;
    if (bad)
      return hy_fail(HY_EDATA, "%s: dataset /%s %s; prepare the file again",
                     p->path, name, bad);
  }
  if (p->n[HY_PK_WEIGHT] && p->n[HY_PK_WEIGHT] != p->n[HY_PK_TOKENS])
    return hy_fail(HY_EDATA,
                   "%s: dataset /weight has %lld values for %lld tokens; "
                   "prepare the file again",
                   p->path, (long long)p->n[HY_PK_WEIGHT],
                   (long long)p->n[HY_PK_TOKENS]);
  if (p->info.seq_len < 1 || p->info.seq_len > INT32_MAX || p->info.vocab < 1)
    return hy_fail(HY_EDATA,
                   "%s: attribute seq_len %lld or vocab %lld is out of range; "
                   "prepare the file again",
                   p->path, (long long)p->info.seq_len,
                   (long long)p->info.vocab);
  return HY_OK;
}

static int
read_head(hy_packed *p)
{
  hid_t access, file;
  int fd = open(p->path, O_RDONLY), err;

  if (fd < 0)
    return hy_fail(HY_EFILE,
                   "%s: cannot read: %s; give a packed file made by "
                   "the job prepare",
                   p->path, strerror(errno));
  close(fd);
  hy_h5_quiet();
  if (H5Fis_hdf5(p->path) <= 0)
    return hy_fail(HY_EFILE,
                   "%s: is no packed token file (not HDF5); make one "
                   "with the job prepare",
                   p->path);
  access = hy_h5_access();
  file = H5Fopen(p->path, H5F_ACC_RDONLY, access);
  H5Pclose(access);
  if (file < 0)
    return hy_fail(HY_EFILE,
                   "%s: is truncated or damaged; prepare the file "
                   "again",
                   p->path);
  err = read_attrs(p, file);
  if (!err)
    err = read_sets(p, file);
  H5Fclose(file);
  return err;
}

/* ---- every rank ---- */

static void
share_head(hy_packed *p, const hy_comm *comm)
{
  for (int i = 0; i < hy_packed_n_attrs; i++) {
    const hy_packed_attr *a = &hy_packed_attrs[i];
    char *field = (char *)&p->info + a->at;
    char **text = (char **)field;
    int64_t n = 0;

    if (!a->is_text) {
      hy_bcast(comm, field, sizeof(int64_t), 0);
      continue;
    }
    if (comm->rank == 0)
      n = (int64_t)strlen(*text);
    hy_bcast(comm, &n, sizeof n, 0);
    if (comm->rank != 0)
      *text = hy_calloc((size_t)n + 1, 1);
    hy_bcast(comm, *text, (size_t)n, 0);
  }
  hy_bcast(comm, p->at, sizeof p->at, 0);
  hy_bcast(comm, p->n, sizeof p->n, 0);
}

static int
map_file(hy_packed *p)
{
  int fd = open(p->path, O_RDONLY);
  struct stat st;
  void *map;

  if (fd < 0 || fstat(fd, &st) < 0) {
    if (fd >= 0)
      close(fd);
    return hy_fail(HY_EFILE,
                   "%s: cannot read: %s; every node must see the "
                   "file",
                   p->path, strerror(errno));
  }
  for (int i = 0; i < HY_PK_N; i++) {
    const hy_packed_col *c = &hy_packed_cols[i];

    if (p->at[i] >= 0 && p->at[i] + p->n[i] * (int64_t)(c->size * c->width) >
                             (int64_t)st.st_size) {
      close(fd);
      return hy_fail(HY_EFILE,
                     "%s: is truncated inside /%s; prepare the file "
                     "again",
                     p->path, c->name);
    }
  }
  map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (map == MAP_FAILED)
    return hy_fail(HY_ERES,
                   "%s: cannot map %lld bytes: %s; raise the limit of "
                   "address space",
                   p->path, (long long)st.st_size, strerror(errno));
  p->map = map;
  p->map_bytes = (size_t)st.st_size;
  return HY_OK;
}

static int
lie(const hy_packed *p, const char *set, int64_t i, const char *what)
{
  return hy_fail(HY_EDATA,
                 "%s: dataset /%s, number %lld: %s; prepare the file "
                 "again",
                 p->path, set, (long long)i, what);
}

/* This rank's share of the index. */
static int
check_index(const hy_packed *p, const hy_comm *comm)
{
  int64_t n_docs = p->n[HY_PK_DOC] - 1, n_rows = p->n[HY_PK_ROWS];
  int64_t n_tokens = p->n[HY_PK_TOKENS], r = comm->rank, size = comm->size;

  if (n_docs < 1 || get_i64(p, HY_PK_DOC, 0) != 0)
    return lie(p, "doc_start", 0, "the first document does not begin at 0");
  if (get_i64(p, HY_PK_DOC, n_docs) != n_tokens)
    return lie(p, "doc_start", n_docs, "is not the number of tokens");
  for (int64_t i = n_docs * r / size; i < n_docs * (r + 1) / size; i++)
    if (get_i64(p, HY_PK_DOC, i + 1) <= get_i64(p, HY_PK_DOC, i))
      return lie(p, "doc_start", i + 1, "is not larger than the one before");
  for (int64_t i = n_rows * r / size; i < n_rows * (r + 1) / size; i++) {
    int64_t first = get_i64(p, HY_PK_ROWS, 2 * i);
    int64_t n = get_i64(p, HY_PK_ROWS, 2 * i + 1);

    if (n < 1 || n > p->info.seq_len)
      return lie(p, "rows", i, "the length is not in 1..seq_len");
    if (first < 0 || first > n_tokens - n)
      return lie(p, "rows", i, "lies outside the tokens");
  }
  return HY_OK;
}

/* One rank alone needs no MPI: --inspect runs before it starts. */
static int
agree(const hy_comm *comm, int err)
{
  return comm->size > 1 ? hy_agree(comm, err) : err;
}

int
hy_packed_open(hy_packed **out, const char *path, const hy_comm *comm)
{
  hy_packed *p = hy_calloc(1, sizeof *p);
  int err = HY_OK;

  p->path = hy_strdup(path);
  if (comm->rank == 0)
    err = read_head(p);
  err = agree(comm, err);
  if (!err) {
    share_head(p, comm);
    err = agree(comm, map_file(p));
  }
  if (!err)
    err = agree(comm, check_index(p, comm));
  if (err) {
    hy_packed_free(p);
    p = NULL;
  }
  *out = p;
  return err;
}

void
hy_packed_free(hy_packed *p)
{
  if (!p)
    return;
  if (p->map)
    munmap((void *)p->map, p->map_bytes);
  hy_packed_info_free(&p->info);
  free(p->path);
  free(p);
}

int64_t
hy_packed_n_rows(const hy_packed *p)
{
  return p->n[HY_PK_ROWS];
}

int64_t
hy_packed_n_tokens(const hy_packed *p)
{
  return p->n[HY_PK_TOKENS];
}

int64_t
hy_packed_n_docs(const hy_packed *p)
{
  return p->n[HY_PK_DOC] - 1;
}

int64_t
hy_packed_seq_len(const hy_packed *p)
{
  return p->info.seq_len;
}

int64_t
hy_packed_vocab(const hy_packed *p)
{
  return p->info.vocab;
}

int32_t
hy_packed_eos(const hy_packed *p)
{
  return (int32_t)p->info.eos;
}

const char *
hy_packed_path(const hy_packed *p)
{
  return p->path;
}

const char *
hy_packed_hash(const hy_packed *p)
{
  return p->info.hash;
}

const char *
hy_packed_tok_hash(const hy_packed *p)
{
  return p->info.tokenizer;
}

const char *
hy_packed_lineage(const hy_packed *p)
{
  return p->info.lineage;
}

void
hy_packed_tokens(const hy_packed *p, int64_t first, int64_t n, int32_t *out)
{
  memcpy(out, token_at(p, first), (size_t)n * sizeof *out);
}

int64_t
hy_packed_doc_start(const hy_packed *p, int64_t d)
{
  return get_i64(p, HY_PK_DOC, d);
}

/* ---- one row ---- */

int64_t
hy_packed_row_at(const hy_packed *p, int64_t row, int64_t *n)
{
  *n = get_i64(p, HY_PK_ROWS, 2 * row + 1);
  return get_i64(p, HY_PK_ROWS, 2 * row);
}

int64_t
hy_packed_doc_of(const hy_packed *p, int64_t i)
{
  int64_t lo = 0, hi = hy_packed_n_docs(p);

  while (hi - lo > 1) {
    int64_t mid = lo + (hi - lo) / 2;

    if (get_i64(p, HY_PK_DOC, mid) <= i)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

static float
weight_at(const hy_packed *p, int64_t i)
{
  float w = 1.0f;

  if (p->at[HY_PK_WEIGHT] >= 0)
    memcpy(&w, p->map + p->at[HY_PK_WEIGHT] + i * (int64_t)sizeof w, sizeof w);
  return w;
}

void
hy_packed_weights(const hy_packed *p, int64_t first, int64_t n, float *out)
{
  for (int64_t i = 0; i < n; i++)
    out[i] = weight_at(p, first + i);
}

static int
check_row(const hy_packed *p, int64_t row, const hy_row *out)
{
  int64_t bad_token = -1, bad_weight = -1;

  for (int64_t t = 0; t < out->n_real; t++) {
    if (out->token[t] < 0 || out->token[t] >= p->info.vocab ||
        out->target[t] < 0 || out->target[t] >= p->info.vocab)
      bad_token = t;
    if (!(out->weight[t] >= 0 && out->weight[t] <= HY_PACKED_WEIGHT_MAX))
      bad_weight = t;
  }
  if (bad_token >= 0)
    return hy_fail(HY_EDATA,
                   "%s: dataset /tokens, row %lld, token %lld or the next is "
                   "not below the vocabulary of %lld; prepare the file again",
                   p->path, (long long)row, (long long)bad_token,
                   (long long)p->info.vocab);
  if (bad_weight >= 0)
    return hy_fail(HY_EDATA,
                   "%s: dataset /weight, row %lld, token %lld: the weight is "
                   "not in 0..%g; prepare the file again",
                   p->path, (long long)row, (long long)bad_weight,
                   (double)HY_PACKED_WEIGHT_MAX);
  return HY_OK;
}

int
hy_packed_row(const hy_packed *p, int64_t row, hy_row *out)
{
  int64_t n, first = hy_packed_row_at(p, row, &n);
  int64_t doc = hy_packed_doc_of(p, first), start = 0;
  int64_t end = get_i64(p, HY_PK_DOC, doc + 1); /* of the document */

  out->n_real = n;
  out->n_docs = 1;
  hy_packed_tokens(p, first, n, out->token);
  for (int64_t t = 0; t < n; t++) {
    if (first + t == end) {
      end = get_i64(p, HY_PK_DOC, ++doc + 1);
      start = t;
      out->n_docs++;
    }
    out->target[t] = 0;
    out->weight[t] = 0;
    if (first + t + 1 < end) {
      memcpy(&out->target[t], token_at(p, first + t + 1), sizeof(int32_t));
      out->weight[t] = weight_at(p, first + t + 1);
    }
    out->seq_start[t] = (int32_t)start;
    out->pad[t] = 0;
  }
  for (int64_t t = n; t < p->info.seq_len; t++) {
    out->token[t] = out->target[t] = 0;
    out->weight[t] = 0;
    out->seq_start[t] = (int32_t)t;
    out->pad[t] = 1;
  }
  return check_row(p, row, out);
}
