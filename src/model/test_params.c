/* test_params.c: numbers of parameters of published models; first weights. */
#include "model/count.h"
#include "model/test_tiny.h"

/* --- published sizes ----------------------------------------------------- */

#define NANO "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
#define SUPER                                                                  \
  "MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*"     \
  "EMEMEMEM*EMEMEMEME"
#define ULTRA                                                                  \
  "MEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEM*EMEMEM*"          \
  "EMEMEMEM*EMEMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
#define NANO_9B "M-M-M-MM-M-M-M*-M-M-M*-M-M-M-M*-M-M-M-M*-M-MM-M-M-M-M-M-"
#define NANO_12B                                                               \
  "M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M*-M-M-M-M-"

static const struct {
  const char *pattern;
  int64_t n_params, n_layers;
  int64_t d_model, n_heads, n_kv_heads, d_ff, mamba_heads, mamba_d_head;
  int64_t n_experts, top_k, d_expert, d_shared, d_latent;
} published[] = {
    {NANO, 31577940288, 52, 2688, 32, 2, 0, 64, 64, 128, 6, 1856, 3712, 0},
    {NANO "/*E", 32913266240, 52, 2688, 32, 2, 0, 64, 64, 128, 6, 1856, 3712,
     0},
    {SUPER, 120668707840, 88, 4096, 32, 2, 0, 128, 64, 512, 22, 2688, 5376,
     1024},
    {SUPER "/*E", 123611033088, 88, 4096, 32, 2, 0, 128, 64, 512, 22, 2688,
     5376, 1024},
    {ULTRA, 549308993536, 108, 8192, 64, 2, 0, 256, 64, 512, 22, 5120, 10240,
     2048},
    {ULTRA "/*E", 560524603904, 108, 8192, 64, 2, 0, 256, 64, 512, 22, 5120,
     10240, 2048},
    {NANO_9B, 8888227328, 56, 4480, 40, 8, 15680, 128, 80, 0, 0, 0, 0, 0},
    {NANO_12B, 12310001152, 62, 5120, 40, 8, 20480, 128, 80, 0, 0, 0, 0, 0},
};
enum { N_PUBLISHED = sizeof published / sizeof *published };

static void
published_cfg(hy_cfg *cfg, int i)
{
  *cfg = (hy_cfg){.vocab = 131072,
                  .d_model = published[i].d_model,
                  .n_heads = published[i].n_heads,
                  .n_kv_heads = published[i].n_kv_heads,
                  .d_head = 128,
                  .d_ff = published[i].d_ff,
                  .mamba_n_heads = published[i].mamba_heads,
                  .mamba_d_head = published[i].mamba_d_head,
                  .mamba_n_groups = 8,
                  .mamba_d_state = 128,
                  .mamba_d_conv = 4,
                  .n_experts = published[i].n_experts,
                  .top_k = published[i].top_k,
                  .n_group = 1,
                  .topk_group = 1,
                  .d_expert = published[i].d_expert,
                  .d_shared = published[i].d_shared,
                  .d_latent = published[i].d_latent,
                  .mtp_repeat = 1,
                  .mtp_depths = strchr(published[i].pattern, '/') ? 2 : 0};
  snprintf(cfg->pattern, sizeof cfg->pattern, "%s", published[i].pattern);
}

/* Tensors of a weight folder: each expert one of its own. */
static int64_t
n_tensors(const hy_plan *p)
{
  int64_t n = 0;

  for (int i = 0; i < p->n_spec; i++)
    n += p->spec[i].stacked ? p->spec[i].dim[0] : 1;
  return n;
}

static void
test_published(void **state)
{
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  hy_plan p;

  (void)state;
  for (int i = 0; i < N_PUBLISHED; i++) {
    published_cfg(cfg, i);
    assert_int_equal(hy_plan_new(&p, cfg), 0);
    assert_int_equal(p.n_layer, published[i].n_layers);
    assert_true(hy_plan_n_params(&p) == published[i].n_params);
    if (published[i].n_params == 123611033088)
      assert_int_equal(n_tensors(&p), 42683);
    if (published[i].n_params == 32913266240)
      assert_int_equal(n_tensors(&p), 6513);
    if (published[i].n_params == 560524603904)
      assert_int_equal(n_tensors(&p), 51023);
    hy_plan_free(&p);
  }
  test_release();
}

/* Active, as published: body and head 3.23, 12.23 and 55.0 billion. */
static void
test_active(void **state)
{
  static const struct {
    int i;
    double billion;
  } want[] = {{0, 3.23}, {3, 12.23}, {5, 55.0}};
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  hy_plan p;

  (void)state;
  for (int k = 0; k < 3; k++) {
    published_cfg(cfg, want[k].i);
    assert_int_equal(hy_plan_new(&p, cfg), 0);
    assert_true(
        fabs((double)hy_plan_n_active(&p) * 1e-9 / want[k].billion - 1) < 2e-3);
    hy_plan_free(&p);
  }
  test_release();
}

/* --- shards -------------------------------------------------------------- */

/* Blocks that are cut each by itself: z, x, B, C, dt; x, B, C. */
static int
blocks_of(const hy_spec *s, int64_t block[5])
{
  static const int64_t fused[] = {24, 24, 10, 10, 4};
  int first = strstr(s->name, "in_proj") ? 0 : strstr(s->name, "conv") ? 1 : 5;
  int n = first == 0 ? 5 : 3;

  block[0] = s->dim[s->split];
  if (first == 5)
    return 1;
  memcpy(block, fused + first, (size_t)n * sizeof *block);
  return n;
}

/* What rank r of n holds: the r-th part of each block, one after another;
 * *rows of them. */
static int64_t
global_row(const hy_spec *s, int r, int n, int64_t local, int64_t *rows)
{
  int64_t first = 0, row = -1, block[5];
  int n_blocks = blocks_of(s, block);

  *rows = 0;
  for (int b = 0; b < n_blocks; b++) {
    int64_t from = block[b] * r / n, count = block[b] * (r + 1) / n - from;

    if (local >= *rows && local < *rows + count)
      row = first + from + local - *rows;
    *rows += count;
    first += block[b];
  }
  return row;
}

static void
same_slice(const hy_param_ref *part, const hy_param_ref *whole, int r, int n)
{
  const hy_spec *s = whole->spec;
  int cut = s->split >= 0;
  int64_t outer = 1, inner = 1, at = 0, rows = s->dim[0];

  for (int i = 0; i < s->split; i++)
    outer *= s->dim[i];
  for (int i = (cut ? s->split : 0) + 1; i < 4; i++)
    inner *= s->dim[i];
  if (cut)
    global_row(s, r, n, 0, &rows);
  for (int64_t o = 0; o < outer; o++)
    for (int64_t k = 0; k < rows; k++) {
      int64_t row = cut ? global_row(s, r, n, k, &rows) : k;
      const float *from =
          hy_f32(&whole->t) + (o * s->dim[cut ? s->split : 0] + row) * inner;

      assert_memory_equal(hy_f32(&part->t) + at, from,
                          (size_t)inner * sizeof *from);
      at += inner;
    }
  assert_true(at == hy_shard_size(&part->shard));
}

/* The first weights of any rank of any layout are a slice of the whole. */
static void
test_slices(void **state)
{
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  hy_plan plan;
  hy_params whole, part;

  (void)state;
  tiny_cfg(cfg, "MEM*E-/*E");
  assert_int_equal(hy_plan_new(&plan, cfg), 0);
  assert_int_equal(hy_params_new(&whole, &plan, &tiny_one_rank, 0), 0);
  hy_params_init(&whole, 42);
  for (int n = 1; n <= 2; n++)
    for (int r = 0; r < n; r++) {
      hy_grid g = tiny_one_rank;

      g.tp = g.ep = (hy_comm){.rank = r, .size = n};
      assert_int_equal(hy_params_new(&part, &plan, &g, 0), 0);
      hy_params_init(&part, 42);
      for (int i = 0; i < plan.n_spec; i++)
        same_slice(&part.ref[i], &whole.ref[i], r, n);
      hy_params_free(&part);
    }
  hy_params_free(&whole);
  hy_plan_free(&plan);
  test_release();
}

/* --- distributions ------------------------------------------------------- */

typedef struct {
  double mean, std, lo, hi;
} moments;

static moments
measure(const hy_params *p, const char *name, double (*f)(double))
{
  moments m = {0, 0, INFINITY, -INFINITY};

  for (int i = 0; i < p->n; i++) {
    int64_t n = hy_spec_size(p->ref[i].spec);

    if (strcmp(p->ref[i].spec->name, name) != 0)
      continue;
    for (int64_t j = 0; j < n; j++) {
      double x = f((double)hy_f32(&p->ref[i].t)[j]);

      m.mean += x / (double)n;
      m.std += x * x / (double)n;
      m.lo = fmin(m.lo, x);
      m.hi = fmax(m.hi, x);
    }
    m.std = sqrt(fmax(m.std - m.mean * m.mean, 0));
    return m;
  }
  fail_msg("no parameter %s", name);
  return m;
}

static double
self(double x)
{
  return x;
}

static double
log_softplus(double x)
{
  return log(log1p(exp(x)));
}

static void
expect(const hy_params *p, const char *name, double (*f)(double), moments want,
       double tolerance)
{
  moments m = measure(p, name, f);

  if (fabs(m.mean - want.mean) > tolerance ||
      fabs(m.std - want.std) > tolerance || m.lo < want.lo || m.hi > want.hi)
    fail_msg("%s: mean %g std %g in [%g, %g]", name, m.mean, m.std, m.lo, m.hi);
}

#define LAYER "backbone.layers.0.mixer."

static void
test_distributions(void **state)
{
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  double residual = 0.02 / 2, third = 1 / sqrt(12.0), ten = log(10.0);
  hy_plan plan;
  hy_params p;

  (void)state;
  tiny_cfg(cfg, "M-*E"); /* outputs into the stream: std over sqrt(4) */
  cfg->init_std = 0.02;
  cfg->d_model = 64;
  cfg->mamba_n_heads = 4096;
  cfg->mamba_d_head = 1;
  cfg->d_latent = 0;
  assert_int_equal(hy_plan_new(&plan, cfg), 0);
  assert_int_equal(hy_params_new(&p, &plan, &tiny_one_rank, 0), 0);
  hy_params_init(&p, 1);
  /* bounds of means and deviations: about 5 standard errors */
  expect(&p, LAYER "in_proj.weight", self, (moments){0, 0.02, -0.12, 0.12},
         2e-4);
  expect(&p, LAYER "out_proj.weight", self, (moments){0, residual, -0.06, 0.06},
         2e-4);
  expect(&p, "backbone.layers.1.mixer.down_proj.weight", self,
         (moments){0, residual, -0.05, 0.05}, 2e-3);
  expect(&p, "backbone.layers.2.mixer.o_proj.weight", self,
         (moments){0, residual, -0.05, 0.05}, 2e-3);
  expect(&p, "backbone.layers.3.mixer.experts.%d.down_proj.weight", self,
         (moments){0, residual, -0.05, 0.05}, 1e-3);
  expect(&p, "backbone.layers.3.mixer.experts.%d.up_proj.weight", self,
         (moments){0, 0.02, -0.1, 0.1}, 2e-3);
  expect(&p, LAYER "conv1d.weight", self, (moments){0, third, -0.5, 0.5}, 0.02);
  expect(&p, LAYER "conv1d.bias", self, (moments){0, third, -0.5, 0.5}, 0.03);
  /* A uniform in [1, 16]; log of the time step in [log 1e-3, log 1e-1] */
  expect(&p, LAYER "A_log", exp, (moments){8.5, 15 * third, 0.999, 16.001},
         0.4);
  expect(&p, LAYER "dt_bias", log_softplus,
         (moments){-2 * ten, 2 * ten * third, -3 * ten - 1e-3, -ten + 1e-3},
         0.12);
  assert_true(measure(&p, LAYER "dt_bias", log_softplus).hi > -ten - 0.01);
  expect(&p, LAYER "D", self, (moments){1, 0, 1, 1}, 0);
  expect(&p, LAYER "norm.weight", self, (moments){1, 0, 1, 1}, 0);
  expect(&p, "backbone.norm_f.weight", self, (moments){1, 0, 1, 1}, 0);
  expect(&p, "backbone.layers.3.mixer.gate.e_score_correction_bias", self,
         (moments){0, 0, 0, 0}, 0);
  hy_params_free(&p);
  hy_plan_free(&plan);
  test_release();
}

/* No two parameters share their numbers, no two seeds a parameter. */
static void
test_seeds(void **state)
{
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  hy_plan plan;
  hy_params p, q;

  (void)state;
  tiny_cfg(cfg, "--");
  assert_int_equal(hy_plan_new(&plan, cfg), 0);
  assert_int_equal(hy_params_new(&p, &plan, &tiny_one_rank, 0), 0);
  assert_int_equal(hy_params_new(&q, &plan, &tiny_one_rank, 0), 0);
  hy_params_init(&p, 1);
  hy_params_init(&q, 2);
  assert_true(hy_f32(&p.ref[0].t)[0] != hy_f32(&q.ref[0].t)[0]);
  assert_string_equal(plan.spec[2].name,
                      "backbone.layers.0.mixer.up_proj.weight");
  assert_string_equal(plan.spec[5].name,
                      "backbone.layers.1.mixer.up_proj.weight");
  assert_true(hy_f32(&p.ref[2].t)[0] != hy_f32(&p.ref[5].t)[0]);
  hy_params_init(&q, 1);
  assert_memory_equal(p.w, q.w, p.n_total * sizeof *p.w);
  hy_params_free(&p);
  hy_params_free(&q);
  hy_plan_free(&plan);
  test_release();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_published),     cmocka_unit_test(test_active),
      cmocka_unit_test(test_slices),        cmocka_unit_test(test_seeds),
      cmocka_unit_test(test_distributions),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
