/* curate_unique.c: duplicates among the documents of all shards.
 *
 * Documents have numbers 0 .. n - 1 in the order of the shards. A pass sends a
 * key of each document, or one for each of its bands, to the rank that owns
 * the key; that rank sorts what it got and compares documents with one key by
 * their signatures. Pairs that are alike are edges; which documents hang
 * together does not depend on who found the edges or in which order, and of
 * each such cluster the smallest number stays. */
#include "prep/curate_impl.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const hy_curate_mark_name[] = {NULL, "exact duplicate",
                                           "near duplicate"};
enum { STAYS, EXACT, NEAR };

typedef struct {
  uint64_t key;
  int64_t doc;
} entry;

/* One way of finding pairs. */
typedef struct {
  int mark;     /* of what is found */
  size_t at, n; /* bytes of the signature that make the key */
  int n_keys;   /* that many of them, one behind another */
  int whole;    /* documents are alike if the bytes are equal; else if enough
                   MinHash values are */
} pass;

enum { DOCS_GATHER = 1 << 18, BYTES_ROUND = 1 << 21 };

typedef struct {
  const hy_curate *c;
  const hy_comm *comm;
  const hy_curate_shard *shard;
  hy_signs signs;
  int64_t n_docs;
  int64_t least;       /* equal values of documents that are alike */
  unsigned char *mark; /* (n_docs) the same on every rank */
  int64_t *parent;     /* (n_docs) of the same cluster, not larger; own number:
                          root */
  const pass *p;
  int64_t part, n_parts;    /* share of the keys that is looked at now */
  int64_t at_shard, at_doc; /* where the scan of the own shards is */
  entry *list;              /* what this rank owns */
  int64_t n_list, cap_list;
  int64_t *next, *head, *tail; /* of clusters in a group */
  int64_t cap_group;
  char *own, *block; /* one signature, those of a round */
  int64_t n_block;
} work;

/* ---- clusters ---- */

static int64_t
root_of(work *w, int64_t i)
{
  while (w->parent[i] != i)
    i = w->parent[i] = w->parent[w->parent[i]];
  return i;
}

static void
join(work *w, int64_t i, int64_t j)
{
  i = root_of(w, i);
  j = root_of(w, j);
  if (i < j)
    w->parent[j] = i;
  else
    w->parent[i] = j;
}

/* ---- comparing ---- */

static int
signs_alike(const work *w, const char *a, const char *b)
{
  const uint32_t *x = hy_sign_values(w->c, a), *y = hy_sign_values(w->c, b);
  int64_t n = w->c->d.near_bands * w->c->d.near_rows, equal = 0;

  if (w->p->whole)
    return !memcmp(a + w->p->at, b + w->p->at, w->p->n);
  for (int64_t i = 0; i < n; i++)
    equal += x[i] == y[i];
  return equal >= w->least;
}

static void
room_for_group(work *w, int64_t n)
{
  if (n <= w->cap_group)
    return;
  w->cap_group = 2 * n;
  w->next = hy_realloc(w->next, (size_t)w->cap_group * sizeof *w->next);
  w->head = hy_realloc(w->head, (size_t)w->cap_group * sizeof *w->head);
  w->tail = hy_realloc(w->tail, (size_t)w->cap_group * sizeof *w->tail);
}

/* 1 if document j, whose signature is w->own, belongs to a member of the
 * cluster that begins with member k. */
static int
belongs(work *w, const entry *e, int64_t k, int64_t j)
{
  for (; k >= 0; k = w->next[k]) {
    int64_t a = e[k].doc, b = e[j].doc;

    if (root_of(w, a) == root_of(w, b))
      return 1;
    if (signs_alike(w, hy_signs_get(&w->signs, a), w->own)) {
      join(w, a, b);
      return 1;
    }
  }
  return 0;
}

/* All pairs of n documents with one key, save those that hang together
 * already: many that are alike cost n comparisons, not n^2. */
static void
compare_group(work *w, const entry *e, int64_t n)
{
  int64_t n_lists = 0;

  room_for_group(w, n);
  for (int64_t j = 0; j < n && !w->signs.err; j++) {
    int64_t mine = -1;

    w->next[j] = -1;
    memcpy(w->own, hy_signs_get(&w->signs, e[j].doc), w->signs.bytes);
    for (int64_t l = 0; l < n_lists;) {
      if (!belongs(w, e, w->head[l], j)) {
        l++;
      } else if (mine < 0) {
        w->next[w->tail[l]] = j;
        w->tail[l] = j;
        mine = l++;
      } else { /* j brings two clusters together */
        w->next[w->tail[mine]] = w->head[l];
        w->tail[mine] = w->tail[l];
        n_lists--;
        w->head[l] = w->head[n_lists];
        w->tail[l] = w->tail[n_lists];
      }
    }
    if (mine < 0) {
      w->head[n_lists] = j;
      w->tail[n_lists++] = j;
    }
  }
}

static int
by_key(const void *a, const void *b)
{
  const entry *x = a, *y = b;

  if (x->key != y->key)
    return x->key < y->key ? -1 : 1;
  return (x->doc > y->doc) - (x->doc < y->doc);
}

/* Equal keys together: by their upper bits into places of a few entries, then
 * each place by itself. */
static void
sort_list(work *w)
{
  int64_t n = w->n_list, *at;
  int bits = 0;
  entry *to;

  while (bits < 16 && (int64_t)64 << bits < n)
    bits++;
  at = hy_calloc(((size_t)1 << bits) + 1, sizeof *at);
  to = hy_malloc((size_t)n * sizeof *to);
  for (int64_t i = 0; i < n; i++)
    at[(w->list[i].key >> 32 >> (32 - bits)) + 1]++;
  for (int64_t k = 0; k < (int64_t)1 << bits; k++)
    at[k + 1] += at[k];
  for (int64_t i = 0; i < n; i++)
    to[at[w->list[i].key >> 32 >> (32 - bits)]++] = w->list[i];
  for (int64_t k = 0, from = 0; k < (int64_t)1 << bits; from = at[k++])
    qsort(to + from, (size_t)(at[k] - from), sizeof *to, by_key);
  free(at);
  free(w->list);
  w->list = to;
  w->cap_list = n;
}

static void
compare_all(work *w)
{
  sort_list(w);
  for (int64_t i = 0, j; i < w->n_list && !w->signs.err; i = j) {
    for (j = i + 1; j < w->n_list && w->list[j].key == w->list[i].key;)
      j++;
    if (j - i > 1)
      compare_group(w, w->list + i, j - i);
  }
}

/* ---- keys to their owners ---- */

/* Texts without words have no values and are like no other. */
static int
has_values(const work *w, const char *sign)
{
  const uint32_t *v = hy_sign_values(w->c, sign);
  int64_t n = w->c->d.near_bands * w->c->d.near_rows, i = 0;

  while (i < n && v[i] == UINT32_MAX)
    i++;
  return i < n;
}

/* n is a multiple of 4. */
static uint64_t
key_of(const char *bytes, size_t n)
{
  uint64_t h = n;

  for (size_t i = 0; i < n; i += 4) {
    uint32_t word;

    memcpy(&word, bytes + i, 4);
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  return h;
}

static int64_t
keys_of(const work *w, const char *sign, int64_t doc, entry *out)
{
  int64_t n = 0;

  if (w->mark[doc] != STAYS || (w->p->mark == NEAR && !has_values(w, sign)))
    return 0;
  for (int k = 0; k < w->p->n_keys; k++) {
    uint64_t key = key_of(sign + w->p->at + (size_t)k * w->p->n, w->p->n);

    key = hy_hash_mix(key + (uint64_t)k);
    if ((int64_t)(key % (uint64_t)w->n_parts) == w->part)
      out[n++] = (entry){key, doc};
  }
  return n;
}

/* Entries of the next documents of the own shards, at most a block of them. */
static int64_t
scan(work *w, entry *out)
{
  int64_t n = 0;

  for (int64_t left = w->n_block;
       left > 0 && w->at_shard < w->signs.n_shards;) {
    int64_t s = w->at_shard, here = w->shard[s].n_docs - w->at_doc;

    here = here < left ? here : left;
    hy_signs_read(&w->signs, s, w->at_doc, here, w->block);
    for (int64_t i = 0; i < here; i++)
      n += keys_of(w, w->block + (size_t)i * w->signs.bytes,
                   w->signs.first[s] + w->at_doc + i, out + n);
    left -= here;
    w->at_doc += here;
    if (w->at_doc == w->shard[s].n_docs) {
      w->at_shard += w->comm->size;
      w->at_doc = 0;
    }
  }
  return n;
}

static int
owner(const work *w, uint64_t key)
{
  return (int)(key / (uint64_t)w->n_parts % (uint64_t)w->comm->size);
}

/* One round: entries of some documents of each rank go to their owners. */
static void
share(work *w, entry *found, entry *sorted, int64_t *at)
{
  int size = w->comm->size;
  int64_t n = scan(w, found), *to = at, *from = at + size + 1;
  int64_t *count = from + size + 1, *unit = count + size;

  memset(to, 0, ((size_t)size + 1) * sizeof *to);
  for (int64_t i = 0; i < n; i++)
    to[owner(w, found[i].key) + 1]++;
  for (int r = 0; r < size; r++)
    to[r + 1] += to[r];
  for (int64_t i = 0; i < n; i++)
    sorted[to[owner(w, found[i].key)]++] = found[i];
  memmove(to + 1, to, (size_t)size * sizeof *to);
  to[0] = 0;
  for (int r = 0; r <= size; r++)
    unit[r] = r;
  for (int r = 0; r < size; r++)
    count[r] = to[r + 1] - to[r];
  hy_all_to_all(w->comm, count, unit, from + 1, unit, sizeof *count);
  from[0] = 0;
  for (int r = 0; r < size; r++)
    from[r + 1] += from[r];
  if (w->n_list + from[size] > w->cap_list) {
    w->cap_list = 2 * w->cap_list > w->n_list + from[size]
                      ? 2 * w->cap_list
                      : w->n_list + from[size];
    w->list = hy_realloc(w->list, (size_t)w->cap_list * sizeof *w->list);
  }
  hy_all_to_all(w->comm, sorted, to, w->list + w->n_list, from, sizeof *sorted);
  w->n_list += from[size];
}

static void
share_all(work *w)
{
  size_t most = (size_t)w->n_block * (size_t)w->p->n_keys;
  size_t size = (size_t)w->comm->size;
  entry *found = hy_malloc(most * sizeof *found);
  entry *sorted = hy_malloc(most * sizeof *sorted);
  int64_t *at = hy_malloc((4 * size + 3) * sizeof *at);

  w->n_list = 0;
  w->at_shard = w->comm->rank;
  w->at_doc = 0;
  do
    share(w, found, sorted, at);
  while (hy_max_i64(w->comm, w->at_shard < w->signs.n_shards));
  free(found);
  free(sorted);
  free(at);
}

/* Every rank learns the clusters of all, some documents at a time. */
static void
gather(work *w)
{
  int size = w->comm->size;
  int64_t *at = hy_calloc(2 * (size_t)size + 2, sizeof *at);
  int64_t *unit = at + size + 1, *pair = NULL, step = DOCS_GATHER / size + 1;

  for (int r = 0; r <= size; r++)
    unit[r] = r;
  for (int64_t from = 0; from < w->n_docs; from += step) {
    int64_t to = from + step, n = 0, *mine;

    to = to < w->n_docs ? to : w->n_docs;
    for (int64_t i = from; i < to; i++)
      n += w->parent[i] != i;
    at[w->comm->rank + 1] = n;
    hy_all_gather(w->comm, at + 1, unit, sizeof *at);
    for (int r = 0; r < size; r++)
      at[r + 1] += at[r];
    pair = hy_realloc(pair, (size_t)at[size] * 2 * sizeof *pair);
    mine = pair + 2 * at[w->comm->rank];
    for (int64_t i = from; i < to; i++)
      if (w->parent[i] != i) {
        *mine++ = i;
        *mine++ = root_of(w, i);
      }
    hy_all_gather(w->comm, pair, at, 2 * sizeof *pair);
    for (int64_t k = 0; k < at[size]; k++)
      join(w, pair[2 * k], pair[2 * k + 1]);
  }
  free(pair);
  free(at);
}

static void
do_pass(work *w, const pass *p)
{
  double most = (double)w->c->most_entries * (double)w->comm->size;
  double all = (double)w->n_docs * (double)p->n_keys;

  w->p = p;
  w->n_parts = (int64_t)ceil(all / most);
  w->n_parts = w->n_parts > 0 ? w->n_parts : 1;
  for (int64_t i = 0; i < w->n_docs; i++)
    w->parent[i] = i;
  for (w->part = 0; w->part < w->n_parts; w->part++) {
    share_all(w);
    compare_all(w);
  }
  gather(w);
  for (int64_t i = 0; i < w->n_docs; i++)
    if (w->parent[i] != i)
      w->mark[i] = (unsigned char)p->mark;
}

/* ---- all of it ---- */

static void
begin(work *w)
{
  size_t n = (size_t)w->n_docs;

  w->n_block = BYTES_ROUND / (int64_t)w->signs.bytes + 1;
  w->mark = hy_calloc(n, 1);
  w->parent = hy_malloc(n * sizeof *w->parent);
  w->own = hy_malloc(w->signs.bytes);
  w->block = hy_malloc((size_t)w->n_block * w->signs.bytes);
  w->least =
      (int64_t)ceil(w->c->d.near_threshold *
                        (double)(w->c->d.near_bands * w->c->d.near_rows) -
                    1e-9);
}

static void
end(work *w)
{
  hy_signs_close(&w->signs);
  free(w->mark);
  free(w->parent);
  free(w->own);
  free(w->block);
  free(w->list);
  free(w->next);
  free(w->head);
  free(w->tail);
}

/* Equal signatures come before bands, so that of many equal documents only one
 * takes part there. */
static void
do_passes(work *w)
{
  const hy_deck_curate *d = &w->c->d;
  size_t band = (size_t)d->near_rows * sizeof(uint32_t);
  size_t at = d->exact ? HY_SIGN_EXACT : 0;
  int n = (int)d->near_bands;
  const pass all[] = {{EXACT, 0, HY_SIGN_EXACT, 1, 1},
                      {NEAR, at, (size_t)n * band, 1, 1},
                      {NEAR, at, band, n, 0}};

  if (d->exact)
    do_pass(w, &all[0]);
  if (d->near) {
    do_pass(w, &all[1]);
    do_pass(w, &all[2]);
  }
}

int
hy_curate_unique(hy_curate *c, const hy_curate_shard *shard, int64_t n,
                 int64_t count[3], const hy_comm *comm)
{
  work w = {.c = c, .comm = comm, .shard = shard};
  int err = hy_signs_open(&w.signs, c, shard, n, comm->rank, comm->size);

  memset(count, 0, 3 * sizeof *count);
  err = hy_agree(comm, err);
  if (err) {
    hy_signs_close(&w.signs);
    return err;
  }
  w.n_docs = w.signs.first[n];
  begin(&w);
  do_passes(&w);
  err = hy_agree(comm, w.signs.err);
  for (int64_t s = comm->rank; s < n && !err; s += comm->size)
    err = hy_file_write(shard[s].mark, w.mark + w.signs.first[s],
                        (size_t)shard[s].n_docs);
  for (int64_t i = 0; i < w.n_docs; i++)
    count[w.mark[i]]++;
  end(&w);
  return hy_agree(comm, err);
}
