#include "verify/bag.h"
#include "base/err.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const hy_bag_item *
hy_bag_find(const hy_bag *b, const char *name)
{
  for (int i = 0; i < b->n; i++)
    if (!strcmp(b->item[i].name, name))
      return &b->item[i];
  return NULL;
}

hy_bag_item *
hy_bag_get(hy_bag *b, const char *name, int is_id, int n_dim,
           const int64_t *dim)
{
  hy_bag_item *it;

  for (int i = 0; i < b->n; i++)
    if (!strcmp(b->item[i].name, name))
      return &b->item[i];
  if (b->n == b->cap) {
    b->cap = b->cap ? 2 * b->cap : 64;
    b->item = hy_realloc(b->item, (size_t)b->cap * sizeof *b->item);
  }
  it = &b->item[b->n++];
  *it = (hy_bag_item){.is_id = is_id, .n_dim = n_dim, .n = 1};
  snprintf(it->name, sizeof it->name, "%s", name);
  for (int i = 0; i < n_dim; i++)
    it->n *= it->dim[i] = dim[i];
  if (is_id)
    it->i = hy_calloc((size_t)it->n, sizeof *it->i);
  else
    it->f = hy_calloc((size_t)it->n, sizeof *it->f);
  return it;
}

void
hy_bag_free(hy_bag *b)
{
  for (int i = 0; i < b->n; i++) {
    free(b->item[i].f);
    free(b->item[i].i);
  }
  free(b->item);
  *b = (hy_bag){0};
}

/* What an item is, without its values. */
typedef struct {
  char name[160];
  int64_t dim[4];
  int32_t is_id, n_dim;
} item_head;

/* Stages of a pipeline have made different items: afterwards every rank has
 * all of them, in the same order. */
static void
unite(hy_bag *b, const hy_comm *comm)
{
  int64_t *at = hy_calloc((size_t)comm->size + 1, sizeof *at);
  item_head *all;
  hy_bag whole = {0};

  at[comm->rank + 1] = b->n;
  hy_sum_i64(comm, at + 1, comm->size);
  for (int r = 0; r < comm->size; r++)
    at[r + 1] += at[r];
  all = hy_calloc((size_t)at[comm->size], sizeof *all);
  for (int i = 0; i < b->n; i++) {
    item_head *h = &all[at[comm->rank] + i];

    memcpy(h->name, b->item[i].name, sizeof h->name);
    memcpy(h->dim, b->item[i].dim, sizeof h->dim);
    h->is_id = b->item[i].is_id;
    h->n_dim = b->item[i].n_dim;
  }
  hy_all_gather(comm, all, at, sizeof *all);
  for (int64_t i = 0; i < at[comm->size]; i++) {
    const hy_bag_item *mine = hy_bag_find(b, all[i].name);
    hy_bag_item *it;

    if (hy_bag_find(&whole, all[i].name))
      continue;
    it =
        hy_bag_get(&whole, all[i].name, all[i].is_id, all[i].n_dim, all[i].dim);
    if (mine && mine->f)
      memcpy(it->f, mine->f, (size_t)it->n * sizeof *it->f);
    else if (mine)
      memcpy(it->i, mine->i, (size_t)it->n * sizeof *it->i);
  }
  hy_bag_free(b);
  *b = whole;
  free(all);
  free(at);
}

static void
sum_ids(int32_t *id, int64_t n, const hy_comm *comm)
{
  enum { FEW = 4096 };
  int64_t wide[FEW];

  for (int64_t at = 0; at < n; at += FEW) {
    int m = (int)(n - at < FEW ? n - at : FEW);

    for (int i = 0; i < m; i++)
      wide[i] = id[at + i];
    hy_sum_i64(comm, wide, m);
    for (int i = 0; i < m; i++)
      id[at + i] = (int32_t)wide[i];
  }
}

void
hy_bag_gather(hy_bag *b, const hy_comm *ranks)
{
  hy_comm host = hy_comm_host(ranks), *comm = &host;

  if (comm->size == 1)
    return;
  unite(b, comm);
  for (int i = 0; i < b->n; i++) {
    hy_bag_item *it = &b->item[i];
    float *scratch;

    if (it->is_id) {
      sum_ids(it->i, it->n, comm);
      continue;
    }
    scratch = hy_malloc((size_t)it->n * sizeof *scratch);
    hy_sum_f32(comm, it->f, scratch, (size_t)it->n);
    free(scratch);
  }
}

void
hy_bag_merge(hy_bag *b, const hy_bag *from)
{
  for (int i = 0; i < from->n; i++) {
    const hy_bag_item *it = &from->item[i];
    hy_bag_item *to = hy_bag_get(b, it->name, it->is_id, it->n_dim, it->dim);

    if (it->is_id)
      memcpy(to->i, it->i, (size_t)it->n * sizeof *to->i);
    else
      memcpy(to->f, it->f, (size_t)it->n * sizeof *to->f);
  }
}

int
hy_bag_write(const hy_bag *b, const char *path)
{
  hy_st_writer *w = hy_st_writer_new(path);
  int err;

  for (int i = 0; i < b->n; i++)
    hy_st_declare(w, b->item[i].name, b->item[i].is_id ? HY_ST_I32 : HY_ST_F32,
                  b->item[i].n_dim, b->item[i].dim);
  err = hy_st_begin(w, 1, NULL);
  for (int k = 0; k < b->n && !err; k++) {
    const hy_bag_item *it = &b->item[hy_st_order(w, k)];

    err = hy_st_put(w, it->is_id ? (const void *)it->i : it->f,
                    4 * (size_t)it->n);
  }
  if (!err)
    err = hy_st_commit(w);
  hy_st_writer_free(w);
  return err;
}
