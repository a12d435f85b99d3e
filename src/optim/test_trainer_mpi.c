/* test_trainer_mpi.c: optimizer steps on any number of ranks give what one
 * rank gives; numbers that are not finite stop all ranks and change nothing. */
#include "model/test_tiny.h"
#include "base/err.h"
#include "optim/trainer.h"

enum { ROWS = 4, LEN = 11, STEPS = 3 };

static hy_comm world;   /* set once in main, as */
static hy_grid one, dp; /* this rank alone, and all ranks with rows of their
                           own */

static int
get(void *arg, int64_t i, hy_batch *b)
{
  (void)i;
  *b = *(const hy_batch *)arg;
  return 0;
}

static void
open_trainer(hy_trainer *t, tiny *x, const hy_grid *g)
{
  assert_int_equal(hy_trainer_new(t, &x->m, g, 1, ROWS, LEN, HY_WS_TRAIN), 0);
  t->opt.beta1 = 0.9;
  t->opt.beta2 = 0.95;
  t->opt.eps = 1e-3; /* else rounding of tiny gradients decides */
  t->opt.weight_decay = 0.1;
  t->opt.clip = 1;
}

static void
near(double a, double b)
{
  if (!(fabs(a - b) <= 5e-6 * fabs(b)))
    fail_msg("%.9g, not %.9g", a, b);
}

static void
check(const char *pattern, int tp, int64_t n_rows)
{
  hy_deck_grid d = {.tp = tp, .ep = 1, .cp = 1, .pp = 1};
  tiny *whole = tiny_new(pattern, 1, ROWS, LEN), *x;
  hy_step_result r[2];
  hy_trainer t[2];
  hy_batch b[2];
  hy_grid g;

  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  whole->cfg.bias_rate = 1e-2;
  x = tiny_piece(whole, &g, ROWS, LEN);
  b[0] = tiny_rows(&one, n_rows, LEN, x->m.plan.n_depth);
  b[1] = tiny_rows(&g, n_rows, LEN, x->m.plan.n_depth);
  open_trainer(&t[0], whole, &one);
  open_trainer(&t[1], x, &g);
  for (int step = 1; step <= STEPS; step++) {
    for (int i = 0; i < 2; i++) {
      hy_batch_source src = {1, get, &b[i]};

      assert_int_equal(hy_trainer_step(&t[i], &src, step, 0.01, &r[i]), 0);
    }
    near(r[1].loss, r[0].loss);
    near(r[1].mtp[0], r[0].mtp[0]);
    near(r[1].mtp[1], r[0].mtp[1]);
    near(r[1].aux, r[0].aux);
    near(r[1].norm, r[0].norm);
    near(r[1].max_vio, r[0].max_vio);
    assert_true(r[1].tokens == (double)(n_rows * LEN));
  }
  for (int i = 0; i < x->m.plan.n_spec; i++) {
    const hy_param_ref *p = &x->m.params.ref[i], *q = &whole->m.params.ref[i];

    for (int64_t k = 0; k < hy_shard_size(&p->shard, p->spec); k++)
      assert_true(fabsf(hy_f32(&p->t)[k] -
                        hy_f32(&q->t)[tiny_global(p->spec, &g, k)]) < 2e-6f);
  }
  for (int i = 0; i < 2; i++)
    hy_trainer_free(&t[i]);
  tiny_free(x);
  tiny_free(whole);
  hy_grid_free(&g);
  test_release();
}

static void
test_steps(void **state)
{
  (void)state;
  check("ME*-/*E", 1, ROWS);
  check("ME*-/*E", 1, 1); /* ranks without rows */
  if (world.size > 1)
    check("--/-", 2, 3);
}

/* --- not finite ---------------------------------------------------------- */

/* The step has to fail, name itself and the first bad tensor, and leave
 * weights, moments and biases as they are. */
static void
fails(tiny *x, hy_batch *b, const char *loss, const char *tensor)
{
  hy_batch_source src = {1, get, b};
  const hy_params *p = &x->m.params;
  float *w = test_alloc(p->n_total, sizeof *w);
  hy_step_result r = {0};
  hy_trainer t;

  open_trainer(&t, x, &dp);
  memcpy(w, p->w, p->n_total * sizeof *w);
  hy_err_clear();
  assert_int_equal(hy_trainer_step(&t, &src, 41, 0.01, &r), HY_EDIVERGED);
  if (!strstr(hy_err_text(), "step 41:") || !strstr(hy_err_text(), loss) ||
      !strstr(hy_err_text(), tensor))
    fail_msg("text is: %s", hy_err_text());
  hy_err_clear();
  assert_memory_equal(p->w, w, p->n_total * sizeof *w);
  for (size_t i = 0; i < p->n_weight; i++)
    assert_true(t.opt.m[i] == 0.0f && t.opt.v[i] == 0.0f);
  hy_trainer_free(&t);
}

/* Only the last rank's rows hold the token whose embedding is NaN. */
static void
test_loss(void **state)
{
  tiny *x = tiny_new("ME-", 1, ROWS, LEN);
  hy_batch b = tiny_rows(&dp, ROWS, LEN, 0);

  (void)state;
  x->cfg.bias_rate = 1e-2;
  hy_f32(x->m.weight[x->m.plan.embed])[0] = NAN; /* of token 0 */
  if (world.rank == world.size - 1)
    b.token[2] = 0;
  fails(x, &b, "loss nan", "gradient of backbone.embeddings.weight");
  tiny_free(x);
  test_release();
}

/* The loss of the next token is fine, that of depth 1 is not. */
static void
test_gradient(void **state)
{
  tiny *x = tiny_new("M-/-", 1, ROWS, LEN);
  hy_batch b = tiny_rows(&dp, ROWS, LEN, 2);
  const hy_plan *p = &x->m.plan;

  (void)state;
  hy_f32(x->m.weight[p->mtp[0].enorm])[3] = NAN;
  fails(x, &b, "gradient of ", p->spec[p->embed].name);
  tiny_free(x);
  test_release();
}

/* One rank cannot read its rows: all of them hear of it. */
static int
get_fails(void *arg, int64_t i, hy_batch *b)
{
  get(arg, i, b);
  return world.rank == world.size - 1 ? hy_fail(HY_EDATA, "row 7: bad") : 0;
}

static void
test_source(void **state)
{
  tiny *x = tiny_new("-", 1, ROWS, LEN);
  hy_batch b = tiny_rows(&dp, ROWS, LEN, 0);
  hy_batch_source src = {1, get_fails, &b};
  hy_step_result r = {0};
  hy_trainer t;

  (void)state;
  open_trainer(&t, x, &dp);
  hy_err_clear();
  assert_int_equal(hy_trainer_step(&t, &src, 1, 0.01, &r), HY_EDATA);
  assert_string_equal(hy_err_text(), "row 7: bad");
  hy_err_clear();
  hy_trainer_free(&t);
  tiny_free(x);
  test_release();
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_steps),
      cmocka_unit_test(test_loss),
      cmocka_unit_test(test_gradient),
      cmocka_unit_test(test_source),
  };
  hy_deck_grid d = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  int failed;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  hy_grid_new(&one, MPI_COMM_SELF, &d);
  hy_grid_new(&dp, MPI_COMM_WORLD, &d);
  failed = cmocka_run_group_tests(test, NULL, NULL);
  if (failed) /* the other ranks may wait in a collective */
    MPI_Abort(MPI_COMM_WORLD, 1);
  hy_grid_free(&dp);
  hy_grid_free(&one);
  MPI_Finalize();
  return 0;
}
