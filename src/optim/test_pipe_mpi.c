/* test_pipe_mpi.c: steps through as many pipeline stages as there are ranks
 * give what one rank gives, for any number of micro-batches. */
#include "model/schedule.h"
#include "model/test_tiny.h"
#include "optim/update.h"

enum { LEN = 11, STEPS = 2, MAX_MICRO = 6 };

static hy_comm world; /* set once in main, as */
static hy_grid one, stages;

typedef struct {
  int n;
  hy_batch b[MAX_MICRO];
} micros;

static int
get(void *arg, int64_t i, hy_batch *b)
{
  *b = ((const micros *)arg)->b[i];
  return 0;
}

/* n micro-batches of a row each; number `empty` has none. */
static micros
make_micros(int n, int empty, int n_ahead)
{
  micros m = {.n = n};
  int at = 0;

  for (int i = 0; i < n; i++) {
    hy_batch all = tiny_rows(&one, n, LEN, n_ahead), *b = &m.b[i];

    if (i == empty) {
      *b = tiny_batch(0, LEN, n_ahead);
      b->n_docs = 0;
    } else {
      *b = tiny_batch(1, LEN, n_ahead);
      for (int64_t t = 0; t < LEN; t += 4)
        tiny_put(b, t, all.token + at * LEN + t, t + 4 < LEN ? 4 : LEN - t);
      tiny_close(b);
      at++;
    }
    tiny_share(b, &all);
  }
  return m;
}

static void
open_trainer(hy_trainer *t, tiny *x, const hy_grid *g, int n_micro)
{
  assert_int_equal(hy_trainer_new(t, &x->m, g, 1, 1, LEN,
                                  HY_WS_TRAIN | HY_WS_VALID, n_micro),
                   0);
  t->opt.beta1 = 0.9;
  t->opt.beta2 = 0.95;
  t->opt.eps = 1e-3; /* else rounding of tiny gradients decides */
  t->opt.clip = 1;
}

/* Losses of the next token are added in the same order on the last stage. */
static void
same_step(hy_trainer *t, micros *m, int step)
{
  hy_batch_source src = {m->n, get, m};
  hy_step_result r[2];
  double valid[2];

  for (int i = 0; i < 2; i++) {
    assert_int_equal(hy_trainer_valid(&t[i], &src, &valid[i]), 0);
    assert_int_equal(hy_trainer_step(&t[i], &src, step, 0.01, &r[i]), 0);
  }
  if (step == 1)
    assert_true(r[0].loss == r[1].loss && valid[0] == valid[1]);
  assert_true(fabs(r[0].loss - r[1].loss) < 1e-6 * r[0].loss);
  assert_true(fabs(valid[0] - valid[1]) < 1e-6 * valid[0]);
  assert_true(fabs(r[0].mtp[1] - r[1].mtp[1]) < 1e-6 * r[0].mtp[1]);
  assert_true(fabs(r[0].aux - r[1].aux) < 1e-6 * r[0].aux);
  assert_true(fabs(r[0].norm - r[1].norm) < 1e-6 * r[0].norm);
  assert_true(r[0].max_vio == r[1].max_vio);
}

static void
check(int n_micro, int empty, const char *recompute)
{
  tiny *whole = tiny_new("ME*-/*E", 1, 1, LEN), *x;
  micros m = make_micros(n_micro, empty, whole->m.plan.n_depth);
  double sent = stages.meter->sent[HY_AXIS_PP];
  hy_trainer t[2];

  x = tiny_piece(whole, &stages, 1, LEN);
  assert_int_equal(hy_model_recompute(&x->m, recompute), 0);
  open_trainer(&t[0], whole, &one, n_micro);
  open_trainer(&t[1], x, &stages, n_micro);
  assert_int_equal(
      t[1].pipe.n_ctx,
      hy_schedule_in_flight(stages.pp.size, stages.pp.rank, n_micro));
  for (int step = 1; step <= STEPS; step++)
    same_step(t, &m, step);
  sent = stages.meter->sent[HY_AXIS_PP] - sent;
  if (stages.pp.rank > 0 && stages.pp.rank < stages.pp.size - 1) {
    /* no copy of the embedding here: activations of training, of validation
     * too, and gradients */
    double rows = n_micro - (empty >= 0);

    assert_true(t[1].ctx->sent[HY_AXIS_PP] == 2.0 * LEN * 16 * sizeof(float));
    assert_true(sent == STEPS * rows * 1.5 * t[1].ctx->sent[HY_AXIS_PP]);
  }
  for (int i = 0; i < x->m.plan.n_spec; i++) {
    const hy_param_ref *p = &x->m.params.ref[i], *q = &whole->m.params.ref[i];

    for (int64_t k = 0; k < hy_shard_size(&p->shard); k++)
      assert_true(fabsf(hy_f32(&p->t)[k] - hy_f32(&q->t)[k]) < 2e-6f);
  }
  for (int i = 0; i < 2; i++)
    hy_trainer_free(&t[i]);
  tiny_free(x);
  tiny_free(whole);
  test_release();
}

static void
test_pipe(void **state)
{
  (void)state;
  for (int n = 1; n <= MAX_MICRO; n++)
    check(n, -1, "none");
}

/* A micro-batch without rows, also when layers run again. */
static void
test_empty(void **state)
{
  (void)state;
  check(2, 1, "none");
  check(3, 0, "all");
  check(5, 2, "moe,mamba");
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_pipe),
      cmocka_unit_test(test_empty),
  };
  hy_deck_grid d = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  int failed;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  hy_grid_new(&one, MPI_COMM_SELF, &d);
  d.pp = world.size;
  hy_grid_new(&stages, MPI_COMM_WORLD, &d);
  failed = cmocka_run_group_tests(test, NULL, NULL);
  if (failed) /* the other ranks may wait in a collective */
    MPI_Abort(MPI_COMM_WORLD, 1);
  hy_grid_free(&stages);
  hy_grid_free(&one);
  MPI_Finalize();
  return failed;
}
