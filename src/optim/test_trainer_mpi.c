/* test_trainer_mpi.c: optimizer steps on any number of ranks give what one
 * rank gives; numbers that are not finite stop all ranks and change nothing. */
#include "model/test_tiny.h"
#include "base/err.h"
#include "optim/update.h"

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
  assert_int_equal(
      hy_trainer_new(t, &x->m, g, 1, ROWS, LEN, HY_WS_TRAIN | HY_WS_VALID, 1),
      0);
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

    for (int64_t k = 0; k < hy_shard_size(&p->shard); k++)
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

/* --- correction bias ----------------------------------------------------- */

/* Biases against the naive rule; returns how many have to move. */
static int
moves(const hy_param_ref *r, const float *before, const int64_t *count,
      float rate)
{
  int64_t n = r->spec->dim[0];
  double mean = 0.0;
  int moved = 0;

  for (int64_t e = 0; e < n; e++)
    mean += (double)count[e] / (double)n;
  for (int64_t e = 0; e < n; e++) {
    double over = (double)count[e] - mean;
    float sign = over > 1e-9 ? -1.0f : over < -1e-9 ? 1.0f : 0.0f;

    moved += sign != 0.0f;
    assert_true(hy_f32(&r->t)[e] == before[e] + sign * rate);
  }
  return moved;
}

/* One step of the trainer (or a validation) over two micro-batches;
 * the biases have to follow the rule of their counts. */
static void
bias_step(double rate, int valid)
{
  tiny *x = tiny_new("ME*E/*E", 1, ROWS, LEN);
  hy_batch b = tiny_batch(2, LEN, 2);
  int64_t n_experts = x->cfg.n_experts;
  hy_params *p = &x->m.params;
  float *before = test_alloc(p->n_total, sizeof *before);
  hy_batch_source src = {2, get, &b};
  hy_step_result result = {0};
  hy_trainer t;
  int moved = 0;

  test_seed = 6;
  tiny_put(&b, 0, tiny_ids(7), 7); /* 7 of 22 are padding */
  tiny_put(&b, LEN + 2, tiny_ids(8), 8);
  tiny_close(&b);
  tiny_step(x, &b);
  memcpy(before, p->w, p->n_total * sizeof *before);
  x->cfg.bias_rate = rate;
  open_trainer(&t, x, &one);
  if (valid)
    assert_int_equal(hy_trainer_valid(&t, &src, &result.loss), 0);
  else
    assert_int_equal(hy_trainer_step(&t, &src, 1, 0, &result), 0);
  for (int i = 0; i < p->n; i++)
    if (p->ref[i].spec->kind == HY_STATISTIC) {
      int64_t first = p->ref[i].spec->layer * n_experts;

      for (int64_t e = 0; e < n_experts; e++)
        assert_true(valid || t.count[first + e] == 2 * x->count[first + e]);
      moved += moves(&p->ref[i], before + p->ref[i].at, x->count + first,
                     valid ? 0.0f : (float)rate);
    }
  assert_true(moved > n_experts);
  hy_trainer_free(&t);
  tiny_free(x);
  test_release();
}

static void
test_bias_step(void **state)
{
  (void)state;
  bias_step(1e-3, 0);
  bias_step(0, 0);
  bias_step(1e-3, 1);
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

/* A model whose parameters all ranks share. */
static tiny *
shared(const char *pattern)
{
  tiny *whole = tiny_new(pattern, 1, ROWS, LEN);
  tiny *x = tiny_piece(whole, &dp, ROWS, LEN);

  tiny_free(whole);
  return x;
}

/* Only the last rank's rows hold the token whose embedding is NaN. */
static void
test_loss(void **state)
{
  tiny *x = shared("ME-");
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
  tiny *x = shared("M-/-");
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
      cmocka_unit_test(test_steps),  cmocka_unit_test(test_bias_step),
      cmocka_unit_test(test_loss),   cmocka_unit_test(test_gradient),
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
