/* cfg_table.c: config.json key <-> &model key, and the names of layers. */
#include "model/cfg_table.h"
#include "deck/deck.h"

#include <string.h>

#define N(a) (sizeof(a) / sizeof *(a))
#define AT(k) offsetof(hy_deck_model, k)

const hy_cfg_row hy_cfg_rows[] = {
    {"vocab_size", "vocab", HY_CFG_INT, AT(vocab), 1},
    {"hidden_size", "d_model", HY_CFG_INT, AT(d_model), 1},
    {"num_attention_heads", "n_heads", HY_CFG_INT, AT(n_heads), 1},
    {"num_key_value_heads", "n_kv_heads", HY_CFG_INT, AT(n_kv_heads), 1},
    {"num_query_groups", "n_kv_heads", HY_CFG_INT, AT(n_kv_heads), 0},
    {"head_dim", "d_head", HY_CFG_INT, AT(d_head), 1},
    {"attention_head_dim", "d_head", HY_CFG_INT, AT(d_head), 0},
    {"intermediate_size", "d_ff", HY_CFG_INT, AT(d_ff), 1},
    {"mamba_num_heads", "mamba_n_heads", HY_CFG_INT, AT(mamba_n_heads), 1},
    {"mamba_head_dim", "mamba_d_head", HY_CFG_INT, AT(mamba_d_head), 1},
    {"n_groups", "mamba_n_groups", HY_CFG_INT, AT(mamba_n_groups), 1},
    {"mamba_n_groups", "mamba_n_groups", HY_CFG_INT, AT(mamba_n_groups), 0},
    {"ssm_state_size", "mamba_d_state", HY_CFG_INT, AT(mamba_d_state), 1},
    {"conv_kernel", "mamba_d_conv", HY_CFG_INT, AT(mamba_d_conv), 1},
    {"mamba_d_conv", "mamba_d_conv", HY_CFG_INT, AT(mamba_d_conv), 0},
    {"chunk_size", "mamba_chunk", HY_CFG_INT, AT(mamba_chunk), 1},
    {"mamba_chunk_size", "mamba_chunk", HY_CFG_INT, AT(mamba_chunk), 0},
    {"n_routed_experts", "n_experts", HY_CFG_INT, AT(n_experts), 1},
    {"num_local_experts", "n_experts", HY_CFG_INT, AT(n_experts), 0},
    {"num_experts_per_tok", "top_k", HY_CFG_INT, AT(top_k), 1},
    {"n_group", "n_group", HY_CFG_INT, AT(n_group), 1},
    {"topk_group", "topk_group", HY_CFG_INT, AT(topk_group), 1},
    {"norm_topk_prob", "norm_topk", HY_CFG_BOOL, AT(norm_topk), 1},
    {"moe_intermediate_size", "d_expert", HY_CFG_INT, AT(d_expert), 1},
    {"moe_shared_expert_intermediate_size", "d_shared", HY_CFG_INT,
     AT(d_shared), 1},
    {"moe_latent_size", "d_latent", HY_CFG_INT, AT(d_latent), 1},
    {"routed_scaling_factor", "routed_scaling", HY_CFG_REAL, AT(routed_scaling),
     1},
    {"moe_aux_loss_coeff", "aux_coef", HY_CFG_REAL, AT(aux_coef), 0},
    {"router_aux_loss_coef", "aux_coef", HY_CFG_REAL, AT(aux_coef), 0},
    {"moe_router_bias_update_rate", "bias_rate", HY_CFG_REAL, AT(bias_rate), 0},
    {"mtp_loss_scaling_factor", "mtp_scale", HY_CFG_REAL, AT(mtp_scale), 0},
    {"tie_word_embeddings", "tie", HY_CFG_BOOL, AT(tie), 1},
    {"layer_norm_epsilon", "norm_eps", HY_CFG_REAL, AT(norm_eps), 1},
    {"norm_eps", "norm_eps", HY_CFG_REAL, AT(norm_eps), 1},
    {"rms_norm_eps", "norm_eps", HY_CFG_REAL, AT(norm_eps), 0},
    /* the published value is not the one of the training (see init_std) */
    {"initializer_range", "init_std", HY_CFG_REAL, AT(init_std), 1},
};
const int hy_cfg_n_rows = N(hy_cfg_rows);

/* Values that the model of this program has; anything else is refused. */
const hy_cfg_only_row hy_cfg_only[] = {
    {"model_type", "\"nemotron_h\""},
    {"attention_bias", "false"},
    {"mlp_bias", "false"},
    {"mamba_proj_bias", "false"},
    {"use_bias", "false"},
    {"use_conv_bias", "true"},
    {"mamba_conv_bias", "true"},
    {"mlp_hidden_act", "\"relu2\""},
    {"mamba_hidden_act", "\"silu\""},
    {"attention_dropout", "0"},
    {"hidden_dropout", "0"},
    {"sliding_window", "null"},
    {"n_shared_experts", "1"},
    {"scoring_func", "\"sigmoid\""},
    {"topk_method", "\"noaux_tc\""},
    {"rope_scaling", "null"},
    {"add_cross_attention", "false"},
    {"is_encoder_decoder", "false"},
    {"is_decoder", "false"},
    {"pruned_heads", "{}"},
    {"quantization_config", "null"},
};
const int hy_cfg_n_only = N(hy_cfg_only);

/* Keys that change nothing here: metadata, generation defaults, kernels,
 * first values that the weights have replaced, and positions (the model has
 * none; published files carry rope_theta all the same). */
const char *const hy_cfg_no_effect[] = {
    "architectures",
    "auto_map",
    "_name_or_path",
    "name_or_path",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "_commit_hash",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "cls_token_id",
    "mask_token_id",
    "decoder_start_token_id",
    "max_position_embeddings",
    "rope_theta",
    "partial_rotary_factor",
    "rope_parameters",
    "expand",
    "mamba_expand",
    "time_step_min",
    "time_step_max",
    "time_step_floor",
    "time_step_rank",
    "mamba_dt_min",
    "mamba_dt_max",
    "mamba_dt_init_floor",
    "mamba_ssm_cache_dtype",
    "use_mamba_kernels",
    "use_cache",
    "num_logits_to_keep",
    "moe_shared_expert_overlap",
    "rescale_prenorm_residual",
    "residual_in_fp32",
    "seq_length",
    "tokenizer_class",
    "task_specific_params",
    "problem_type",
    "finetuning_task",
    "id2label",
    "label2id",
    "num_labels",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "return_dict",
    "return_dict_in_generate",
    "torchscript",
    "use_bfloat16",
    "tf_legacy_loss",
    "chunk_size_feed_forward",
    "prefix",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "num_return_sequences",
    "output_scores",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "cross_attention_hidden_size",
    "tie_encoder_decoder",
    "attn_implementation",
    "_attn_implementation",
    "pretraining_tp",
};
const int hy_cfg_n_no_effect = N(hy_cfg_no_effect);

static const struct {
  const char *type;
  char letter;
} types[] = {
    {"mamba", 'M'}, {"attention", '*'},        {"moe", 'E'},
    {"mlp", '-'},   {"linear_attention", 'M'}, {"full_attention", '*'}};

char
hy_cfg_letter(const char *type)
{
  for (size_t i = 0; type && i < N(types); i++)
    if (!strcmp(types[i].type, type))
      return types[i].letter;
  return 0;
}

const char *
hy_cfg_type(char letter)
{
  for (size_t i = 0; i < N(types); i++)
    if (types[i].letter == letter)
      return types[i].type;
  return NULL;
}
