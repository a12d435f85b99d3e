#include "layer/plan.h"
#include "layer/layer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const hy_layer_type *const layer_type[] = {
#define HY_LAYER(n) &hy_layer_##n,
#include "layer/layers.def"
#undef HY_LAYER
};

enum { N_TYPES = sizeof layer_type / sizeof *layer_type };

const hy_layer_type *
hy_layer_find(char letter)
{
  for (int i = 0; i < N_TYPES; i++)
    if (layer_type[i]->letter == letter)
      return layer_type[i];
  return NULL;
}

int
hy_layer_letters(const char *name, char *letters, size_t size)
{
  int found = !strcmp(name, "none");

  for (int i = 0; i < N_TYPES; i++) {
    size_t n = strlen(letters);

    if (strcmp(name, "all") && strcmp(name, layer_type[i]->name))
      continue;
    found = 1;
    if (!strchr(letters, layer_type[i]->letter) && n + 1 < size) {
      letters[n] = layer_type[i]->letter;
      letters[n + 1] = '\0';
    }
  }
  return found;
}

hy_tensor
hy_shape(int n_dim, const int64_t *dim)
{
  hy_tensor t = {.fmt = HY_F32, .n_dim = n_dim};

  for (int i = 0; i < 4; i++)
    t.dim[i] = i < n_dim ? dim[i] : 1;
  t.ld = hy_cols(&t);
  return t;
}

int
hy_need(int64_t value, const char *key, char letter)
{
  if (value > 0)
    return HY_OK;
  return hy_fail(HY_EDECK,
                 "%s: not set, and the pattern has layers '%c' that need it; "
                 "set it in the deck or give model.from",
                 key, letter);
}

int
hy_need_multiple(int64_t a, const char *key_a, int64_t b, const char *key_b)
{
  if (a % b == 0)
    return HY_OK;
  return hy_fail(HY_EDECK, "%s=%lld: not a multiple of %s=%lld", key_a,
                 (long long)a, key_b, (long long)b);
}

hy_spec *
hy_param(hy_plan *p, const char *name, int n_dim, const int64_t *dim)
{
  hy_spec *s;

  p->spec = hy_realloc(p->spec, (size_t)(p->n_spec + 1) * sizeof *p->spec);
  s = &p->spec[p->n_spec];
  *s = (hy_spec){.n_dim = n_dim,
                 .split = -1,
                 .init = n_dim > 1 ? HY_INIT_NORMAL : HY_INIT_ONE,
                 .init_std = (float)p->cfg->init_std,
                 .partial = HY_DP | HY_CP | HY_SP,
                 .decay = n_dim > 1,
                 .precise = n_dim == 1,
                 .layer = p->current,
                 .unit_id = p->current >= 0 ? HY_UNIT_LAYER + (int)p->current
                                            : p->unit};
  for (int i = 0; i < 4; i++)
    s->dim[i] = i < n_dim ? dim[i] : 1;
  snprintf(s->name, sizeof s->name, "%s%s", p->prefix, name);
  if (p->current >= 0) {
    hy_layer *l = &p->layer[p->current];

    l->w[l->n_w++] = p->n_spec;
  }
  p->n_spec++;
  return s;
}

hy_spec *
hy_split(hy_spec *s, int dim, unsigned axis, int64_t unit)
{
  s->split = dim;
  s->axis = axis;
  s->n_part = 1;
  s->part[0] = s->dim[dim];
  s->unit[0] = unit;
  s->partial = axis == HY_EP ? HY_EDP : HY_DP | HY_CP;
  return s;
}

void
hy_units(hy_spec *s, int i, const char *key, int shared)
{
  s->key[i] = key;
  s->shared[i] = shared;
}

hy_spec *
hy_residual(const hy_plan *p, hy_spec *s)
{
  s->init_std /= sqrtf((float)p->n_layer);
  return s;
}

void
hy_uniform(hy_spec *s, int64_t fan_in)
{
  s->init = HY_INIT_UNIFORM;
  s->init_std = 1 / sqrtf((float)fan_in);
}

static int
bad_letter(const char *at)
{
  return hy_fail(HY_EDECK,
                 "model.pattern: unknown letter '%c' at \"%s\"; use M "
                 "(Mamba-2), * (attention), - (MLP), E (mixture of experts) "
                 "and /suffix for a prediction block",
                 *at, at);
}

/* Backbone length, number and length of the suffixes. */
static int
read_pattern(hy_plan *p, const char *s)
{
  const char *slash = strchr(s, '/'), *suffix = slash;

  if (!s[0])
    return hy_fail(HY_EDECK, "model.pattern: not set; give one letter a layer "
                             "in the deck, or model.from");
  p->n_layer = (int)(slash ? slash - s : (long)strlen(s));
  for (const char *q = s; *q; q++)
    if (*q != '/' && !hy_layer_find(*q))
      return bad_letter(q);
  for (; slash; slash = strchr(slash + 1, '/')) {
    const char *end = strchr(slash + 1, '/');
    int n = (int)(end ? end - slash - 1 : (long)strlen(slash + 1));

    if (p->n_mtp_block++ == 0)
      p->n_mtp_layer = n;
    if (n == 0 || n != p->n_mtp_layer ||
        strncmp(slash + 1, suffix + 1, (size_t)n))
      return hy_fail(HY_EDECK,
                     "model.pattern=%s: each /suffix must be the same "
                     "non-empty text",
                     s);
  }
  if (p->n_layer == 0)
    return hy_fail(HY_EDECK, "model.pattern=%s: no layer before the /", s);
  return HY_OK;
}

static int
check_depths(hy_plan *p)
{
  const hy_cfg *cfg = p->cfg;
  int n = p->n_mtp_block;

  p->n_depth = cfg->mtp_depths ? (int)cfg->mtp_depths : n;
  if (p->n_depth > 8)
    return hy_fail(HY_EDECK, "model.mtp_depths=%d: at most 8", p->n_depth);
  if (p->n_depth == n || (n == 1 && cfg->mtp_repeat))
    return HY_OK;
  return hy_fail(HY_EDECK,
                 "model.mtp_depths=%d: model.pattern has %d /suffix(es); give "
                 "one for each depth, or one and mtp_repeat=.true.",
                 p->n_depth, n);
}

static int
check_sizes(const hy_plan *p)
{
  const hy_cfg *cfg = p->cfg;
  int err = 0;

  if (cfg->vocab <= 0)
    return hy_fail(HY_EDECK, "model.vocab: not set; set it in the deck or give "
                             "model.from");
  if (cfg->d_model <= 0)
    return hy_fail(HY_EDECK, "model.d_model: not set; set it in the deck or "
                             "give model.from");
  for (int i = 0; i < N_TYPES && !err; i++)
    if (strchr(cfg->pattern, layer_type[i]->letter))
      err = layer_type[i]->check(cfg);
  return err;
}

static void
declare_layer(hy_plan *p, int64_t at, char letter, const char *prefix)
{
  hy_layer *l = &p->layer[at];

  l->type = hy_layer_find(letter);
  l->cfg = p->cfg;
  l->index = at;
  p->prefix = prefix;
  p->current = at;
  l->type->params(p, p->cfg);
  p->current = -1;
}

/* One parameter outside the layers; returns its index. */
static int
declare(hy_plan *p, const char *prefix, const char *name, int n_dim,
        const int64_t *dim)
{
  p->prefix = prefix;
  hy_param(p, name, n_dim, dim);
  return p->n_spec - 1;
}

static void
declare_block(hy_plan *p, int block)
{
  int n = p->n_mtp_layer;
  int64_t d = p->cfg->d_model;
  char prefix[64];

  p->unit = HY_UNIT_MTP + block;
  snprintf(prefix, sizeof prefix, "mtp.layers.%d.", block * n);
  p->mtp[block].enorm = declare(p, prefix, "enorm.weight", HY_DIM(d));
  p->mtp[block].hnorm = declare(p, prefix, "hnorm.weight", HY_DIM(d));
  p->mtp[block].eh_proj =
      declare(p, prefix, "eh_proj.weight", HY_DIM(d, 2 * d));
  for (int j = 0; j < n; j++) {
    snprintf(prefix, sizeof prefix, "mtp.layers.%d.", block * n + j);
    declare_layer(p, p->n_layer + block * n + j,
                  p->cfg->pattern[p->n_layer + 1 + j], prefix);
  }
  p->mtp[block].norm = declare(p, prefix, "final_layernorm.weight", HY_DIM(d));
}

/* The table or the head: any row to any rank. */
static int
declare_vocab(hy_plan *p, const char *prefix, const char *name)
{
  int i = declare(p, prefix, name, HY_DIM(p->cfg->vocab, p->cfg->d_model));

  hy_split(&p->spec[i], 0, HY_TP, 1)->uneven = 1;
  return i;
}

int
hy_plan_new(hy_plan *p, const hy_cfg *cfg)
{
  int err;
  char prefix[64];

  *p = (hy_plan){.cfg = cfg, .current = -1};
  err = read_pattern(p, cfg->pattern);
  if (!err)
    err = check_depths(p);
  if (!err)
    err = check_sizes(p);
  if (err)
    return err;
  p->n_layer_all = p->n_layer + p->n_mtp_block * p->n_mtp_layer;
  p->layer = hy_calloc((size_t)p->n_layer_all, sizeof *p->layer);
  p->mtp = hy_calloc((size_t)p->n_mtp_block, sizeof *p->mtp);
  p->unit = HY_UNIT_EMBED;
  p->embed = declare_vocab(p, "backbone.", "embeddings.weight");
  for (int i = 0; i < p->n_layer; i++) {
    snprintf(prefix, sizeof prefix, "backbone.layers.%d.", i);
    declare_layer(p, i, cfg->pattern[i], prefix);
  }
  p->unit = HY_UNIT_OUT;
  p->norm_f = declare(p, "backbone.", "norm_f.weight", HY_DIM(cfg->d_model));
  p->head = cfg->tie ? p->embed : declare_vocab(p, "", "lm_head.weight");
  for (int b = 0; b < p->n_mtp_block; b++)
    declare_block(p, b);
  hy_plan_set_stages(p, 1, (int[]){0, p->n_layer});
  return HY_OK;
}

static int
stage_of(const hy_plan *p, int64_t layer)
{
  int s = 0;

  while (s < p->n_stage - 1 && layer >= p->first[s + 1])
    s++;
  return s;
}

void
hy_plan_set_stages(hy_plan *p, int n_stage, const int *first)
{
  hy_spec *e = &p->spec[p->embed];

  p->n_stage = n_stage;
  p->first = hy_realloc(p->first, (size_t)(n_stage + 1) * sizeof *p->first);
  memcpy(p->first, first, (size_t)(n_stage + 1) * sizeof *p->first);
  for (int i = 0; i < p->n_spec; i++) {
    hy_spec *s = &p->spec[i];

    s->stage[0] = s->layer >= 0 ? stage_of(p, s->layer) : n_stage - 1;
    s->stage[1] = s->stage[0];
  }
  e->stage[0] = 0; /* also where its rows are read again */
  if (p->n_depth == 0 && p->head != p->embed)
    e->stage[1] = 0;
  if (e->stage[1])
    e->partial |= HY_PP;
}

void
hy_plan_free(hy_plan *p)
{
  free(p->layer);
  free(p->mtp);
  free(p->first);
  free(p->spec);
  *p = (hy_plan){0};
}
