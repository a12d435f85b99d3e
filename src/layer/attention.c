/* Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245) without
 * positional embedding: the Mamba layers carry positions. */
#include "layer/layer.h"

enum { NORM, Q, K, V, O };

static int
attention_check(const hy_cfg *cfg)
{
  int err = hy_need(cfg->n_heads, "model.n_heads", '*');

  if (!err)
    err = hy_need(cfg->n_kv_heads, "model.n_kv_heads", '*');
  if (!err)
    err = hy_need(cfg->d_head, "model.d_head", '*');
  if (!err)
    err = hy_need_multiple(cfg->n_heads, "model.n_heads", cfg->n_kv_heads,
                           "model.n_kv_heads");
  return err;
}

/* Between heads; ranks may share a key head, never a query head. */
static void
split_heads(hy_spec *s, int dim, const hy_cfg *cfg, int kv)
{
  hy_units(hy_split(s, dim, HY_TP, cfg->d_head), 0,
           kv ? "model.n_kv_heads" : "model.n_heads", kv);
}

static void
attention_params(hy_plan *p, const hy_cfg *cfg)
{
  int64_t d = cfg->d_model, q = cfg->n_heads * cfg->d_head;
  int64_t kv = cfg->n_kv_heads * cfg->d_head;

  hy_param(p, "norm.weight", HY_DIM(d));
  split_heads(hy_param(p, "mixer.q_proj.weight", HY_DIM(q, d)), 0, cfg, 0);
  split_heads(hy_param(p, "mixer.k_proj.weight", HY_DIM(kv, d)), 0, cfg, 1);
  split_heads(hy_param(p, "mixer.v_proj.weight", HY_DIM(kv, d)), 0, cfg, 1);
  split_heads(hy_residual(p, hy_param(p, "mixer.o_proj.weight", HY_DIM(d, q))),
              1, cfg, 0);
}

static hy_tensor *
attention_forward(hy_ctx *c, const hy_layer *l, hy_tensor *x)
{
  hy_tensor *h = hy_rmsnorm(c, x, hy_w(c, l, NORM), (float)l->cfg->norm_eps);
  hy_tensor *q, *k, *v;

  h = hy_enter_tp(c, h); /* all tokens, own heads */
  q = hy_linear(c, h, hy_w(c, l, Q));
  k = hy_linear(c, h, hy_w(c, l, K));
  v = hy_linear(c, h, hy_w(c, l, V));
  h = hy_ring_kv(c, q, k, v, hy_cols(q) / l->cfg->d_head,
                 hy_cols(k) / l->cfg->d_head);
  h = hy_linear(c, h, hy_w(c, l, O));
  return hy_add(c, x, hy_leave_tp(c, h));
}

static void
attention_cache(const hy_layer *l, hy_tensor *const *weight, int64_t n_slots,
                int64_t max_len, hy_layer_cache *cache)
{
  int64_t kv = weight[l->w[K]]->dim[0];

  cache->k = cache->v = hy_shape(HY_DIM(n_slots, max_len, kv));
}

const hy_layer_type hy_layer_attention = {"attention",       '*',
                                          attention_check,   attention_params,
                                          attention_forward, attention_cache};
