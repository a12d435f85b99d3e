/* cache.h: what a sequence leaves behind for its next token, by layer. */
#ifndef HYMN_OP_CACHE_H
#define HYMN_OP_CACHE_H

#include "op/tensor.h"

typedef struct {
  hy_tensor conv; /* (n_slots, n_taps-1, C), oldest first */
  hy_tensor ssm;  /* (n_slots, n_heads, d_head, d_state) */
  hy_tensor k, v; /* (n_slots, max_len, n_kv_heads d_head) */
  /* specs whose cut over tp the channels of conv and the heads of ssm follow */
  int conv_spec, ssm_spec;
} hy_layer_cache;

typedef struct hy_cache {
  int64_t n_slots, max_len, n_layers;
  hy_layer_cache *layer; /* data is NULL where a layer has no such state */
} hy_cache;

#endif
