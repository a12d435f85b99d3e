/* Mixture of experts with a sigmoid router, a correction bias instead of a
 * large balance loss (Wang et al. 2024, arXiv:2408.15664), one shared expert,
 * and routed experts that may work in a latent width (LatentMoE).
 *
 * Each tp rank routes its slice of the tokens, with all features; only the
 * shared expert is cut as an MLP is. */
#include "layer/layer.h"

enum { NORM, GATE, BIAS, UP, DOWN, AFTER }; /* AFTER: shared, then latent */

static int
moe_check(const hy_cfg *cfg)
{
  int err = hy_need(cfg->n_experts, "model.n_experts", 'E');

  if (!err)
    err = hy_need(cfg->top_k, "model.top_k", 'E');
  if (!err)
    err = hy_need(cfg->d_expert, "model.d_expert", 'E');
  if (!err)
    err = hy_need_multiple(cfg->n_experts, "model.n_experts", cfg->n_group,
                           "model.n_group");
  if (!err && cfg->topk_group > cfg->n_group)
    err = hy_fail(HY_EDECK,
                  "model.topk_group=%lld: larger than model.n_group=%lld",
                  (long long)cfg->topk_group, (long long)cfg->n_group);
  if (!err && cfg->top_k > cfg->n_experts / cfg->n_group * cfg->topk_group)
    err = hy_fail(HY_EDECK,
                  "model.top_k=%lld: larger than the %lld experts a token may "
                  "choose from; lower it",
                  (long long)cfg->top_k,
                  (long long)(cfg->n_experts / cfg->n_group * cfg->topk_group));
  return err;
}

static void
moe_params(hy_plan *p, const hy_cfg *cfg)
{
  int64_t d = cfg->d_model, n = cfg->n_experts, f = cfg->d_expert;
  int64_t width = cfg->d_latent ? cfg->d_latent : d;
  hy_spec *s;

  hy_param(p, "norm.weight", HY_DIM(d));
  s = hy_param(p, "mixer.gate.weight", HY_DIM(n, d));
  s->partial |= HY_TP;
  s->precise = 1;
  s = hy_param(p, "mixer.gate.e_score_correction_bias", HY_DIM(n));
  s->kind = HY_STATISTIC;
  s->init = HY_INIT_ZERO;
  s->keep_fp32 = 1;
  s = hy_param(p, "mixer.experts.%d.up_proj.weight", HY_DIM(n, f, width));
  s->stacked = 1;
  hy_units(hy_split(s, 0, HY_EP, 1), 0, "model.n_experts", 0);
  s = hy_param(p, "mixer.experts.%d.down_proj.weight", HY_DIM(n, width, f));
  s->stacked = 1;
  hy_split(cfg->d_latent ? s : hy_residual(p, s), 0, HY_EP, 1);
  hy_units(s, 0, "model.n_experts", 0);
  if (cfg->d_shared) {
    s = hy_param(p, "mixer.shared_experts.up_proj.weight",
                 HY_DIM(cfg->d_shared, d));
    hy_units(hy_split(s, 0, HY_TP, 1), 0, "model.d_shared", 0);
    s = hy_residual(p, hy_param(p, "mixer.shared_experts.down_proj.weight",
                                HY_DIM(d, cfg->d_shared)));
    hy_units(hy_split(s, 1, HY_TP, 1), 0, "model.d_shared", 0);
  }
  if (cfg->d_latent) {
    s = hy_param(p, "mixer.fc1_latent_proj.weight", HY_DIM(width, d));
    s->partial |= HY_TP;
    s = hy_param(p, "mixer.fc2_latent_proj.weight", HY_DIM(d, width));
    hy_residual(p, s)->partial |= HY_TP;
  }
}

static hy_route
moe_route(hy_ctx *c, const hy_layer *l, hy_tensor *h)
{
  const hy_cfg *cfg = l->cfg;
  hy_tensor *logits = hy_linear(c, h, hy_w(c, l, GATE));
  hy_route r =
      hy_router(c, logits, hy_w(c, l, BIAS), cfg->top_k, cfg->n_group,
                cfg->topk_group, cfg->norm_topk, (float)cfg->routed_scaling);

  hy_count(c, r.count, cfg->n_experts);
  hy_margin(c, r.margin);
  hy_watch(c, "router.logits", logits, 0);
  hy_watch_i32(c, "router.indices", r.idx, h->dim[0], cfg->top_k);
  hy_watch(c, "router.weights", r.weight, 0);
  if (c->aux && cfg->aux_coef > 0)
    hy_seq_aux(c, logits, cfg->top_k, (float)cfg->aux_coef * c->aux_scale,
               c->aux);
  return r;
}

static hy_tensor *
shared_expert(hy_ctx *c, const hy_layer *l, hy_tensor *h)
{
  h = hy_enter_tp(c, h);
  h = hy_linear(c, h, hy_w(c, l, AFTER));
  h = hy_relu2(c, h);
  h = hy_linear(c, h, hy_w(c, l, AFTER + 1));
  return hy_leave_tp(c, h);
}

static hy_tensor *
moe_forward(hy_ctx *c, const hy_layer *l, hy_tensor *x)
{
  const hy_cfg *cfg = l->cfg;
  int latent = cfg->d_shared ? AFTER + 2 : AFTER;
  hy_tensor *h = hy_rmsnorm(c, x, hy_w(c, l, NORM), (float)cfg->norm_eps);
  hy_tensor *own = hy_slice_tp(c, h), *y = own;
  hy_route route = moe_route(c, l, own);
  hy_tensor *shared = NULL;
  hy_dispatched d;

  hy_announce(c, &route, cfg->n_experts);
  if (cfg->d_shared)
    shared = shared_expert(c, l, h);
  if (cfg->d_latent)
    y = hy_linear(c, y, hy_w(c, l, latent));
  d = hy_dispatch(c, y, &route, cfg->n_experts);
  y = hy_grouped_linear(c, d.x, hy_w(c, l, UP), d.offset);
  y = hy_relu2(c, y);
  y = hy_grouped_linear(c, y, hy_w(c, l, DOWN), d.offset);
  y = hy_combine(c, y, &d);
  if (cfg->d_latent)
    y = hy_linear(c, y, hy_w(c, l, latent + 1));
  y = hy_unslice_tp(c, y);
  if (shared)
    y = hy_add(c, y, shared);
  return hy_add(c, x, y);
}

const hy_layer_type hy_layer_moe = {"moe",      'E',         moe_check,
                                    moe_params, moe_forward, NULL};
