/* Mamba-2 mixer (Dao and Gu 2024, arXiv:2405.21060).
 *
 * in_proj makes z (gate), x, B, C and dt side by side; the convolution runs
 * over x, B, C. The gate multiplies before the norm, the norm is taken in
 * groups. dt has no floor. */
#include "layer/layer.h"

enum { NORM, IN, CONV, CONV_BIAS, DT_BIAS, A_LOG, D, GATED_NORM, OUT };

static int
mamba_check(const hy_cfg *cfg)
{
  int err = hy_need(cfg->mamba_n_heads, "model.mamba_n_heads", 'M');

  if (!err)
    err = hy_need(cfg->mamba_d_head, "model.mamba_d_head", 'M');
  if (!err)
    err = hy_need(cfg->mamba_n_groups, "model.mamba_n_groups", 'M');
  if (!err)
    err = hy_need(cfg->mamba_d_state, "model.mamba_d_state", 'M');
  if (!err)
    err = hy_need_multiple(cfg->mamba_n_heads, "model.mamba_n_heads",
                           cfg->mamba_n_groups, "model.mamba_n_groups");
  return err;
}

/* Blocks z, x, B, C, dt (or x, B, C) along dimension 0, each cut by itself;
 * ranks may share a group of B and C. */
static void
split_parts(hy_spec *s, const hy_cfg *cfg, int first, int n)
{
  int64_t inner = cfg->mamba_n_heads * cfg->mamba_d_head;
  int64_t state = cfg->mamba_n_groups * cfg->mamba_d_state;
  int64_t part[5] = {inner, inner, state, state, cfg->mamba_n_heads};
  int64_t unit[5] = {cfg->mamba_d_head, cfg->mamba_d_head, cfg->mamba_d_state,
                     cfg->mamba_d_state, 1};

  hy_split(s, 0, HY_TP, 1);
  s->n_part = n;
  for (int i = 0; i < n; i++) {
    int group = first + i == 2 || first + i == 3; /* B, C */

    s->part[i] = part[first + i];
    s->unit[i] = unit[first + i];
    hy_units(s, i, group ? "model.mamba_n_groups" : "model.mamba_n_heads",
             group);
  }
}

static void
split_heads(hy_spec *s, int dim, int64_t unit)
{
  hy_units(hy_split(s, dim, HY_TP, unit), 0, "model.mamba_n_heads", 0);
}

static void
mamba_params(hy_plan *p, const hy_cfg *cfg)
{
  int64_t d = cfg->d_model, heads = cfg->mamba_n_heads;
  int64_t inner = heads * cfg->mamba_d_head;
  int64_t conv = inner + 2 * cfg->mamba_n_groups * cfg->mamba_d_state;
  hy_spec *s;

  hy_param(p, "norm.weight", HY_DIM(d));
  split_parts(
      hy_param(p, "mixer.in_proj.weight", HY_DIM(inner + conv + heads, d)), cfg,
      0, 5);
  s = hy_param(p, "mixer.conv1d.weight", HY_DIM(conv, 1, cfg->mamba_d_conv));
  s->precise = 1;
  split_parts(s, cfg, 1, 3);
  hy_uniform(s, cfg->mamba_d_conv);
  s = hy_param(p, "mixer.conv1d.bias", HY_DIM(conv));
  split_parts(s, cfg, 1, 3);
  hy_uniform(s, cfg->mamba_d_conv);
  s = hy_param(p, "mixer.dt_bias", HY_DIM(heads));
  s->init = HY_INIT_DT_BIAS;
  split_heads(s, 0, 1);
  s = hy_param(p, "mixer.A_log", HY_DIM(heads));
  s->init = HY_INIT_A_LOG;
  split_heads(s, 0, 1);
  s = hy_param(p, "mixer.D", HY_DIM(heads));
  s->init = HY_INIT_ONE;
  split_heads(s, 0, 1);
  split_heads(hy_param(p, "mixer.norm.weight", HY_DIM(inner)), 0,
              cfg->mamba_d_head);
  split_heads(
      hy_residual(p, hy_param(p, "mixer.out_proj.weight", HY_DIM(d, inner))), 1,
      cfg->mamba_d_head);
}

/* Norm of y silu(z) in groups, which may be wider than the own features. */
static hy_tensor *
group_norm(hy_ctx *c, const hy_layer *l, hy_tensor *y, hy_tensor *z,
           int64_t n_groups)
{
  const hy_cfg *cfg = l->cfg;
  int64_t own = hy_cols(y);
  int64_t group = cfg->mamba_n_heads / cfg->mamba_n_groups * cfg->mamba_d_head;
  hy_tensor *w = hy_w(c, l, GATED_NORM), *s;
  float eps = (float)cfg->norm_eps;

  if (own >= group)
    return hy_gated_rmsnorm(c, y, z, w, n_groups, eps);
  y = hy_gate(c, y, z);
  s = hy_sum_near(c, hy_sum_squares(c, y), (int)(group / own));
  return hy_scaled_norm(c, y, s, w, group, eps);
}

static hy_tensor *
mamba_forward(hy_ctx *c, const hy_layer *l, hy_tensor *x)
{
  const hy_cfg *cfg = l->cfg;
  float eps = (float)cfg->norm_eps;
  hy_tensor *a_log = hy_w(c, l, A_LOG), *h, *z, *u, *dt, *b, *cc, *y;
  int64_t inner = a_log->dim[0] * cfg->mamba_d_head;
  int64_t conv = hy_w(c, l, CONV)->dim[0], state = (conv - inner) / 2;
  int64_t n_groups = state / cfg->mamba_d_state;

  h = hy_rmsnorm(c, x, hy_w(c, l, NORM), eps);
  h = hy_enter_tp(c, h); /* all tokens, own heads */
  h = hy_linear(c, h, hy_w(c, l, IN));
  z = hy_cols_of(c, h, 0, inner);
  u = hy_cols_of(c, h, inner, conv);
  dt = hy_cols_of(c, h, inner + conv, a_log->dim[0]);
  u = hy_conv1d(c, u, hy_w(c, l, CONV), hy_w(c, l, CONV_BIAS),
                hy_carry_conv(c, u, cfg->mamba_d_conv));
  u = hy_silu(c, u);
  dt = hy_softplus(c, dt, hy_w(c, l, DT_BIAS));
  b = hy_cols_of(c, u, inner, state);
  cc = hy_cols_of(c, u, inner + state, state);
  u = hy_cols_of(c, u, 0, inner);
  y = hy_ssd(c, u, dt, b, cc, a_log, hy_w(c, l, D), n_groups,
             hy_carry_state(c, u, dt, b, a_log, n_groups));
  hy_watch(c, "ssm_out", y, HY_TP);
  y = group_norm(c, l, y, z, n_groups);
  y = hy_linear(c, y, hy_w(c, l, OUT));
  return hy_add(c, x, hy_leave_tp(c, y));
}

static void
mamba_cache(const hy_layer *l, hy_tensor *const *weight, int64_t n_slots,
            int64_t max_len, hy_layer_cache *cache)
{
  const hy_tensor *conv = weight[l->w[CONV]];

  (void)max_len;
  cache->conv =
      hy_shape(HY_DIM(n_slots, l->cfg->mamba_d_conv - 1, conv->dim[0]));
  cache->ssm = hy_shape(HY_DIM(n_slots, weight[l->w[A_LOG]]->dim[0],
                               l->cfg->mamba_d_head, l->cfg->mamba_d_state));
  cache->conv_spec = l->w[CONV];
  cache->ssm_spec = l->w[A_LOG];
}

const hy_layer_type hy_layer_mamba = {"mamba",      'M',           mamba_check,
                                      mamba_params, mamba_forward, mamba_cache};
