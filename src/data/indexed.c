/* indexed.c: reading indexed data: both files are mapped, and all of the index
 * is checked before anything of it is used. */
#include "data/indexed_impl.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const hy_indexed_kind hy_indexed_kinds[HY_IDX_N_TYPES] = {
    {"", 0, 0},
    {"uint8", 1, HY_IDX_UINT},
    {"int8", 1, HY_IDX_INT},
    {"int16", 2, HY_IDX_INT},
    {"int32", 4, HY_IDX_INT},
    {"int64", 8, HY_IDX_INT},
    {"float64", 8, HY_IDX_REAL},
    {"float32", 4, HY_IDX_REAL},
    {"uint16", 2, HY_IDX_UINT},
};

typedef struct {
  char *path;
  const char *map; /* NULL: an empty file */
  size_t bytes;
} mapped;

enum { STEP = 1 << 20 }; /* entries, words read before their pages go */

/* Bytes from .. to-1 were read once and need not stay in memory. */
static void
let_go(const mapped *m, size_t from, size_t to)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);

  from = from / page * page;
  if (to > from)
    madvise((char *)(uintptr_t)m->map + from, to - from, MADV_DONTNEED);
}

struct hy_indexed {
  mapped idx, bin;
  int type;
  int64_t n_seq, n_docs, n_tokens;
};

/* ---- names ---- */

/* The path is that of one of the two files. */
static int
names_file(const char *path)
{
  return strlen(path) > 4 &&
         (hy_path_ends(path, ".idx") || hy_path_ends(path, ".bin"));
}

char *
hy_indexed_name(const char *path)
{
  return hy_strndup(path, strlen(path) - (names_file(path) ? 4 : 0));
}

int
hy_indexed_is(const char *path)
{
  char *idx;
  int yes;

  if (names_file(path))
    return 1;
  idx = hy_asprintf("%s.idx", path);
  yes = hy_path_exists(idx);
  free(idx);
  return yes;
}

/* ---- entries; their places need not be aligned ---- */

static int64_t
get_i64(const hy_indexed *x, size_t at, int64_t i)
{
  int64_t v;

  memcpy(&v, x->idx.map + at + (size_t)i * sizeof v, sizeof v);
  return v;
}

static int64_t
offset_of(const hy_indexed *x, int64_t i)
{
  return get_i64(x, HY_IDX_HEAD + (size_t)x->n_seq * 4, i);
}

int64_t
hy_indexed_len(const hy_indexed *x, int64_t i)
{
  int32_t v;

  memcpy(&v, x->idx.map + HY_IDX_HEAD + (size_t)i * sizeof v, sizeof v);
  return v;
}

int64_t
hy_indexed_doc(const hy_indexed *x, int64_t d)
{
  return get_i64(x, HY_IDX_HEAD + (size_t)x->n_seq * 12, d);
}

int64_t
hy_indexed_start(const hy_indexed *x, int64_t i)
{
  return i == x->n_seq ? x->n_tokens
                       : offset_of(x, i) / hy_indexed_kinds[x->type].size;
}

int64_t
hy_indexed_n_seq(const hy_indexed *x)
{
  return x->n_seq;
}

int64_t
hy_indexed_n_docs(const hy_indexed *x)
{
  return x->n_docs;
}

int64_t
hy_indexed_n_tokens(const hy_indexed *x)
{
  return x->n_tokens;
}

int
hy_indexed_type(const hy_indexed *x)
{
  return x->type;
}

const char *
hy_indexed_type_name(const hy_indexed *x)
{
  return hy_indexed_kinds[x->type].name;
}

/* ---- opening ---- */

static int
map_file(mapped *m)
{
  int fd = open(m->path, O_RDONLY), why = 0;
  struct stat st;
  void *map;

  if (fd < 0 || fstat(fd, &st) < 0)
    why = errno;
  else if (!S_ISREG(st.st_mode))
    why = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
  if (!why && st.st_size > 0) {
    m->bytes = (size_t)st.st_size;
    map = mmap(NULL, m->bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
      why = errno;
    else
      m->map = map;
  }
  if (fd >= 0)
    close(fd);
  if (why == ENOMEM)
    return hy_fail(HY_ERES,
                   "%s: cannot map %zu bytes: %s; raise the limit of address "
                   "space",
                   m->path, m->bytes, strerror(why));
  if (why)
    return hy_fail(HY_EFILE,
                   "%s: cannot read: %s; indexed data are two files, NAME.idx "
                   "and NAME.bin",
                   m->path, strerror(why));
  return HY_OK;
}

static int
truncated(const mapped *m, const char *what)
{
  return hy_fail(HY_EFILE, "%s: is truncated (%zu bytes): %s; copy it again",
                 m->path, m->bytes, what);
}

/* Numbers of the head, against the size of the file. */
static int
check_head(hy_indexed *x)
{
  const mapped *m = &x->idx;
  size_t rest = m->bytes - HY_IDX_HEAD, need;
  uint64_t version, n_seq, n_borders;

  if (m->bytes < 9 || memcmp(m->map, HY_IDX_MAGIC, 9))
    return hy_fail(HY_EFILE,
                   "%s: is no index of indexed data (wrong magic); give the "
                   "NAME of a pair NAME.idx, NAME.bin",
                   m->path);
  if (m->bytes < HY_IDX_HEAD)
    return truncated(m, "it ends inside its head");
  memcpy(&version, m->map + HY_IDX_AT_VERSION, 8);
  memcpy(&n_seq, m->map + HY_IDX_AT_N_SEQ, 8);
  memcpy(&n_borders, m->map + HY_IDX_AT_N_BORDERS, 8);
  x->type = (unsigned char)m->map[HY_IDX_AT_TYPE];
  if (version != HY_IDX_VERSION)
    return hy_fail(HY_EFILE,
                   "%s: has version %llu, hymn reads %d; write the data again "
                   "with a tool that makes this version",
                   m->path, (unsigned long long)version, HY_IDX_VERSION);
  if (x->type < 1 || x->type >= HY_IDX_N_TYPES)
    return hy_fail(HY_EDATA,
                   "%s: has ids of type %d, hymn reads types 1 to 8; write the "
                   "data again",
                   m->path, x->type);
  if (n_seq > rest / 12 || n_borders > (rest - (size_t)n_seq * 12) / 8)
    return truncated(m, "its head promises more");
  need = (size_t)n_seq * 12 + (size_t)n_borders * 8;
  if (n_borders < 1)
    return hy_fail(HY_EDATA,
                   "%s: has no borders of documents, not even the first; write "
                   "the data again",
                   m->path);
  if (n_seq && rest == need + n_seq)
    return hy_fail(HY_EDATA,
                   "%s: has modes of sequences (multimodal data), which hymn "
                   "does not read; give data of text",
                   m->path);
  if (rest != need)
    return hy_fail(HY_EDATA,
                   "%s: has %zu bytes more than its head says; write the data "
                   "again",
                   m->path, rest - need);
  x->n_seq = (int64_t)n_seq;
  x->n_docs = (int64_t)n_borders - 1;
  return HY_OK;
}

static int
lie(const hy_indexed *x, const char *what, int64_t i, const char *why)
{
  return hy_fail(HY_EDATA, "%s: %s %lld %s; write the data again", x->idx.path,
                 what, (long long)i, why);
}

/* Lengths and offsets of sequences first .. end-1. */
static void
let_go_entries(const hy_indexed *x, int64_t first, int64_t end)
{
  size_t offsets = HY_IDX_HEAD + (size_t)x->n_seq * 4;

  let_go(&x->idx, HY_IDX_HEAD + (size_t)first * 4,
         HY_IDX_HEAD + (size_t)end * 4);
  let_go(&x->idx, offsets + (size_t)first * 8, offsets + (size_t)end * 8);
}

static int
check_sequences(hy_indexed *x)
{
  int64_t size = hy_indexed_kinds[x->type].size, at = 0;
  int64_t bytes = (int64_t)x->bin.bytes;

  for (int64_t i = 0; i < x->n_seq; i++) {
    int64_t n = hy_indexed_len(x, i);

    if (n < 0)
      return lie(x, "sequence", i, "has a negative length");
    if (offset_of(x, i) != at)
      return lie(x, "sequence", i, "does not begin where the one before ends");
    if (n * size > bytes - at)
      return truncated(&x->bin, "its index promises more");
    at += n * size;
    if (i % STEP == STEP - 1 || i + 1 == x->n_seq)
      let_go_entries(x, i / STEP * STEP, i + 1);
  }
  if (at != bytes)
    return hy_fail(HY_EDATA,
                   "%s: has %lld bytes more than its index says; the two files "
                   "do not belong together",
                   x->bin.path, (long long)(bytes - at));
  x->n_tokens = at / size;
  return HY_OK;
}

static int
check_borders(const hy_indexed *x)
{
  if (hy_indexed_doc(x, 0) != 0)
    return lie(x, "border", 0, "of documents is not 0");
  for (int64_t d = 0; d < x->n_docs; d++)
    if (hy_indexed_doc(x, d + 1) < hy_indexed_doc(x, d))
      return lie(x, "border", d + 1, "is less than the one before");
  if (hy_indexed_doc(x, x->n_docs) != x->n_seq)
    return lie(x, "border", x->n_docs, "is not the number of sequences");
  return HY_OK;
}

int
hy_indexed_open(hy_indexed **out, const char *path)
{
  hy_indexed *x = hy_calloc(1, sizeof *x);
  char *name = hy_indexed_name(path);
  int err;

  *out = NULL;
  x->idx.path = hy_asprintf("%s.idx", name);
  x->bin.path = hy_asprintf("%s.bin", name);
  free(name);
  err = map_file(&x->idx);
  if (!err)
    err = check_head(x);
  if (!err)
    err = map_file(&x->bin);
  if (!err)
    err = check_sequences(x);
  if (!err)
    err = check_borders(x);
  if (err)
    hy_indexed_free(x);
  else
    *out = x;
  return err;
}

static void
unmap(mapped *m)
{
  if (m->map)
    munmap((void *)m->map, m->bytes);
  free(m->path);
}

void
hy_indexed_free(hy_indexed *x)
{
  if (!x)
    return;
  unmap(&x->idx);
  unmap(&x->bin);
  free(x);
}

/* ---- ids ---- */

/* The sequence that holds token i. */
static int64_t
seq_of(const hy_indexed *x, int64_t i)
{
  int64_t lo = 0, hi = x->n_seq;

  while (hi - lo > 1) {
    int64_t mid = lo + (hi - lo) / 2;

    if (hy_indexed_start(x, mid) <= i)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

/* Each type is a loop of its own: most data are uint16 or int32. \return the
 * first that is no id, n: none */
#define COPY(T, good)                                                          \
  for (; i < n; i++) {                                                         \
    T v;                                                                       \
                                                                               \
    memcpy(&v, from + (size_t)i * sizeof v, sizeof v);                         \
    if (!(good))                                                               \
      break;                                                                   \
    out[i] = (int32_t)v;                                                       \
  }                                                                            \
  return i

#define IS_REAL_ID (v >= 0 && v < 2147483648.0 && v == (double)(int32_t)v)

static int64_t
copy_ids(int type, const char *from, int64_t n, int32_t *out)
{
  int64_t i = 0;

  switch (type) {
  case 1:
    COPY(uint8_t, 1);
  case 2:
    COPY(int8_t, v >= 0);
  case 3:
    COPY(int16_t, v >= 0);
  case 4:
    COPY(int32_t, v >= 0);
  case 5:
    COPY(int64_t, v >= 0 && v <= INT32_MAX);
  case 6:
    COPY(double, IS_REAL_ID);
  case 7:
    COPY(float, IS_REAL_ID);
  default:
    COPY(uint16_t, 1);
  }
}

int
hy_indexed_ids(const hy_indexed *x, int64_t first, int64_t n, int32_t *out)
{
  const char *from =
      x->bin.map + first * (int64_t)hy_indexed_kinds[x->type].size;
  int64_t good = n > 0 ? copy_ids(x->type, from, n, out) : n, seq;

  if (good == n)
    return HY_OK;
  seq = seq_of(x, first + good);
  return hy_fail(HY_EDATA,
                 "%s: sequence %lld, number %lld is no id (a whole number from "
                 "0 to 2^31-1); write the data again",
                 x->bin.path, (long long)seq,
                 (long long)(first + good - hy_indexed_start(x, seq)));
}

/* ---- hash ---- */

/* Checksum of this rank's share of a file's 32-bit words, the last filled up
 * with zeros. */
static uint64_t
sum_words(const mapped *m, const hy_comm *comm)
{
  int64_t n = (int64_t)(m->bytes / 4);
  int64_t from = n * comm->rank / comm->size;
  int64_t to = n * (comm->rank + 1) / comm->size;
  uint64_t sum = 0;
  uint32_t last = 0;

  for (int64_t i = from; i < to; i += STEP) {
    int64_t k = to - i < STEP ? to - i : STEP;

    sum += hy_checksum((const uint32_t *)(const void *)m->map + i, (size_t)k,
                       (uint64_t)i);
    let_go(m, (size_t)i * 4, (size_t)(i + k) * 4);
  }
  if (m->bytes % 4 && comm->rank == 0) {
    memcpy(&last, m->map + 4 * n, m->bytes % 4);
    sum += hy_checksum(&last, 1, (uint64_t)n);
  }
  return sum;
}

void
hy_indexed_hash_all(const hy_indexed *x, const hy_comm *comm,
                    char hash[HY_SHA_HEX])
{
  uint64_t sum[2] = {sum_words(&x->idx, comm), sum_words(&x->bin, comm)};
  hy_buf b = {0};
  hy_sha256 s;

  hy_sum_i64(comm, (int64_t *)sum, 2); /* modulo 2^64 */
  hy_buf_printf(&b, "idx %zu %016llx\nbin %zu %016llx\n", x->idx.bytes,
                (unsigned long long)sum[0], x->bin.bytes,
                (unsigned long long)sum[1]);
  hy_sha256_init(&s);
  hy_sha256_add(&s, b.data, b.len);
  hy_sha256_hex(&s, hash);
  free(b.data);
}

void
hy_indexed_hash(const hy_indexed *x, char hash[HY_SHA_HEX])
{
  const hy_comm self = {.mpi = MPI_COMM_SELF, .rank = 0, .size = 1};

  hy_indexed_hash_all(x, &self, hash);
}
