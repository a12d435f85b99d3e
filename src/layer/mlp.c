/* Dense MLP with squared ReLU (So et al. 2021, arXiv:2109.08668), no gate. */
#include "layer/layer.h"

enum { NORM, UP, DOWN };

static int
mlp_check(const hy_cfg *cfg)
{
  return hy_need(cfg->d_ff, "model.d_ff", '-');
}

static void
mlp_params(hy_plan *p, const hy_cfg *cfg)
{
  hy_spec *s;

  hy_param(p, "norm.weight", HY_DIM(cfg->d_model));
  s = hy_param(p, "mixer.up_proj.weight", HY_DIM(cfg->d_ff, cfg->d_model));
  hy_units(hy_split(s, 0, HY_TP, 1), 0, "model.d_ff", 0);
  s = hy_param(p, "mixer.down_proj.weight", HY_DIM(cfg->d_model, cfg->d_ff));
  hy_units(hy_split(hy_residual(p, s), 1, HY_TP, 1), 0, "model.d_ff", 0);
}

static hy_tensor *
mlp_forward(hy_ctx *c, const hy_layer *l, hy_tensor *x)
{
  hy_tensor *h = hy_rmsnorm(c, x, hy_w(c, l, NORM), (float)l->cfg->norm_eps);

  h = hy_enter_tp(c, h); /* all tokens, own features */
  h = hy_linear(c, h, hy_w(c, l, UP));
  h = hy_relu2(c, h);
  h = hy_linear(c, h, hy_w(c, l, DOWN));
  return hy_add(c, x, hy_leave_tp(c, h));
}

const hy_layer_type hy_layer_mlp = {"mlp",      '-',         mlp_check,
                                    mlp_params, mlp_forward, NULL};
