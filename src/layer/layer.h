/* layer.h: a layer type is its parameters and its forward text; backward
 * comes from the tape, layouts from the regions. */
#ifndef HYMN_LAYER_LAYER_H
#define HYMN_LAYER_LAYER_H

#include "layer/plan.h"
#include "op/cache.h"
#include "op/region.h"

struct hy_layer_type {
  const char *name;
  char letter;
  /** Sizes this layer needs: 0 or HY_EDECK naming the key. */
  int (*check)(const hy_cfg *cfg);
  /** Declare the parameters, in the order of the forward's names. */
  void (*params)(hy_plan *p, const hy_cfg *cfg);
  /** The residual stream x (T, d_model) behind the layer. */
  hy_tensor *(*forward)(hy_ctx *c, const hy_layer *l, hy_tensor *x);
  /** Shapes of what the layer keeps for each of n_slots sequences of up to
   *  max_len tokens on this rank; NULL: it keeps nothing. */
  void (*cache)(const hy_layer *l, hy_tensor *const *weight, int64_t n_slots,
                int64_t max_len, hy_layer_cache *cache);
};

#define HY_LAYER(n) extern const hy_layer_type hy_layer_##n;
#include "layer/layers.def"
#undef HY_LAYER

/** The type of this letter, NULL if there is none. */
const hy_layer_type *hy_layer_find(char letter);

/** Add the letters of the types that name means to `letters` (size bytes with
 *  the NUL), each once: a type's name, "all" or "none". 0 if there is no such
 *  name. */
int hy_layer_letters(const char *name, char *letters, size_t size);

/** Parameter i of the layer, in the order declared. */
static inline hy_tensor *
hy_w(const hy_ctx *c, const hy_layer *l, int i)
{
  return c->weight[l->w[i]];
}

/** Shape of a tensor without data. */
hy_tensor hy_shape(int n_dim, const int64_t *dim);

/** 0, or HY_EDECK saying that layers of pattern letter `letter` need the
 *  key. */
int hy_need(int64_t value, const char *key, char letter);
/** 0, or HY_EDECK saying that key_a = a must be a multiple of key_b = b. */
int hy_need_multiple(int64_t a, const char *key_a, int64_t b,
                     const char *key_b);

#endif
