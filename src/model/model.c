#include "model/model.h"
#include "base/err.h"
#include "layer/layer.h"
#include "layer/piece.h"
#include "model/stage.h"
#include "op/region.h"
#include "op/replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int make_params(hy_params *p, const hy_plan *plan, const hy_grid *grid,
                        int how);

static int
model_new(hy_model *m, const hy_cfg *cfg, const hy_grid *grid,
          make_params *make, int how)
{
  int err;

  *m = (hy_model){.cfg = cfg};
  err = hy_plan_new(&m->plan, cfg);
  if (!err)
    err = hy_stage_cut(&m->plan, grid);
  if (!err)
    err = hy_pieces_check(&m->plan, grid);
  if (!err)
    err = make(&m->params, &m->plan, grid, how);
  if (err) {
    hy_model_free(m);
    return err;
  }
  m->weight = hy_malloc((size_t)m->plan.n_spec * sizeof(hy_tensor *));
  for (int i = 0; i < m->plan.n_spec; i++)
    m->weight[i] = &m->params.ref[i].t;
  return HY_OK;
}

int
hy_model_new(hy_model *m, const hy_cfg *cfg, const hy_grid *grid, int with_grad)
{
  return model_new(m, cfg, grid, hy_params_new, with_grad);
}

int
hy_model_plan(hy_model *m, const hy_cfg *cfg, const hy_grid *grid,
              int with_grad)
{
  return model_new(m, cfg, grid, hy_params_plan, with_grad);
}

static int
check_zero(int how)
{
  if ((how & ~HY_OFFLOAD) != 2)
    return HY_OK;
  return hy_fail(HY_EDECK, "optim.zero=2: use 1 (moments are shared out) or 3 "
                           "(also gradients and weights)");
}

int
hy_model_new_zero(hy_model *m, const hy_cfg *cfg, const hy_grid *grid, int how)
{
  int err = check_zero(how);

  *m = (hy_model){0};
  if (err)
    return err;
  return model_new(m, cfg, grid, hy_params_new_zero, how);
}

int
hy_model_plan_zero(hy_model *m, const hy_cfg *cfg, const hy_grid *grid, int how)
{
  int err = check_zero(how);

  *m = (hy_model){0};
  if (err)
    return err;
  return model_new(m, cfg, grid, hy_params_plan_zero, how);
}

void
hy_model_free(hy_model *m)
{
  free(m->weight);
  hy_params_free(&m->params);
  hy_plan_free(&m->plan);
  *m = (hy_model){0};
}

int
hy_model_recompute(hy_model *m, const char *words)
{
  char name[32];
  int n = 0;

  m->recompute[0] = '\0';
  for (const char *at = words; *at; at += n + (int)strspn(at + n, ", ")) {
    n = (int)strcspn(at, ", ");
    snprintf(name, sizeof name, "%.*s", n, at);
    if (hy_layer_letters(name, m->recompute, sizeof m->recompute))
      continue;
    return hy_fail(HY_EDECK,
                   "optim.recompute=%.64s: '%s' is not known; give none, all, "
                   "or names between commas of mamba, attention, mlp, moe",
                   words, name);
  }
  return HY_OK;
}

static hy_tensor *
layer_text(hy_ctx *c, const void *arg, hy_tensor *x)
{
  const hy_layer *l = arg;

  return l->type->forward(c, l, x);
}

static hy_tensor *
run_layer(hy_ctx *c, const hy_model *m, const hy_layer *l, hy_tensor *x)
{
  hy_layer_begin(c, l->index, HY_UNIT_LAYER + (int)l->index, HY_UNIT_NONE);
  if (strchr(m->recompute, l->type->letter))
    return hy_replay(c, layer_text, l, x);
  return layer_text(c, l, x);
}

/* Rows of the embedding; each tp rank has some of the table. */
static hy_tensor *
embed(hy_ctx *c, const hy_model *m, const int32_t *token)
{
  const hy_param_ref *table = &m->params.ref[m->plan.embed];
  hy_tensor *x = hy_embedding(c, token, c->batch->n_tokens,
                              m->weight[m->plan.embed], table->shard.global[0]);

  return hy_leave_tp(c, x);
}

/* What the first layer of this stage reads: the embedding, or what the stage
 * before has sent. */
static hy_tensor *
stage_input(hy_ctx *c, const hy_model *m)
{
  const hy_batch *b = c->batch;
  int64_t rows = c->seg ? b->n_tokens : hy_stream_rows(c->grid, b->n_tokens);
  hy_tensor *x;

  if (c->grid->pp.rank > 0)
    return c->pipe.in = hy_from(c, c->pipe.from, rows, m->cfg->d_model);
  hy_layer_begin(c, -1, HY_UNIT_EMBED, HY_UNIT_NONE);
  x = embed(c, m, hy_columns(c)->token);
  hy_watch(c, "hidden.embed", x, 0);
  return x;
}

hy_tensor *
hy_model_trunk(hy_ctx *c, const hy_model *m)
{
  const hy_plan *p = &m->plan;
  const hy_comm *pp = &c->grid->pp;
  hy_tensor *x;

  c->weight = m->weight;
  c->depth = 0;
  x = stage_input(c, m);
  for (int i = p->first[pp->rank]; i < p->first[pp->rank + 1]; i++) {
    x = run_layer(c, m, &p->layer[i], x);
    hy_watch(c, "hidden", x, 0);
  }
  if (pp->rank < pp->size - 1) {
    hy_keep(c, x); /* where its gradient will come */
    c->pipe.out = x;
    return NULL;
  }
  hy_layer_begin(c, -1, HY_UNIT_OUT, HY_UNIT_NONE);
  x = hy_rmsnorm(c, x, m->weight[p->norm_f], (float)m->cfg->norm_eps);
  hy_watch(c, "hidden.norm_f", x, 0);
  return x;
}

hy_tensor *
hy_model_logits(hy_ctx *c, const hy_model *m, hy_tensor *h)
{
  return hy_linear(c, hy_enter_tp(c, h), m->weight[m->plan.head]);
}

/* Depth k (1-based) from the hidden state of depth k-1. */
static hy_tensor *
predict_depth(hy_ctx *c, const hy_model *m, int k, hy_tensor *h)
{
  const hy_plan *p = &m->plan;
  int block = k <= p->n_mtp_block ? k - 1 : 0;
  float eps = (float)m->cfg->norm_eps;
  hy_tensor *e, *x;

  c->depth = k;
  hy_layer_begin(c, -1, HY_UNIT_EMBED, HY_UNIT_MTP + block);
  e = embed(c, m, hy_columns(c)->ahead[k - 1].token);
  e = hy_rmsnorm(c, e, m->weight[p->mtp[block].enorm], eps);
  h = hy_rmsnorm(c, h, m->weight[p->mtp[block].hnorm], eps);
  x = hy_linear(c, hy_concat(c, e, h), m->weight[p->mtp[block].eh_proj]);
  for (int j = 0; j < p->n_mtp_layer; j++)
    x = run_layer(c, m, &p->layer[p->n_layer + block * p->n_mtp_layer + j], x);
  hy_layer_begin(c, -1, HY_UNIT_MTP + block, HY_UNIT_NONE);
  x = hy_rmsnorm(c, x, m->weight[p->mtp[block].norm], eps);
  hy_watch(c, "hidden.norm", x, 0);
  return x;
}

static void
head_loss(hy_ctx *c, const hy_model *m, hy_tensor *h, const int32_t *target,
          const float *weight, double factor, const double *over, double *value)
{
  int64_t first = m->params.ref[m->plan.head].shard.global[0];
  hy_tensor *z;

  hy_layer_begin(c, -1,
                 m->plan.head == m->plan.embed ? HY_UNIT_EMBED : HY_UNIT_OUT,
                 HY_UNIT_NONE);
  z = hy_model_logits(c, m, h);
  hy_watch(c, "logits", z, HY_TP);
  hy_ce(c, z, hy_share_stat(c, z, target, weight, first), target, weight, first,
        factor, over, value);
}

void
hy_losses_sum(hy_losses *l, const hy_grid *grid)
{
  double sum[HY_AHEAD_MAX + 2] = {0};

  sum[0] = l->aux;          /* each rank has its tokens' and its layers' part */
  if (grid->tp.rank == 0) { /* the others repeat it */
    sum[1] = l->ce;
    memcpy(sum + 2, l->mtp, sizeof l->mtp);
  }
  hy_sum_f64(&grid->world, sum, HY_AHEAD_MAX + 2);
  l->aux = sum[0];
  l->ce = sum[1];
  memcpy(l->mtp, sum + 2, sizeof l->mtp);
}

void
hy_model_loss(hy_ctx *c, const hy_model *m, int with_mtp, hy_losses *l)
{
  const hy_batch *b = hy_columns(c);
  int n_depth = with_mtp ? m->plan.n_depth : 0;
  hy_tensor *h;

  c->aux = c->taping && with_mtp ? &l->aux : NULL;
  c->aux_scale = 1;
  h = hy_model_trunk(c, m);
  if (!h) { /* the next stage goes on */
    hy_layers_end(c);
    return;
  }
  if (n_depth)
    hy_keep(c, h); /* the head and depth 1 both read it */
  head_loss(c, m, h, b->target, b->weight, 1, hy_denominator(c, HY_N_TARGET),
            &l->ce);
  for (int k = 1; k <= n_depth; k++) {
    c->aux_scale = 1.0f / (float)(m->plan.n_depth / m->plan.n_mtp_block);
    h = predict_depth(c, m, k, h);
    hy_keep(c, h);
    head_loss(c, m, h, b->ahead[k - 1].target, b->ahead[k - 1].weight,
              m->cfg->mtp_scale / n_depth,
              hy_denominator(c, HY_N_AHEAD + k - 1), &l->mtp[k - 1]);
  }
  c->depth = 0;
  hy_layers_end(c);
}
