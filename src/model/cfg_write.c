/* cfg_write.c: the &model group -> config.json. */
#include "model/cfg.h"
#include "model/cfg_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The published layout: order of keys, and what hymn's model always is. Keys
 * of hy_cfg_rows are replaced. */
static const char published[] =
    "{\"architectures\":[\"NemotronHForCausalLM\"],\"attention_bias\":false,"
    "\"attention_dropout\":0.0,\"bos_token_id\":1,\"chunk_size\":0,"
    "\"conv_kernel\":0,\"eos_token_id\":2,\"expand\":2,\"head_dim\":0,"
    "\"hidden_dropout\":0.0,\"hidden_size\":0,"
    "\"hybrid_override_pattern\":\"\",\"initializer_range\":0.0,"
    "\"intermediate_size\":0,\"layer_norm_epsilon\":0.0,"
    "\"mamba_head_dim\":0,\"mamba_hidden_act\":\"silu\","
    "\"mamba_num_heads\":0,\"mamba_proj_bias\":false,"
    "\"mamba_ssm_cache_dtype\":\"float32\","
    "\"max_position_embeddings\":262144,\"mlp_bias\":false,"
    "\"mlp_hidden_act\":\"relu2\",\"model_type\":\"nemotron_h\","
    "\"moe_intermediate_size\":0,\"moe_latent_size\":null,"
    "\"moe_shared_expert_intermediate_size\":0,"
    "\"moe_shared_expert_overlap\":false,"
    "\"mtp_hybrid_override_pattern\":\"*E\",\"n_group\":0,\"n_groups\":0,"
    "\"n_routed_experts\":0,\"n_shared_experts\":1,\"norm_eps\":0.0,"
    "\"norm_topk_prob\":true,\"num_attention_heads\":0,"
    "\"num_experts_per_tok\":0,\"num_hidden_layers\":0,"
    "\"num_key_value_heads\":0,\"num_logits_to_keep\":1,"
    "\"num_nextn_predict_layers\":0,\"pad_token_id\":0,"
    "\"partial_rotary_factor\":1.0,\"rescale_prenorm_residual\":true,"
    "\"residual_in_fp32\":false,\"rope_theta\":10000,"
    "\"routed_scaling_factor\":0.0,\"sliding_window\":null,"
    "\"ssm_state_size\":0,\"tie_word_embeddings\":false,"
    "\"time_step_floor\":0.0001,\"time_step_max\":0.1,"
    "\"time_step_min\":0.001,\"topk_group\":0,\"torch_dtype\":\"float32\","
    "\"transformers_version\":\"4.55.4\",\"use_bias\":false,"
    "\"use_cache\":true,\"use_conv_bias\":true,\"use_mamba_kernels\":true,"
    "\"vocab_size\":0}";

static json_t *
row_value(const hy_deck_model *m, const hy_cfg_row *r)
{
  const char *at = (const char *)m + r->at;
  int64_t i;
  double x;
  int b;

  switch (r->kind) {
  case HY_CFG_INT:
    memcpy(&i, at, sizeof i);
    return json_integer(i);
  case HY_CFG_REAL:
    memcpy(&x, at, sizeof x);
    return json_real(x);
  default:
    memcpy(&b, at, sizeof b);
    return json_boolean(b);
  }
}

/* Same number, whichever JSON type it has; null counts as 0. */
static int
same(json_t *a, json_t *b)
{
  if (json_is_boolean(a) || json_is_boolean(b))
    return json_equal(a, b);
  return a && json_number_value(a) == json_number_value(b);
}

static void
put_rows(json_t *root, const hy_deck_model *m)
{
  for (int i = 0; i < hy_cfg_n_rows; i++) {
    const hy_cfg_row *r = hy_cfg_rows + i;
    json_t *old = json_object_get(root, r->key), *now = row_value(m, r);
    int unset = json_is_integer(now) && json_integer_value(now) == 0;

    if (same(old, now))
      json_decref(now); /* keeps its spelling */
    else if (unset) {   /* LatentMoE switched off */
      if (old)
        json_object_set_new(root, r->key, json_null());
      json_decref(now);
    } else if (old || r->published)
      json_object_set_new(root, r->key, now);
    else
      json_decref(now);
  }
}

/* Sizes that a model without such layers has not set. */
static void
drop_unset(json_t *root)
{
  for (int i = 0; i < hy_cfg_n_rows; i++) {
    json_t *v = json_object_get(root, hy_cfg_rows[i].key);

    if (json_is_integer(v) && json_integer_value(v) == 0)
      json_object_del(root, hy_cfg_rows[i].key);
  }
}

/* n letters under the list spelling when the source has it, else the string. */
static void
put_pattern(json_t *root, const char *text, const char *list,
            const char *letters, size_t n)
{
  json_t *a = json_object_get(root, list);

  if (json_is_array(a)) {
    json_t *now = json_array();
    int v5 = 0;

    /* transformers 5 says linear_attention where others say mamba */
    for (size_t i = 0; i < json_array_size(a); i++) {
      const char *type = json_string_value(json_array_get(a, i));

      v5 |= type && strstr(type, "_attention") != NULL;
    }
    for (size_t i = 0; i < n; i++) {
      const char *type = hy_cfg_type(letters[i]);

      if (v5 && letters[i] == 'M')
        type = "linear_attention";
      if (v5 && letters[i] == '*')
        type = "full_attention";
      json_array_append_new(now, json_string(type));
    }
    json_object_set_new(root, list, now);
    if (!json_object_get(root, text))
      return;
  }
  json_object_set_new(root, text, json_stringn(letters, n));
}

static void
put_patterns(json_t *root, const hy_deck_model *m)
{
  size_t n = strcspn(m->pattern, "/"), k;
  const char *mtp = m->pattern + n;
  int64_t blocks = 0, depths;
  json_t *old = json_object_get(root, "hybrid_override_pattern");
  json_t *layer_types = json_object_get(root, "layer_types");

  for (const char *s = mtp; *s; s++)
    blocks += *s == '/';
  /* a string with pipeline cuts means the same and becomes plain */
  if (layer_types && !old && !json_object_get(root, "layers_block_type"))
    put_pattern(root, "hybrid_override_pattern", "layer_types", m->pattern, n);
  else
    put_pattern(root, "hybrid_override_pattern", "layers_block_type",
                m->pattern, n);
  json_object_set_new(root, "num_hidden_layers", json_integer((json_int_t)n));
  depths = m->mtp_depths ? m->mtp_depths : blocks;
  if (blocks == 0)
    depths = 0;
  if (depths || json_object_get(root, "num_nextn_predict_layers"))
    json_object_set_new(root, "num_nextn_predict_layers", json_integer(depths));
  if (blocks == 0)
    return;
  k = strcspn(mtp + 1, "/");
  put_pattern(root, "mtp_hybrid_override_pattern", "mtp_layers_block_type",
              mtp + 1, k);
  json_object_set_new(root, "mtp_use_repeated_layer",
                      json_boolean(blocks == 1 && m->mtp_repeat));
  if (!json_object_get(root, "mtp_loss_scaling_factor"))
    json_object_set_new(root, "mtp_loss_scaling_factor",
                        json_real(m->mtp_scale));
}

/* A number as Python prints it: the shortest text that reads back the same. */
static void
put_real(hy_buf *out, double x)
{
  char text[64];
  int p = 1, e;

  for (; p < 17; p++) {
    snprintf(text, sizeof text, "%.*e", p - 1, x);
    if (strtod(text, NULL) == x)
      break;
  }
  snprintf(text, sizeof text, "%.*e", p - 1, x);
  e = atoi(strchr(text, 'e') + 1);
  if (e >= -4 && e < 16)
    snprintf(text, sizeof text, "%.*f", p - 1 - e > 1 ? p - 1 - e : 1, x);
  hy_buf_printf(out, "%s", text);
}

static void
put_scalar(hy_buf *out, json_t *v)
{
  const char *s = json_string_value(v);
  char *text;

  if (json_is_real(v))
    put_real(out, json_real_value(v));
  else if (s && s[0] == '\1') /* Infinity, see hy_cfg_parse */
    hy_buf_printf(out, "%s", s + 1);
  else {
    text = json_dumps(v, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    hy_buf_printf(out, "%s", text);
    free(text);
  }
}

static void
put_json(hy_buf *out, json_t *v, int depth)
{
  int is_object = json_is_object(v);
  size_t n = is_object ? json_object_size(v) : json_array_size(v), i = 0;
  const char *key;
  json_t *e;

  if ((!is_object && !json_is_array(v))) {
    put_scalar(out, v);
    return;
  }
  hy_buf_printf(out, is_object ? "{" : "[");
  if (is_object)
    json_object_foreach(v, key, e)
    {
      json_t *k = json_string(key);

      hy_buf_printf(out, "\n%*s", 2 * depth + 2, "");
      put_scalar(out, k);
      hy_buf_printf(out, ": ");
      put_json(out, e, depth + 1);
      hy_buf_printf(out, ++i < n ? "," : "");
      json_decref(k);
    }
  else
    json_array_foreach(v, i, e)
    {
      hy_buf_printf(out, "\n%*s", 2 * depth + 2, "");
      put_json(out, e, depth + 1);
      hy_buf_printf(out, i + 1 < n ? "," : "");
    }
  if (n)
    hy_buf_printf(out, "\n%*s", 2 * depth, "");
  hy_buf_printf(out, is_object ? "}" : "]");
}

void
hy_cfg_write(const hy_deck_model *m, const char *dtype, const char *extra,
             hy_buf *out)
{
  json_error_t je;
  json_t *root = extra ? hy_cfg_parse(extra, &je) : NULL;
  const char *key;

  if (root)
    put_rows(root, m);
  else {
    root = json_loads(published, 0, &je);
    put_rows(root, m);
    drop_unset(root);
  }
  put_patterns(root, m);
  key = !json_object_get(root, "torch_dtype") && json_object_get(root, "dtype")
            ? "dtype"
            : "torch_dtype";
  json_object_set_new(root, key, json_string(dtype));
  put_json(out, root, 0);
  hy_buf_printf(out, "\n");
  json_decref(root);
}
