/* test_replay.c: layers that run again in backward. */
#include "base/err.h"
#include "model/test_tiny.h"

#include <string.h>

enum { ROWS = 3, LEN = 13 };

#define PATTERN "ME*-E/*E"

static tiny *
again(const char *words)
{
  tiny *x = tiny_new(PATTERN, 1, ROWS, LEN);

  assert_int_equal(hy_model_recompute(&x->m, words), 0);
  hy_ctx_free(&x->c);
  assert_int_equal(
      hy_workspace_new(&x->c, &x->m, &tiny_one_rank, 1, ROWS, LEN, HY_WS_TRAIN),
      0);
  x->c.count = x->count;
  return x;
}

/* Other experts would be chosen now. */
static void
turn_routers(tiny *x)
{
  for (int i = 0; i < x->m.params.n; i++) {
    const hy_param_ref *r = &x->m.params.ref[i];

    for (int64_t e = 0; r->spec->kind == HY_STATISTIC && e < r->t.dim[0]; e++)
      hy_f32(&r->t)[e] = (float)(e % 3) * 2;
  }
}

/* The same bits, less memory, experts as chosen the first time. */
static void
test_layers(void **state)
{
  static const char *const words[] = {"none", "mamba",     "attention", "mlp",
                                      "moe",  "moe,mamba", "mlp, moe",  "all"};
  tiny *plain = tiny_new(PATTERN, 1, ROWS, LEN);
  hy_batch b = tiny_rows(&tiny_one_rank, ROWS, LEN, plain->m.plan.n_depth);
  size_t n = plain->m.params.n_weight * sizeof(float), n_count;

  (void)state;
  n_count = (size_t)(plain->m.plan.n_layer_all * plain->cfg.n_experts);
  tiny_step(plain, &b);
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    tiny *x = again(words[i]);

    tiny_step(x, &b);
    assert_memory_equal(x->m.params.g, plain->m.params.g, n);
    assert_memory_equal(&x->l, &plain->l, sizeof x->l);
    assert_memory_equal(x->count, plain->count, n_count * sizeof *x->count);
    assert_int_equal(hy_workspace_bytes(&x->c), hy_workspace_planned(&x->c));
    assert_int_equal(x->c.act.used, 0);
    assert_true(x->c.planned.fwd == plain->c.planned.fwd &&
                x->c.planned.bwd == plain->c.planned.bwd);
    assert_true((x->c.act.peak < plain->c.act.peak) == (i > 0));
    tiny_clear(x);
    tiny_add(x, &b, 0);
    if (i >= 4) /* all routers are replayed, and see other biases */
      turn_routers(x);
    hy_backward(&x->c);
    assert_memory_equal(x->m.params.g, plain->m.params.g, n);
    tiny_free(x);
  }
  tiny_free(plain);
  test_release();
}

static void
test_names(void **state)
{
  hy_model m = {0};

  (void)state;
  assert_int_equal(hy_model_recompute(&m, "moe,moe mamba"), 0);
  assert_string_equal(m.recompute, "EM");
  assert_int_equal(hy_model_recompute(&m, "none"), 0);
  assert_string_equal(m.recompute, "");
  assert_int_equal(hy_model_recompute(&m, "moe,ssm"), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "'ssm' is not known"));
  hy_err_clear();
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_layers),
      cmocka_unit_test(test_names),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
