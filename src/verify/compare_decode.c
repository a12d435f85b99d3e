/* Kind decode: greedy tokens and the logits and caches behind them. */
#include "verify/compare.h"
#include "base/err.h"
#include "base/mem.h"
#include "gen/gen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A set of prompts: names begin with prefix ("" or "batch."). */
typedef struct {
  const char *prefix;
  int64_t n, width, n_steps;
  int32_t *id;  /* (n, width) */
  int64_t *len; /* (n) */
} prompt_set;

static const char *
named(const char *prefix, const char *name, char out[160])
{
  snprintf(out, 160, "%s%s", prefix, name);
  return out;
}

/* 0 with s->n = 0 when the file has no such set. */
static int
read_prompts(const hy_compare *k, const char *prefix, prompt_set *s)
{
  char name[160];
  int64_t dim[4], gen[4], n, n_len = 0;
  int32_t *len;
  int err = HY_OK;

  *s = (prompt_set){.prefix = prefix};
  s->id = hy_compare_ids(k->expected, named(prefix, "prompt_ids", name), &n);
  if (!s->id)
    return HY_OK;
  if (hy_compare_shape(k->expected, name, dim) != 2 ||
      hy_compare_shape(k->expected, named(prefix, "generated_ids", name),
                       gen) != 2 ||
      gen[0] != dim[0])
    return hy_fail(HY_EDATA,
                   "compare: %sprompt_ids and %sgenerated_ids must be (rows, "
                   "tokens) with the same rows",
                   prefix, prefix);
  s->n = dim[0];
  s->width = dim[1];
  s->n_steps = gen[1];
  s->len = hy_malloc((size_t)s->n * sizeof *s->len);
  len = hy_compare_ids(k->expected, named(prefix, "prompt_lens", name), &n_len);
  for (int64_t i = 0; i < s->n; i++) {
    s->len[i] = len && n_len == s->n ? len[i] : s->width;
    if (s->len[i] < 1 || s->len[i] > s->width)
      err = hy_fail(HY_EDATA,
                    "compare: %sprompt_lens[%lld]=%lld is not in 1 "
                    ".. %lld",
                    prefix, (long long)i, (long long)s->len[i],
                    (long long)s->width);
  }
  free(len);
  if (!err)
    err = hy_compare_check_ids("prompt_ids", s->id, n, k->deck->model.vocab, 0);
  return err;
}

/* A state of one sequence: `outer` runs of the local units (channels, heads) of
 * `inner` numbers each, cut over tp as the spec is. */
typedef struct {
  const char *name;
  int spec, unit_dim; /* dimension of the tensor that counts the units */
  int64_t outer, inner;
} state_shape;

static void
put_state(const hy_compare *k, hy_bag *bag, const char *prefix, int64_t layer,
          const hy_tensor *t, const state_shape *s)
{
  float *x = hy_tensor_look(hy_backend_of(k->grid), t);
  const hy_param_ref *p = &k->model->params.ref[s->spec];
  int64_t dim[4] = {0}, n = t->dim[s->unit_dim];
  int64_t all = p->spec->dim[p->spec->split];
  char full[160];
  float *out;

  memcpy(dim, t->dim + 1, 3 * sizeof *dim);
  dim[s->unit_dim - 1] = all;
  snprintf(full, sizeof full, "%sprefill.%s.%lld", prefix, s->name,
           (long long)layer);
  out = hy_bag_get(bag, full, 0, t->n_dim - 1, dim)->f;
  for (int64_t o = 0; o < s->outer; o++)
    for (int i = 0; i < p->shard.n; i++)
      if (k->grid->tp.rank % p->shard.copies[i] == 0)
        memcpy(out + (o * all + p->shard.global[i]) * s->inner,
               x + (o * n + p->shard.local[i]) * s->inner,
               (size_t)(p->shard.count[i] * s->inner) * sizeof *out);
  free(x);
}

/* The file holds the states of the first prompt of a set, slot 0. Stages and tp
 * ranks have some each, dp and cp ranks the same. */
static void
put_states(const hy_compare *k, const hy_gen *g, const char *prefix,
           hy_bag *bag)
{
  hy_bag all = {0};

  for (int64_t i = 0; i < g->cache.n_layers && k->grid->dp_cp.rank == 0; i++) {
    const hy_layer_cache *l = &g->cache.layer[i];

    if (l->conv.data)
      put_state(
          k, &all, prefix, i, &l->conv,
          &(state_shape){"conv_state", l->conv_spec, 2, l->conv.dim[1], 1});
    if (l->ssm.data)
      put_state(k, &all, prefix, i, &l->ssm,
                &(state_shape){"ssm_state", l->ssm_spec, 1, 1,
                               l->ssm.dim[2] * l->ssm.dim[3]});
  }
  hy_bag_gather(&all, &k->grid->world);
  hy_bag_merge(bag, &all);
  hy_bag_free(&all);
}

/* All prompts of the set side by side. A single prompt's logits have no row
 * dimension in the file; sizes are what is compared. */
static int
run_set(hy_compare *k, const prompt_set *s, hy_bag *bag)
{
  int64_t vocab = k->deck->model.vocab, n_prompt = 0;
  size_t n = (size_t)s->n;
  hy_sampler greedy = {.temperature = 0};
  int32_t *token = hy_malloc(n * (size_t)s->width * sizeof *token);
  int32_t *slot = hy_malloc(n * sizeof *slot);
  int64_t *one = hy_malloc(n * sizeof *one);
  float *z = hy_malloc(n * (size_t)vocab * sizeof *z);
  char name[160];
  hy_gen g;
  int err = hy_gen_new(&g, k->model, k->grid, k->n_threads, s->n,
                       s->width + s->n_steps, 64 > s->n ? 64 : s->n);

  for (int64_t i = 0; i < s->n; i++) {
    memcpy(token + n_prompt, s->id + i * s->width,
           (size_t)s->len[i] * sizeof *token);
    n_prompt += s->len[i];
    slot[i] = (int32_t)i;
    one[i] = 1;
  }
  if (!err)
    err = hy_gen_feed(&g, (int)s->n, slot, s->len, token, z);
  if (!err)
    put_states(k, &g, s->prefix, bag);
  for (int64_t t = 0; t < s->n_steps && !err; t++) {
    float *out = hy_bag_get(bag, named(s->prefix, "step_logits", name), 0, 3,
                            (int64_t[]){s->n, s->n_steps, vocab})
                     ->f;
    int32_t *id = hy_bag_get(bag, named(s->prefix, "generated_ids", name), 1, 2,
                             (int64_t[]){s->n, s->n_steps})
                      ->i;

    for (int64_t i = 0; i < s->n; i++) {
      memcpy(out + (i * s->n_steps + t) * vocab, z + i * vocab,
             (size_t)vocab * sizeof *z);
      token[i] = hy_sample(&greedy, 0, z + i * vocab, vocab, NULL);
      id[i * s->n_steps + t] = token[i];
    }
    if (t + 1 < s->n_steps)
      err = hy_gen_feed(&g, (int)s->n, slot, one, token, z);
  }
  hy_gen_free(&g);
  free(token);
  free(slot);
  free(one);
  free(z);
  return err;
}

int
hy_compare_decode(hy_compare *k, hy_bag *bag)
{
  static const char *const prefix[] = {"", "batch."};
  int err = HY_OK, n_set = 0;

  for (int i = 0; i < 2 && !err; i++) {
    prompt_set s;

    err = read_prompts(k, prefix[i], &s);
    if (!err && s.n > 0) {
      err = run_set(k, &s, bag);
      n_set++;
    }
    free(s.id);
    free(s.len);
  }
  if (!err && n_set == 0)
    err = hy_fail(HY_EDATA, "compare: a case of kind decode needs prompt_ids "
                            "and generated_ids");
  return err;
}
