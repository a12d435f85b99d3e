/* Kinds forward, packed and mtp: one forward and backward pass. */
#include "verify/compare.h"
#include "base/err.h"
#include "base/mem.h"
#include "data/cut.h"
#include "layer/piece.h"
#include "model/host.h"
#include "model/pipe.h"
#include "model/workspace.h"
#include "op/region.h"
#include "optim/bucket.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int32_t *
hy_compare_ids(const hy_st *expected, const char *name, int64_t *n)
{
  const hy_st_tensor *t = hy_st_find(expected, name);
  int32_t *id;

  if (!t || (t->dtype != HY_ST_I64 && t->dtype != HY_ST_I32))
    return NULL;
  id = hy_malloc((size_t)t->n * sizeof *id);
  for (int64_t i = 0; i < t->n; i++) {
    int64_t x = 0;

    if (t->dtype == HY_ST_I64) {
      memcpy(&x, (const char *)t->data + 8 * i, 8);
      id[i] = (int32_t)x;
    } else
      memcpy(&id[i], (const char *)t->data + 4 * i, 4);
  }
  *n = t->n;
  return id;
}

int
hy_compare_shape(const hy_st *expected, const char *name, int64_t dim[4])
{
  const hy_st_tensor *t = hy_st_find(expected, name);

  if (!t || t->n_dim > 4)
    return 0;
  for (int i = 0; i < t->n_dim; i++)
    dim[i] = t->dim[i];
  return t->n_dim;
}

int
hy_compare_check_ids(const char *name, const int32_t *id, int64_t n,
                     int64_t vocab, int32_t other)
{
  for (int64_t i = 0; i < n; i++)
    if (id[i] != other && (id[i] < 0 || id[i] >= vocab))
      return hy_fail(HY_EDATA,
                     "%s: id %d at %lld is not below the model's vocabulary "
                     "of %lld; another model?",
                     name, id[i], (long long)i, (long long)vocab);
  return HY_OK;
}

/* A run of consecutive elements of a tensor, which may span experts. */
static void
put_run(hy_bag *bag, const char *prefix, const hy_spec *s, const hy_piece *run,
        const float *x)
{
  int64_t each = hy_spec_size(s) / hy_spec_n_tensor(s);
  char name[HY_NAME_LEN], full[160];

  for (int64_t j = 0; j < run->n;) {
    int64_t e = (run->global + j) / each, at = (run->global + j) % each;
    int64_t n = run->n - j < each - at ? run->n - j : each - at;
    hy_bag_item *it;

    hy_spec_tensor_name(name, s, e);
    snprintf(full, sizeof full, "%s%s", prefix, name);
    it = hy_bag_get(bag, full, 0, s->n_dim - s->stacked, s->dim + s->stacked);
    memcpy(it->f + at, x + j, (size_t)n * sizeof *x);
    j += n;
  }
}

void
hy_compare_params(hy_bag *bag, const char *prefix, const hy_params *p, int part)
{
  char name[HY_NAME_LEN], full[160];
  hy_host host;

  hy_host_begin(&host, p, NULL, NULL);
  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *r = &p->ref[i];
    const hy_spec *s = r->spec;
    const float *x;
    hy_pieces pieces;
    hy_piece run;
    hy_held held;

    if (s->kind != HY_WEIGHT)
      continue;
    for (int64_t e = 0; e < hy_spec_n_tensor(s); e++) {
      hy_spec_tensor_name(name, s, e);
      snprintf(full, sizeof full, "%s%s", prefix, name);
      hy_bag_get(bag, full, 0, s->n_dim - s->stacked, s->dim + s->stacked);
    }
    x = hy_host_read(&host, part, i, &held);
    hy_pieces_of(&pieces, s, &r->shard);
    for (int64_t k = 0; hy_own_next(&pieces, &r->own, &k, &run);)
      put_run(bag, prefix, s, &run, x + held.at + (run.local - held.from));
  }
  hy_host_end(&host);
}

/* Where the rows of this rank lie among all, for what the watch sees. */
typedef struct {
  hy_bag *bag;
  const hy_compare *k;
  const hy_ctx *ctx;
  int64_t n_all, first; /* tokens in all; of them before mine */
} catcher;

/* "hidden" of layer 3 is hidden.3; "router.x" of inner block j at depth k is
 * mtp.router.k.j.x. */
static void
full_name(const catcher *w, int64_t layer, const char *name, char out[160])
{
  const hy_plan *p = &w->k->model->plan;
  int depth = w->ctx->depth;
  const char *dot = strchr(name, '.');
  long long j = layer;

  if (depth == 0 && layer < 0)
    snprintf(out, 160, "%s", name);
  else if (depth == 0 && dot)
    snprintf(out, 160, "%.*s.%lld%s", (int)(dot - name), name, j, dot);
  else if (depth == 0)
    snprintf(out, 160, "%s.%lld", name, j);
  else if (!strcmp(name, "hidden.norm"))
    snprintf(out, 160, "mtp.hidden.%d", depth);
  else if (layer < 0)
    snprintf(out, 160, "mtp.%s.%d", name, depth);
  else
    snprintf(out, 160, "mtp.%.*s.%d.%lld%s", dot ? (int)(dot - name) : 40, name,
             depth, (long long)(layer - p->n_layer) % p->n_mtp_layer,
             dot ? dot : "");
}

/* Row of the case that row r of t is: this rank has some rows of the batch, of
 * these its pieces over cp, of these perhaps a slice over tp. */
static int64_t
global_row(const catcher *w, const hy_tensor *t, int64_t r)
{
  const hy_comm *cp = &w->k->grid->cp;

  return w->first + hy_cut_global(w->ctx->batch->seq_len, cp->size, cp->rank,
                                  hy_token_at(w->ctx, t->dim[0]) + r);
}

/* Columns of all tp ranks, and of those before mine. */
static int64_t
all_columns(const hy_comm *tp, int64_t mine, int64_t *first)
{
  int64_t *n = hy_calloc((size_t)tp->size, sizeof *n), sum = 0;

  n[tp->rank] = mine;
  hy_sum_i64(tp, n, tp->size);
  *first = 0;
  for (int i = 0; i < tp->size; i++) {
    *first += i < tp->rank ? n[i] : 0;
    sum += n[i];
  }
  free(n);
  return sum;
}

static void
show(void *arg, int64_t layer, const char *name, const hy_tensor *t,
     unsigned axis)
{
  catcher *w = arg;
  const hy_comm *tp = &w->k->grid->tp;
  int64_t cols = hy_cols(t), all = cols, first = 0;
  size_t bytes = hy_bytes(HY_F32, cols); /* an int32 has as many */
  char full[160], *here, *row;
  hy_bag_item *it;

  if (axis == HY_TP) /* each rank has its own columns */
    all = all_columns(tp, cols, &first);
  full_name(w, layer, name, full);
  it =
      hy_bag_get(w->bag, full, t->fmt == HY_I32, 2, (int64_t[]){w->n_all, all});
  if (axis != HY_TP && tp->rank != 0 && t->dim[0] == w->ctx->batch->n_tokens)
    return; /* the same as on tp rank 0 */
  row = here = hy_tensor_look(w->ctx->be, t);
  for (int64_t r = 0; r < t->dim[0]; r++, row += bytes) {
    int64_t at = global_row(w, t, r) * all + first;

    memcpy(t->fmt == HY_I32 ? (void *)(it->i + at) : it->f + at, row, bytes);
  }
  free(here);
}

/* Where the choices that routers take are put together and lie; a router reads
 * them before the next one asks. */
typedef struct {
  catcher *w;
  int32_t *host, *there;
} route_taker;

/* Choices of another run for the rows of this rank. */
static const int32_t *
take_route(void *arg, const hy_ctx *c, int64_t rows, int64_t top_k)
{
  route_taker *r = arg;
  hy_tensor t = {.n_dim = 2, .dim = {rows, top_k, 1, 1}};
  const hy_bag_item *it;
  char full[160];

  full_name(r->w, c->layer, "router.indices", full);
  it = hy_bag_find(r->w->k->route, full);
  if (!it)
    return NULL;
  for (int64_t i = 0; i < rows; i++)
    memcpy(r->host + i * top_k, it->i + global_row(r->w, &t, i) * top_k,
           (size_t)top_k * sizeof *it->i);
  c->be->mem->load(r->there, r->host, (size_t)(rows * top_k) * sizeof *it->i);
  return r->there;
}

static int
new_taker(route_taker *r, catcher *w, hy_ctx *c, int64_t n_tokens)
{
  const hy_compare *k = w->k;
  size_t n = (size_t)(n_tokens * k->deck->model.top_k) * sizeof *r->host;

  *r = (route_taker){.w = w};
  if (!k->route)
    return HY_OK;
  r->host = hy_malloc(n);
  r->there = hy_backend_of(k->grid)->mem->get(n);
  c->choose = take_route;
  c->choose_arg = r;
  return r->there ? HY_OK : hy_fail(HY_ERES, "memory: no room for the routing");
}

static void
free_taker(route_taker *r)
{
  if (r->there)
    hy_backend_of(r->w->k->grid)->mem->put(r->there);
  free(r->host);
}

/* All rows of the case as one batch. */
typedef struct {
  hy_batch all, mine;
  int64_t first_row;
  int32_t *start; /* seq_start of the rows of this dp rank */
  hy_cut *cut;
} case_rows;

static void
new_columns(hy_batch *b, int64_t n_rows, int64_t seq_len, int n_ahead)
{
  *b = (hy_batch){.n_rows = n_rows,
                  .seq_len = seq_len,
                  .n_tokens = n_rows * seq_len,
                  .n_ahead = n_ahead};
  hy_batch_columns(b);
}

/* Documents: rows, cut further where document_ids changes. Labels are not
 * shifted: position t is judged by label[t+1] of its document. */
static void
fill_columns(hy_batch *b, const int32_t *id, const int32_t *label,
             const int32_t *doc)
{
  for (int64_t t = 0; t < b->n_tokens; t++) {
    int row_start = t % b->seq_len == 0;
    int start = row_start || (doc && doc[t] != doc[t - 1]);

    b->token[t] = id[t];
    b->seq_start[t] = start ? (int32_t)t : b->seq_start[t - 1];
    b->n_docs += start;
    if (start)
      continue;
    b->weight[t - 1] = label[t] != -100;
    b->target[t - 1] = label[t] != -100 ? label[t] : 0;
    b->n_target += b->weight[t - 1];
  }
  b->n_real = (double)b->n_tokens;
  hy_batch_ahead(b);
  for (int k = 0; k < b->n_ahead; k++)
    for (int64_t t = 0; t < b->n_tokens; t++)
      b->n_ahead_target[k] += b->ahead[k].weight[t];
}

/* Borders from cu_seqlens (one packed row) where document_ids is absent. */
static int32_t *
documents(const hy_st *e, int64_t n)
{
  int64_t n_id, n_cu;
  int32_t *doc = hy_compare_ids(e, "document_ids", &n_id), *cu;

  if (doc && n_id == n)
    return doc;
  free(doc);
  cu = hy_compare_ids(e, "cu_seqlens", &n_cu);
  if (!cu)
    return NULL;
  doc = hy_calloc((size_t)n, sizeof *doc);
  for (int64_t d = 0; d + 1 < n_cu; d++)
    for (int64_t t = cu[d]; t < cu[d + 1] && t < n; t++)
      doc[t] = (int32_t)d;
  free(cu);
  return doc;
}

static int
given_rows(hy_compare *k, case_rows *rows)
{
  new_columns(&rows->all, k->n_rows, k->seq_len, k->model->plan.n_depth);
  fill_columns(&rows->all, k->id, k->id, NULL);
  return HY_OK;
}

static int
read_rows(hy_compare *k, case_rows *rows)
{
  int64_t dim[4], n = 0, n_label = 0;
  int32_t *id = hy_compare_ids(k->expected, "input_ids", &n), *label, *doc;
  int n_ahead = k->model->plan.n_depth, err = HY_OK;

  if (!id || hy_compare_shape(k->expected, "input_ids", dim) != 2)
    err = hy_fail(HY_EDATA, "compare: the expected file has no input_ids of "
                            "shape (rows, tokens); what made it?");
  label = hy_compare_ids(k->expected, "labels", &n_label);
  if (!err && label && n_label != n)
    err = hy_fail(HY_EDATA, "compare: labels and input_ids differ in shape");
  if (!err)
    err = hy_compare_check_ids("input_ids", id, n, k->deck->model.vocab, 0);
  if (!err && label)
    err = hy_compare_check_ids("labels", label, n, k->deck->model.vocab, -100);
  if (!err) {
    doc = documents(k->expected, n);
    new_columns(&rows->all, dim[0], dim[1], n_ahead);
    fill_columns(&rows->all, id, label ? label : id, doc);
    free(doc);
  }
  free(id);
  free(label);
  return err;
}

/* The share of this dp rank, the first rows if they do not divide; of these,
 * what this rank has over cp. */
static int
take_mine(const hy_compare *k, case_rows *rows)
{
  hy_batch *a = &rows->all, *m = &rows->mine;
  int64_t lo = a->n_rows * k->grid->dp.rank / k->grid->dp.size;
  int64_t hi = a->n_rows * (k->grid->dp.rank + 1) / k->grid->dp.size;
  hy_cut_layout l = hy_cut_layout_of(k->grid, k->deck->model.mamba_d_conv);
  int64_t at = lo * a->seq_len;
  int err;

  rows->first_row = lo;
  *m = *a;
  m->n_rows = hi - lo;
  m->n_tokens = m->n_rows * a->seq_len;
  m->token += at;
  m->target += at;
  m->weight += at;
  m->pad += at;
  rows->start = hy_malloc((size_t)m->n_tokens * sizeof *rows->start + 4);
  m->seq_start = rows->start;
  for (int64_t t = 0; t < m->n_tokens; t++)
    m->seq_start[t] = a->seq_start[at + t] - (int32_t)at;
  for (int d = 0; d < m->n_ahead; d++) {
    m->ahead[d].token += at;
    m->ahead[d].target += at;
    m->ahead[d].weight += at;
  }
  err = hy_cut_new(&rows->cut, &l, m->n_rows, m->seq_len, m->n_ahead);
  if (!err)
    hy_cut_rows(rows->cut, m, m);
  return err;
}

static void
put_scalar(hy_bag *bag, const char *name, double x)
{
  hy_bag_get(bag, name, 0, 1, (int64_t[]){1})->f[0] = (float)x;
}

static void
put_losses(hy_compare *k, const hy_batch *b, hy_losses *l, hy_bag *bag)
{
  int n_depth = k->model->plan.n_depth;
  double total;
  char name[64];

  hy_losses_sum(l, k->grid);
  total = l->ce / fmax(b->n_target, 1);
  if (n_depth)
    put_scalar(bag, "loss.main", total);
  for (int d = 0; d < n_depth; d++) {
    double x = l->mtp[d] / fmax(b->n_ahead_target[d], 1);

    snprintf(name, sizeof name, "mtp.loss.%d", d + 1);
    put_scalar(bag, name, x);
    total += k->deck->model.mtp_scale / n_depth * x;
  }
  put_scalar(bag, "loss", total + l->aux);
}

static int
get_mine(void *arg, int64_t i, hy_batch *b)
{
  const case_rows *rows = arg;

  (void)i; /* there is one */
  *b = rows->mine;
  return HY_OK;
}

/* One pass over the rows of this rank; everything on its way goes into the
 * bag. \param l  in backend memory */
static int
run_pass(hy_compare *k, case_rows *rows, hy_bag *bag, hy_losses *l)
{
  hy_batch_source src = {1, get_mine, rows};
  catcher w = {.bag = bag,
               .k = k,
               .n_all = rows->all.n_tokens,
               .first = rows->first_row * rows->all.seq_len};
  route_taker taker = {0};
  hy_pipe pipe = {0};
  hy_batch last;
  int err = hy_pipe_new(&pipe, k->model, k->grid, k->n_threads,
                        hy_compare_most(k, rows->all.n_rows),
                        rows->mine.seq_len, HY_WS_TRAIN, 1);

  if (!err) {
    w.ctx = pipe.ctx;
    err = new_taker(&taker, &w, pipe.ctx, rows->mine.n_tokens);
    pipe.ctx->watch = show;
    pipe.ctx->watch_arg = &w;
  }
  err = hy_agree(&k->grid->world, err);
  if (!err)
    err = hy_pipe_run(&pipe, &src, 1, l, &last);
  hy_backend_of(k->grid)->mem->wait();
  free_taker(&taker);
  hy_pipe_free(&pipe);
  return err;
}

int
hy_compare_forward(hy_compare *k, hy_bag *bag)
{
  const hy_mem *mem = hy_backend_of(k->grid)->mem;
  hy_losses loss = {0}, *there = mem->get(sizeof *there);
  float *scratch = mem->get(HY_BUCKET * sizeof *scratch);
  case_rows rows = {0};
  int err = k->expected ? read_rows(k, &rows) : given_rows(k, &rows);

  if (!err && (!there || !scratch))
    err = hy_fail(HY_ERES, "memory: no room for sums over ranks");
  if (!err)
    err = take_mine(k, &rows);
  err = hy_agree(&k->grid->world, err);
  if (!err)
    err = run_pass(k, &rows, bag, there);
  if (!err) {
    mem->read(&loss, there, sizeof loss);
    hy_reduce_grads(&k->model->params, k->grid, scratch);
    hy_compare_params(bag, "grad.", &k->model->params, HY_PART_G);
    hy_bag_gather(bag, &k->grid->world);
    put_losses(k, &rows.all, &loss, bag);
  }
  if (there)
    mem->put(there);
  if (scratch)
    mem->put(scratch);
  hy_cut_free(rows.cut);
  free(rows.start);
  hy_batch_columns_free(&rows.all);
  return err;
}
