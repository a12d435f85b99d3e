/* decilm.h: the size of a heterogeneous Llama (Llama-Nemotron 49B, 253B). */
#ifndef HYMN_MODEL_DECILM_H
#define HYMN_MODEL_DECILM_H

#include <jansson.h>
#include <stdint.h>

/** Parameters of the model that a config.json of model_type "nemotron-nas"
 *  describes, from its block_configs: hidden size H, head width h,
 *
 *    embedding and head  2 V H (V H when tied), final norm H
 *    attention           H + 2 H q + 2 H k,  q = h n_heads,
 *                        k = h n_heads / n_heads_in_group
 *    FFN (SwiGLU)        H + 3 H f,  f = int(2 ffn_mult H / 3) rounded up to a
 *                        multiple of 256
 *    part replaced by a linear layer  H + H H;  part left out  nothing
 *
 *  \return the count, or -1 when keys are missing
 *  Source: Bercovich et al. 2024, arXiv:2411.19146 (Puzzle), and the published
 *  configuration_decilm.py. */
int64_t hy_decilm_count(json_t *root);

#endif
