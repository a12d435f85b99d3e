/* safetensors.c: the reader: map, check every header, find by name. */
#include "io/st_impl.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* As the safetensors package: no sane model needs a larger header. */
static const uint64_t max_header = 100000000;

static const struct {
  const char *name;
  size_t size;
} dtype_table[HY_ST_N_DTYPE] = {
    [HY_ST_BOOL] = {"BOOL", 1},       [HY_ST_U8] = {"U8", 1},
    [HY_ST_I8] = {"I8", 1},           [HY_ST_F8_E5M2] = {"F8_E5M2", 1},
    [HY_ST_F8_E4M3] = {"F8_E4M3", 1}, [HY_ST_I16] = {"I16", 2},
    [HY_ST_U16] = {"U16", 2},         [HY_ST_F16] = {"F16", 2},
    [HY_ST_BF16] = {"BF16", 2},       [HY_ST_I32] = {"I32", 4},
    [HY_ST_U32] = {"U32", 4},         [HY_ST_F32] = {"F32", 4},
    [HY_ST_F64] = {"F64", 8},         [HY_ST_I64] = {"I64", 8},
    [HY_ST_U64] = {"U64", 8},
};

const char *
hy_st_dtype_name(hy_st_dtype t)
{
  return dtype_table[t].name;
}

size_t
hy_st_dtype_size(hy_st_dtype t)
{
  return dtype_table[t].size;
}

int
hy_st_fmt(hy_st_dtype t)
{
  switch (t) {
  case HY_ST_F32:
    return HY_F32;
  case HY_ST_BF16:
    return HY_BF16;
  case HY_ST_I32:
    return HY_I32;
  case HY_ST_I64:
    return HY_I64;
  case HY_ST_U8:
    return HY_U8;
  default:
    return -1;
  }
}

hy_st_dtype
hy_st_dtype_of(hy_fmt f)
{
  static const hy_st_dtype of[HY_N_FMT] = {[HY_F32] = HY_ST_F32,
                                           [HY_BF16] = HY_ST_BF16,
                                           [HY_I32] = HY_ST_I32,
                                           [HY_I64] = HY_ST_I64,
                                           [HY_U8] = HY_ST_U8};

  return of[f];
}

void
hy_st_shape_text(char *out, size_t size, int n_dim, const int64_t *dim)
{
  hy_buf b = {0};

  hy_buf_printf(&b, "[");
  for (int i = 0; i < n_dim; i++)
    hy_buf_printf(&b, "%s%lld", i ? ", " : "", (long long)dim[i]);
  hy_buf_printf(&b, "]");
  strncpy(out, b.data, size - 1);
  out[size - 1] = '\0';
  free(b.data);
}

static int
map_file(st_file *f, const char *path)
{
  struct stat st;
  int fd = open(path, O_RDONLY);
  void *map;

  if (fd < 0 || fstat(fd, &st)) {
    if (fd >= 0)
      close(fd);
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  }
  if (!S_ISREG(st.st_mode) || st.st_size < 8) {
    close(fd);
    return hy_fail(HY_EFILE,
                   "%s: not a safetensors file (%lld bytes, the header alone "
                   "has more); fetch it again",
                   path, (long long)st.st_size);
  }
  map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (map == MAP_FAILED)
    return hy_fail(HY_EFILE, "%s: cannot map: %s", path, strerror(errno));
  f->path = hy_strdup(path);
  f->map = map;
  f->size = (size_t)st.st_size;
  return HY_OK;
}

/* The length of the JSON header, checked against the file. */
static int
header_length(const st_file *f, size_t *n)
{
  uint64_t len = 0;

  for (int i = 7; i >= 0; i--)
    len = len << 8 | f->map[i];
  if (len > max_header || (len && f->size > 8 && f->map[8] != '{'))
    return hy_fail(HY_EFILE,
                   "%s: not a safetensors file (its first bytes give no header "
                   "length); a git-lfs pointer or a web page saved by mistake?",
                   f->path);
  if (len < 2 || len > f->size - 8)
    return hy_fail(HY_EFILE,
                   "%s: truncated: the header has %llu bytes, the file %zu in "
                   "all; fetch it again",
                   f->path, (unsigned long long)len, f->size);
  *n = (size_t)len;
  return HY_OK;
}

/* dtype, shape and offsets of one entry; *begin: its place in the data. */
static int
read_entry(const st_file *f, const char *name, json_t *e, size_t data_size,
           hy_st_tensor *t, uint64_t *begin)
{
  json_t *shape = json_object_get(e, "shape"), *x;
  json_t *off = json_object_get(e, "data_offsets");
  const char *dtype = json_string_value(json_object_get(e, "dtype"));
  json_int_t a, b;
  size_t i, need = 1;

  if (!dtype || !json_is_array(shape) || json_array_size(off) != 2 ||
      !json_is_integer(json_array_get(off, 0)) ||
      !json_is_integer(json_array_get(off, 1)))
    return hy_fail(HY_EDATA,
                   "%s: tensor %s: its header entry lacks dtype, shape or two "
                   "data_offsets; fetch or write the file again",
                   f->path, name);
  for (t->dtype = 0; t->dtype < HY_ST_N_DTYPE; t->dtype++)
    if (!strcmp(dtype, dtype_table[t->dtype].name))
      break;
  if (t->dtype == HY_ST_N_DTYPE)
    return hy_fail(HY_EDATA,
                   "%s: tensor %s: dtype %s is unknown; convert it to F32 or "
                   "BF16",
                   f->path, name, dtype);
  if (json_array_size(shape) > HY_ST_MAX_DIM)
    return hy_fail(HY_EDATA, "%s: tensor %s: %zu dimensions, at most %d fit",
                   f->path, name, json_array_size(shape), HY_ST_MAX_DIM);
  json_array_foreach(shape, i, x)
  {
    t->dim[i] = json_integer_value(x);
    if (!json_is_integer(x) || t->dim[i] < 0 ||
        __builtin_mul_overflow(need, (size_t)t->dim[i], &need))
      return hy_fail(HY_EDATA, "%s: tensor %s: impossible shape", f->path,
                     name);
  }
  t->n_dim = (int)json_array_size(shape);
  t->n = (int64_t)need;
  a = json_integer_value(json_array_get(off, 0));
  b = json_integer_value(json_array_get(off, 1));
  if (a < 0 || b < a)
    return hy_fail(HY_EDATA, "%s: tensor %s: data_offsets [%lld, %lld]",
                   f->path, name, (long long)a, (long long)b);
  if ((uint64_t)b > data_size)
    return hy_fail(HY_EFILE,
                   "%s: truncated: tensor %s ends at byte %lld of the data, "
                   "the file has %zu; fetch it again",
                   f->path, name, (long long)b, data_size);
  t->bytes = (size_t)(b - a);
  if (__builtin_mul_overflow(need, dtype_table[t->dtype].size, &need) ||
      need != t->bytes)
    return hy_fail(HY_EDATA,
                   "%s: tensor %s: shape and dtype %s need %zu bytes, "
                   "data_offsets give %zu",
                   f->path, name, dtype, need, t->bytes);
  *begin = (uint64_t)a;
  return HY_OK;
}

static void
add_tensor(hy_st *s, const hy_st_tensor *t)
{
  if (s->n == s->cap) {
    s->cap = s->cap ? 2 * s->cap : 256;
    s->t = hy_realloc(s->t, (size_t)s->cap * sizeof *s->t);
  }
  s->t[s->n++] = *t;
}

static int
by_place(const void *a, const void *b)
{
  const hy_st_tensor *x = a, *y = b;

  if (x->data != y->data)
    return (const char *)x->data < (const char *)y->data ? -1 : 1;
  return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors of one file, from t on, have to tile its data. */
static int
check_tiling(const st_file *f, hy_st_tensor *t, int64_t n, size_t at)
{
  if (n > 0) /* a file may hold none: there is nothing to sort */
    qsort(t, (size_t)n, sizeof *t, by_place);
  for (int64_t i = 0; i < n; i++) {
    size_t here = (size_t)((const unsigned char *)t[i].data - f->map);

    if (here < at)
      return hy_fail(HY_EDATA, "%s: tensor %s overlaps the data of %s", f->path,
                     t[i].name, i ? t[i - 1].name : "the header");
    if (here > at)
      return hy_fail(HY_EDATA,
                     "%s: %zu bytes before tensor %s belong to no tensor",
                     f->path, here - at, t[i].name);
    at = here + t[i].bytes;
  }
  if (at != f->size)
    return hy_fail(HY_EDATA, "%s: %zu bytes at the end belong to no tensor",
                   f->path, f->size - at);
  return HY_OK;
}

static int
read_header(hy_st *s, const st_file *f)
{
  json_error_t je;
  json_t *root, *e;
  const char *name;
  size_t len = 0, data;
  int64_t first = s->n;
  int err = header_length(f, &len);

  if (err)
    return err;
  root = json_loadb((const char *)f->map + 8, len, JSON_REJECT_DUPLICATES, &je);
  if (!json_is_object(root)) {
    int twice =
        root == NULL && json_error_code(&je) == json_error_duplicate_key;

    json_decref(root);
    return hy_fail(twice ? HY_EDATA : HY_EFILE,
                   "%s: the header is %s (%s); fetch it again", f->path,
                   twice ? "ambiguous" : "not JSON", je.text);
  }
  data = 8 + len;
  json_object_foreach(root, name, e)
  {
    hy_st_tensor t = {.file = f->path};
    uint64_t begin = 0;

    if (!strcmp(name, "__metadata__"))
      continue;
    err = read_entry(f, name, e, f->size - data, &t, &begin);
    if (err)
      break;
    t.name = hy_strdup(name);
    t.data = f->map + data + begin;
    add_tensor(s, &t);
  }
  json_decref(root);
  if (err)
    return err;
  /* no list yet where no file had a tensor */
  return check_tiling(f, s->t ? s->t + first : NULL, s->n - first, data);
}

int
hy_st_add_file(hy_st *s, const char *path)
{
  st_file f = {0};
  int err = map_file(&f, path);

  if (err)
    return err;
  s->file = hy_realloc(s->file, (size_t)(s->n_files + 1) * sizeof *s->file);
  s->file[s->n_files++] = f;
  return read_header(s, &f);
}

static int
by_name(const void *a, const void *b)
{
  return strcmp(((const hy_st_tensor *)a)->name,
                ((const hy_st_tensor *)b)->name);
}

int
hy_st_sort(hy_st *s)
{
  if (s->n)
    qsort(s->t, (size_t)s->n, sizeof *s->t, by_name);
  for (int64_t i = 1; i < s->n; i++)
    if (!strcmp(s->t[i].name, s->t[i - 1].name))
      return hy_fail(HY_EDATA,
                     "%s: tensor %s is also in %s; remove the file that does "
                     "not belong",
                     s->t[i].file, s->t[i].name, s->t[i - 1].file);
  return HY_OK;
}

void
hy_st_close(hy_st *s)
{
  if (!s)
    return;
  for (int64_t i = 0; i < s->n; i++)
    free(s->t[i].name);
  free(s->t);
  for (int i = 0; i < s->n_files; i++) {
    munmap((void *)(uintptr_t)s->file[i].map, s->file[i].size);
    free(s->file[i].path);
  }
  free(s->file);
  free(s);
}

int64_t
hy_st_n(const hy_st *s)
{
  return s->n;
}

const hy_st_tensor *
hy_st_at(const hy_st *s, int64_t i)
{
  return s->t + i;
}

const hy_st_tensor *
hy_st_find(const hy_st *s, const char *name)
{
  int64_t lo = 0, hi = s->n;

  while (lo < hi) {
    int64_t mid = lo + (hi - lo) / 2;
    int c = strcmp(name, s->t[mid].name);

    if (c == 0)
      return s->t + mid;
    if (c < 0)
      hi = mid;
    else
      lo = mid + 1;
  }
  return NULL;
}

int64_t
hy_st_index(const hy_st *s, const hy_st_tensor *t)
{
  return t - s->t;
}

int
hy_st_n_files(const hy_st *s)
{
  return s->n_files;
}

const char *
hy_st_file(const hy_st *s, int i)
{
  return s->file[i].path;
}
