/* plan.h: the parameters of a model: names, shapes, how they are cut up.
 *
 * A spec is global and the same on every rank. Layers declare theirs in
 * their params function; everything that stores, cuts, reduces or prints
 * parameters walks the list. */
#ifndef HYMN_LAYER_PLAN_H
#define HYMN_LAYER_PLAN_H

#include "base/err.h"
#include "deck/deck.h"
#include "grid/grid.h"

/* The architecture is the resolved &model group of the deck. */
typedef hy_deck_model hy_cfg;

enum { HY_NAME_LEN = 128, HY_MAX_PART = 5 };

typedef enum {
  HY_WEIGHT,   /* trained */
  HY_FROZEN,   /* no gradient */
  HY_STATISTIC /* saved and exported, no gradient, its own update rule (the
                  router's correction bias) */
} hy_kind;

typedef enum {
  HY_INIT_NORMAL, /* N(0, init_std) */
  HY_INIT_ONE,
  HY_INIT_ZERO,
  HY_INIT_A_LOG,   /* log of U(1, 16) */
  HY_INIT_DT_BIAS, /* softplus^-1 of exp(U(log 1e-3, log 1e-1)), >= 1e-4 */
  HY_INIT_UNIFORM  /* U(-init_std, init_std) */
} hy_init;

typedef struct {
  char name[HY_NAME_LEN]; /* hub name; one "%d" for the expert if stacked */
  int n_dim;
  int64_t dim[4]; /* GLOBAL */
  int stacked;    /* dim[0] counts experts, each a tensor of its own
                     in a weight folder */
  int split;      /* dimension that is cut, -1: whole on each rank */
  unsigned axis;  /* HY_TP or HY_EP: which ranks share it out */
  int n_part;     /* fused blocks along split, each cut by itself */
  int64_t part[HY_MAX_PART];
  int64_t unit[HY_MAX_PART]; /* rows of a part that stay together (a head) */
  int shared[HY_MAX_PART];   /* with more ranks than units, neighbouring ranks
                                hold the same one (kv heads, groups) */
  const char *key[HY_MAX_PART]; /* deck key that counts the units, or NULL */
  int uneven;       /* parts need not divide evenly (the vocabulary) */
  unsigned partial; /* axes on which a rank's gradient is only a part */
  hy_kind kind;
  hy_init init;
  float init_std;
  int decay;     /* weight decay applies */
  int keep_fp32; /* fp32 also in bf16 weight folders */
  int precise;   /* computed with in fp32 whatever the activations are */
  int64_t layer; /* flat layer index; -1: embedding, final norm, head */
  int unit_id;   /* parameters gathered and reduced together: HY_UNIT_* or
                    HY_UNIT_LAYER + layer */
  int stage[2];  /* pipeline stages that hold it (twice the same: one) */
} hy_spec;

/* Units outside the layers. */
enum {
  HY_UNIT_NONE = -1,
  HY_UNIT_EMBED, /* the table, also the head when tied */
  HY_UNIT_OUT,   /* final norm and head */
  HY_UNIT_MTP,   /* + block: norms and projection of a prediction block */
  HY_UNIT_LAYER = HY_UNIT_MTP + 8 /* + flat layer index */
};

/* The piece of a tensor that one rank holds: n runs along the split
 * dimension (one for a fused block each), stored one after another. */
typedef struct {
  int64_t dim[4]; /* local */
  int n;
  int64_t global[HY_MAX_PART]; /* first index in the global tensor */
  int64_t local[HY_MAX_PART];  /* first index in the local piece */
  int64_t count[HY_MAX_PART];
  int copies[HY_MAX_PART]; /* neighbouring tp ranks that hold the same rows of
                              a part (tp larger than its number of units) */
  int here;                /* 0: another stage holds it, all sizes are 0 */
} hy_shard;

/** Which part of spec is mine. Not collective. */
void hy_shard_of(hy_shard *s, const hy_spec *spec, const hy_grid *grid);

/** Elements of a spec (global), of a shard (local). */
int64_t hy_spec_size(const hy_spec *spec);
int64_t hy_shard_size(const hy_shard *s);

typedef struct hy_layer_type hy_layer_type;

typedef struct {
  const hy_layer_type *type;
  const hy_cfg *cfg;
  int64_t index; /* 0 .. n_layers-1, MTP blocks behind the backbone */
  int n_w;
  int w[16]; /* index of its specs, in the order declared */
} hy_layer;

typedef struct {
  const hy_cfg *cfg;
  int n_layer;     /* backbone */
  int n_mtp_block; /* stored prediction blocks */
  int n_mtp_layer; /* inner layers of one block */
  int n_depth;     /* prediction depths */
  int n_layer_all; /* with the inner layers of all stored blocks */
  hy_layer *layer; /* backbone, then n_mtp_block * n_mtp_layer inner layers */
  int embed, norm_f, head; /* spec index; head == embed when tied */
  struct {
    int enorm, hnorm, eh_proj, norm;
  } * mtp; /* by stored block */
  int n_spec;
  hy_spec *spec;
  int n_stage;
  int *first;         /* (n_stage + 1) first layer of each pipeline stage; what
                         follows the backbone belongs to the last */
  const char *prefix; /* of the names hy_param makes, while layers declare */
  int64_t current;    /* their layer */
  int unit;           /* and outside the layers their unit */
} hy_plan;

/** Layers and specs of the architecture; cfg must outlive the plan.
 *  0 or HY_EDECK (a pattern letter, a size that is missing or does not
 *  divide, each named). Not collective. */
int hy_plan_new(hy_plan *p, const hy_cfg *cfg);
void hy_plan_free(hy_plan *p);

/** Say which stage holds what; a new plan has one stage. The last stage has
 *  the prediction blocks, and a copy of the embedding if it needs one.
 *  \param first  (n_stage + 1), rising */
void hy_plan_set_stages(hy_plan *p, int n_stage, const int *first);

/** For layers: declare the next parameter of the current layer, hub name
 *  suffix (below "backbone.layers.N."). Returns its spec to be adjusted. */
hy_spec *hy_param(hy_plan *p, const char *name, int n_dim, const int64_t *dim);
#define HY_DIM(...)                                                            \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) \
  {                                                                            \
    __VA_ARGS__                                                                \
  }
/** Cut along dimension dim over the ranks of axis (HY_TP), between units of
 *  `unit` rows (a head, a group; 1 where any row will do). Its gradient is
 *  then whole on each tp rank; uncut parameters are used where grid.sp cuts
 *  the tokens. Returns s. */
hy_spec *hy_split(hy_spec *s, int dim, unsigned axis, int64_t unit);
/** The deck key that counts the units of part i, for messages; shared: ranks
 *  may hold the same unit when there are fewer units than ranks. */
void hy_units(hy_spec *s, int i, const char *key, int shared);
/** A product that adds to the residual stream: first weights are divided by
 *  sqrt(number of backbone layers). Returns s. */
hy_spec *hy_residual(const hy_plan *p, hy_spec *s);
/** First weights uniform in +-1/sqrt(fan_in) (Kaiming, a = sqrt 5). */
void hy_uniform(hy_spec *s, int64_t fan_in);

#endif
