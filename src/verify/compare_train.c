/* Kind train: optimizer steps on given tokens at given rates. */
#include "verify/compare.h"
#include "base/err.h"
#include "base/mem.h"
#include "data/cut.h"
#include "model/workspace.h"
#include "optim/lr.h"
#include "optim/trainer.h"

#include <stdlib.h>
#include <string.h>

/* tokens (steps, rows, seq_len); every row is a document and every next token
 * a target. */
typedef struct {
  const int32_t *token; /* of the current step */
  int64_t n_rows, seq_len, first, mine;
  int32_t *target, *start;
  float *weight;
  uint8_t *pad; /* none */
  hy_cut *cut;
} train_rows;

static int
get_rows(void *arg, int64_t i, hy_batch *b)
{
  train_rows *r = arg;

  (void)i;
  *b = (hy_batch){.n_rows = r->mine,
                  .seq_len = r->seq_len,
                  .n_tokens = r->mine * r->seq_len,
                  .token =
                      (int32_t *)(uintptr_t)(r->token + r->first * r->seq_len),
                  .target = r->target,
                  .weight = r->weight,
                  .seq_start = r->start,
                  .pad = r->pad,
                  .n_target = (double)(r->n_rows * (r->seq_len - 1)),
                  .n_docs = (double)r->n_rows,
                  .n_real = (double)(r->n_rows * r->seq_len)};
  for (int64_t t = 0; t < b->n_tokens; t++) {
    int last = t % r->seq_len == r->seq_len - 1;

    b->target[t] = last ? 0 : b->token[t + 1];
    b->weight[t] = last ? 0 : 1;
    b->seq_start[t] = (int32_t)(t - t % r->seq_len);
  }
  hy_cut_rows(r->cut, b, b);
  return HY_OK;
}

static int
new_rows(train_rows *r, const int64_t *dim, const hy_compare *k)
{
  hy_cut_layout l = hy_cut_layout_of(k->grid, k->deck->model.mamba_d_conv);
  const hy_comm *dp = &k->grid->dp;
  size_t n;

  *r = (train_rows){.n_rows = dim[1], .seq_len = dim[2]};
  r->first = r->n_rows * dp->rank / dp->size;
  r->mine = r->n_rows * (dp->rank + 1) / dp->size - r->first;
  n = (size_t)(r->mine * r->seq_len) + 1;
  r->target = hy_malloc(n * sizeof *r->target);
  r->start = hy_malloc(n * sizeof *r->start);
  r->weight = hy_malloc(n * sizeof *r->weight);
  r->pad = hy_calloc(n, sizeof *r->pad);
  return hy_cut_new(&r->cut, &l, r->mine, r->seq_len, 0);
}

static int
run_steps(hy_compare *k, hy_trainer *t, train_rows *rows, const int32_t *token,
          int64_t n_steps, hy_bag *bag)
{
  const hy_st_tensor *lr = hy_st_find(k->expected, "lr");
  hy_batch_source src = {1, get_rows, rows};
  int err = HY_OK;

  for (int64_t s = 0; s < n_steps && !err; s++) {
    hy_step_result r = {0};
    float rate;

    memcpy(&rate, (const char *)lr->data + 4 * s, 4);
    rows->token = token + s * rows->n_rows * rows->seq_len;
    err = hy_trainer_step(t, &src, s + 1, rate, &r);
    if (k->scheduled)
      hy_bag_get(bag, "lr", 0, 1, &n_steps)->f[s] =
          (float)hy_lr(&k->optim, s + 1, 1, 1);
    hy_bag_get(bag, "loss", 0, 1, &n_steps)->f[s] = (float)r.loss;
    hy_bag_get(bag, "grad_norm", 0, 1, &n_steps)->f[s] = (float)r.norm;
  }
  return err;
}

/* Scalars are the same on every rank; only weights are gathered. */
static void
put_final(hy_compare *k, hy_bag *bag)
{
  const hy_params *p = &k->model->params;
  hy_bag all = {0};

  hy_compare_params(&all, "final.", p, HY_PART_W);
  hy_bag_gather(&all, &k->grid->world);
  hy_bag_merge(bag, &all);
  hy_bag_free(&all);
}

int
hy_compare_train(hy_compare *k, hy_bag *bag)
{
  int64_t dim[4], n;
  int32_t *token = hy_compare_ids(k->expected, "tokens", &n);
  const hy_st_tensor *lr = hy_st_find(k->expected, "lr");
  hy_trainer t = {0};
  train_rows rows = {0};
  int err = HY_OK;

  if (!token || hy_compare_shape(k->expected, "tokens", dim) != 3 || !lr ||
      lr->dtype != HY_ST_F32 || lr->n != dim[0])
    err = hy_fail(HY_EDATA, "compare: a case of kind train needs tokens "
                            "(steps, rows, tokens) and lr (steps)");
  if (!err)
    err = hy_compare_check_ids("tokens", token, n, k->deck->model.vocab, 0);
  if (!err)
    err = new_rows(&rows, dim, k);
  if (!err)
    err = hy_agree(&k->grid->world,
                   hy_trainer_new(&t, k->model, k->grid, k->n_threads,
                                  hy_compare_most(k, rows.n_rows), rows.seq_len,
                                  HY_WS_TRAIN, 1));
  if (!err) {
    hy_adamw_set(&t.opt, &k->optim);
    err = run_steps(k, &t, &rows, token, dim[0], bag);
  }
  if (!err)
    put_final(k, bag);
  hy_trainer_free(&t);
  free(rows.target);
  free(rows.start);
  free(rows.weight);
  free(rows.pad);
  hy_cut_free(rows.cut);
  free(token);
  return err;
}
