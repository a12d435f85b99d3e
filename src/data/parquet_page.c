/* parquet_page.c: a column of a row group as a stream of entries: pages,
 * levels, values. */
#include "data/parquet_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

/* PageType */
enum { DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE, DATA_PAGE_V2 };

/* PageHeader and the header inside it, whichever it is. */
typedef struct {
  int type, has_crc, inner; /* inner: field id of the header inside */
  int64_t full, size;       /* bytes without and with compression */
  uint32_t crc;
  int64_t n_values;
  int encoding, def_encoding, rep_encoding; /* version 1 */
  int64_t def_bytes, rep_bytes;             /* version 2 */
  int compressed;
  const unsigned char *data; /* size bytes */
} page_head;

/* Name of a column, "a.b.c"; the caller frees it. */
static char *
column_name(const hy_pq_column *c)
{
  const hy_pq_node *node = c->file->node, *n = c->node;
  char *name = hy_strdup(n->name), *longer;

  for (n = &node[n->parent]; n->parent >= 0; n = &node[n->parent]) {
    longer = hy_asprintf("%s.%s", n->name, name);
    free(name);
    name = longer;
  }
  return name;
}

int
hy_pq_bad(const hy_pq_column *c, const char *what)
{
  return hy_pq_refuse(c, what, "make the file again");
}

int
hy_pq_refuse(const hy_pq_column *c, const char *what, const char *remedy)
{
  char *name = column_name(c);
  int err = hy_fail(HY_EDATA, "%s: column '%.200s', row group %lld: %s; %s",
                    c->file->path, name, (long long)c->group, what, remedy);

  free(name);
  return err;
}

/* The header inside a page header: fields of three kinds of page. */
static void
read_inner(hy_thrift *t, int kind, page_head *h)
{
  int id = 0, type;

  h->inner = kind;
  while ((type = hy_thrift_field(t, &id)) != 0) {
    if (id == 1)
      h->n_values = hy_thrift_int(t, type);
    else if (kind == 8 ? id == 4 : id == 2)
      h->encoding = (int)hy_thrift_int(t, type);
    else if (kind == 5 && id == 3)
      h->def_encoding = (int)hy_thrift_int(t, type);
    else if (kind == 5 && id == 4)
      h->rep_encoding = (int)hy_thrift_int(t, type);
    else if (kind == 8 && id == 5)
      h->def_bytes = hy_thrift_int(t, type);
    else if (kind == 8 && id == 6)
      h->rep_bytes = hy_thrift_int(t, type);
    else if (kind == 8 && id == 7)
      h->compressed = (int)hy_thrift_int(t, type);
    else
      hy_thrift_skip(t, type);
  }
}

static const char *
read_head(hy_pq_column *c, page_head *h)
{
  hy_thrift t = {c->at, c->end, 0};
  int id = 0, type;

  memset(h, 0, sizeof *h);
  h->type = h->encoding = h->def_encoding = h->rep_encoding = -1;
  h->full = h->size = h->n_values = -1;
  h->compressed = 1;
  while ((type = hy_thrift_field(&t, &id)) != 0) {
    if (id == 1)
      h->type = (int)hy_thrift_int(&t, type);
    else if (id == 2)
      h->full = hy_thrift_int(&t, type);
    else if (id == 3)
      h->size = hy_thrift_int(&t, type);
    else if (id == 4)
      h->crc = (uint32_t)hy_thrift_int(&t, type), h->has_crc = 1;
    else if ((id == 5 || id == 7 || id == 8) && type == HY_THRIFT_STRUCT)
      read_inner(&t, id, h);
    else
      hy_thrift_skip(&t, type);
  }
  if (t.bad || h->full < 0 || h->size < 0 || h->full > INT32_MAX ||
      h->size > t.end - t.at)
    return "a page header is wrong";
  if (h->has_crc && h->crc != crc32(0, t.at, (uInt)h->size))
    return "the checksum of a page is another";
  h->data = t.at;
  c->at = t.at + h->size;
  return NULL;
}

/* No writer makes larger ones; their values take memory beside the page. */
#define MAX_DICTIONARY (1 << 28)

/* n compressed bytes in `out` (or where they lie, when they are not
 * compressed). */
static const char *
unpack(const hy_pq_column *c, const unsigned char *in, int64_t n, int64_t want,
       int compressed, hy_pq_bytes *out, const unsigned char **at)
{
  *at = in;
  if (!compressed || c->chunk->codec == 0)
    return n == want ? NULL : "an uncompressed page of two sizes";
  if (n == 0 && want == 0)
    return NULL;
  if ((uint64_t)want > hy_pq_codec_most(c->chunk->codec, (uint64_t)n))
    return "a page cannot hold as much as it says";
  if (out->cap < (size_t)want || !out->data) {
    free(out->data);
    out->cap = (size_t)want;
    out->data = hy_malloc(out->cap + 1);
  }
  *at = out->data;
  return hy_pq_decompress(c->chunk->codec, in, (size_t)n, out->data,
                          (size_t)want);
}

static const char *
read_dictionary(hy_pq_column *c, const page_head *h)
{
  hy_pq_values v = {.type = c->node->type, .length = c->node->length};
  const unsigned char *at;
  const char *why;
  int64_t i;

  if (h->inner != 7 || c->n_dictionary >= 0 ||
      (h->encoding != PQ_PLAIN && h->encoding != PQ_PLAIN_DICTIONARY) ||
      v.type == PQ_BOOLEAN)
    return "a dictionary page is wrong";
  if (h->full > MAX_DICTIONARY)
    return "a dictionary of more than 256 MiB";
  why = unpack(c, h->data, h->size, h->full, 1, &c->words, &at);
  if (why)
    return why;
  /* every value takes a byte at least */
  if (h->n_values < 0 || h->n_values > h->full)
    return "a dictionary has more values than bytes";
  c->dictionary = hy_realloc(c->dictionary,
                             (size_t)(h->n_values + 1) * sizeof *c->dictionary);
  why = hy_pq_values_start(&v, at, at + h->full);
  for (i = 0; i < h->n_values && !why; i++)
    why = hy_pq_values_next(&v, &c->dictionary[i]);
  c->n_dictionary = h->n_values;
  return why;
}

static int
level_bits(int most)
{
  int n = 0;

  while (most >> n)
    n++;
  return n;
}

/* Levels of version 1: a length and runs. */
static const char *
levels(hy_pq_rle *r, int most, int encoding, const unsigned char **at,
       const unsigned char *end)
{
  uint64_t n;

  if (most == 0)
    return NULL;
  if (encoding == PQ_BIT_PACKED)
    return "levels in the old encoding BIT_PACKED";
  if (encoding != PQ_RLE)
    return "levels in an encoding that is not known";
  if (end - *at < 4)
    return "levels end early";
  n = (uint64_t)(*at)[0] | (uint64_t)(*at)[1] << 8 | (uint64_t)(*at)[2] << 16 |
      (uint64_t)(*at)[3] << 24;
  *at += 4;
  if (n > (uint64_t)(end - *at))
    return "levels end early";
  hy_pq_rle_start(r, *at, *at + n, level_bits(most));
  *at += n;
  return NULL;
}

static const char *
start_v1(hy_pq_column *c, const page_head *h, const unsigned char **at,
         const unsigned char **end)
{
  const char *why = unpack(c, h->data, h->size, h->full, 1, &c->page, at);

  if (why)
    return why;
  *end = *at + h->full;
  why = levels(&c->rep, c->node->max_rep, h->rep_encoding, at, *end);
  if (!why)
    why = levels(&c->def, c->node->max_def, h->def_encoding, at, *end);
  return why;
}

/* Version 2: levels come first and are never compressed. */
static const char *
start_v2(hy_pq_column *c, const page_head *h, const unsigned char **at,
         const unsigned char **end)
{
  int64_t n = h->rep_bytes + h->def_bytes, want = h->full - n;
  const unsigned char *def;
  const char *why = NULL;

  if (h->rep_bytes < 0 || h->def_bytes < 0 || n > h->size || want < 0)
    return "levels end early";
  def = h->data + h->rep_bytes;
  hy_pq_rle_start(&c->rep, h->data, def, level_bits(c->node->max_rep));
  hy_pq_rle_start(&c->def, def, h->data + n, level_bits(c->node->max_def));
  *at = h->data + n;
  if (want > 0) /* some writers compress nothing to something */
    why = unpack(c, *at, h->size - n, want, h->compressed, &c->page, at);
  if (!why)
    *end = *at + want;
  return why;
}

static const char *
start_page(hy_pq_column *c, const page_head *h)
{
  const unsigned char *at, *end;
  const char *why = "a page header is wrong";

  if (h->n_values < 0 || h->n_values > c->left_chunk)
    return "pages have more values than the column";
  if (h->type == DATA_PAGE && h->inner == 5)
    why = start_v1(c, h, &at, &end);
  else if (h->type == DATA_PAGE_V2 && h->inner == 8)
    why = start_v2(c, h, &at, &end);
  if (why)
    return why;
  c->left_page = h->n_values;
  c->left_chunk -= h->n_values;
  c->values.encoding = h->encoding;
  c->values.type = c->node->type;
  c->values.length = c->node->length;
  c->values.dictionary = c->dictionary;
  c->values.n_dictionary = c->n_dictionary;
  return hy_pq_values_start(&c->values, at, end);
}

/* Give back the memory of what is read; the system would count it as ours.
 * A dictionary in place is simply read again. */
static void
drop_read(hy_pq_column *c)
{
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t from = (uintptr_t)c->kept / page * page;
  uintptr_t to = (uintptr_t)c->at / page * page;

  if (to < from + ((uintptr_t)1 << 20))
    return;
  madvise((void *)from, to - from, MADV_DONTNEED);
  c->kept = c->at;
}

static int
next_page(hy_pq_column *c)
{
  page_head h;
  const char *why;

  drop_read(c);
  if (c->at == c->end)
    return hy_pq_bad(c, "pages have fewer values than the column");
  why = read_head(c, &h);
  if (!why && h.type == DICTIONARY_PAGE)
    why = read_dictionary(c, &h);
  else if (!why && h.type != INDEX_PAGE)
    why = start_page(c, &h);
  return why ? hy_pq_bad(c, why) : HY_OK;
}

void
hy_pq_column_start(hy_pq_column *c, int64_t group)
{
  const hy_parquet *p = c->file;

  c->group = group;
  c->chunk = &p->chunk[group * p->n_leaf + c->node->leaf];
  c->at = p->map + c->chunk->at;
  c->end = c->at + c->chunk->bytes;
  c->kept = c->at;
  c->left_chunk = c->chunk->n_values;
  c->left_page = 0;
  c->n_dictionary = -1;
  c->have = 0;
}

void
hy_pq_column_free(hy_pq_column *c)
{
  free(c->page.data);
  free(c->words.data);
  free(c->dictionary);
  free(c->values.text.data);
}

int
hy_pq_column_peek(hy_pq_column *c, int *end)
{
  const hy_pq_node *n = c->node;
  uint32_t rep = 0, def = 0;
  int err;

  *end = 0;
  if (c->have)
    return HY_OK;
  while (c->left_page == 0) {
    if (c->left_chunk == 0) {
      *end = 1;
      return HY_OK;
    }
    err = next_page(c);
    if (err)
      return err;
  }
  if ((n->max_rep > 0 && hy_pq_rle_next(&c->rep, &rep)) ||
      (n->max_def > 0 && hy_pq_rle_next(&c->def, &def)))
    return hy_pq_bad(c, "levels end early");
  if (rep > (uint32_t)n->max_rep || def > (uint32_t)n->max_def)
    return hy_pq_bad(c, "a level beyond its bound");
  c->left_page--;
  c->entry_rep = (int)rep;
  c->entry_def = (int)def;
  c->have = 1;
  return HY_OK;
}

int
hy_pq_column_take(hy_pq_column *c, hy_pq_value *x)
{
  const char *why = NULL;

  c->have = 0;
  if (c->entry_def == c->node->max_def)
    why = hy_pq_values_next(&c->values, x);
  return why ? hy_pq_bad(c, why) : HY_OK;
}
