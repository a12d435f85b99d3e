/* test_zero_mpi.c: what replicas share out changes no number: optim.zero 0, 1
 * and 3 give one rank's steps and weights, and the same bits again. */
#include "model/test_tiny.h"
#include "base/err.h"
#include "data/cut.h"
#include "optim/update.h"

enum { ROWS = 4, LEN = 17, STEPS = 3 };

static hy_comm world;
static hy_grid one;

static int
get(void *arg, int64_t i, hy_batch *b)
{
  (void)i; /* the same rows in each micro-batch */
  *b = *(const hy_batch *)arg;
  return 0;
}

static void
open_trainer(hy_trainer *t, hy_model *m, const hy_grid *g)
{
  assert_int_equal(
      hy_trainer_new(t, m, g, 1, ROWS, LEN, HY_WS_TRAIN | HY_WS_VALID, 3), 0);
  t->opt.beta1 = 0.9;
  t->opt.beta2 = 0.95;
  t->opt.eps = 1e-3; /* else rounding of tiny gradients decides */
  t->opt.weight_decay = 0.1;
  t->opt.clip = 1;
}

typedef struct {
  hy_step_result step[STEPS];
  double valid[STEPS];
} history;

static void
run(hy_trainer *t, hy_batch *b, int n_micro, history *h)
{
  for (int s = 0; s < STEPS; s++) {
    hy_batch_source src = {n_micro, get, b};

    assert_int_equal(hy_trainer_valid(t, &src, &h->valid[s]), 0);
    assert_int_equal(hy_trainer_step(t, &src, s + 1, 0.01, &h->step[s]), 0);
  }
}

/* Rows of this rank, or its share of them. */
static hy_batch
rows(const hy_grid *g, int n_micro, int n_ahead, hy_cut **cut)
{
  hy_cut_layout layout = hy_cut_layout_of(g, 4);
  hy_batch b = tiny_rows(g, ROWS - 1, LEN, n_ahead);

  *cut = NULL;
  if (g->seq.size > 1) {
    assert_int_equal(hy_cut_new(cut, &layout, ROWS, LEN, n_ahead), 0);
    hy_cut_rows(*cut, &b, &b);
  }

  b.n_target *= n_micro;
  b.n_docs *= n_micro;
  b.n_real *= n_micro;
  for (int k = 0; k < n_ahead; k++)
    b.n_ahead_target[k] *= n_micro;
  return b;
}

/* Walk what this rank has of every parameter: copy from the whole model, or
 * return the largest difference. */
static double
against(hy_params *p, const hy_params *whole, int copy)
{
  double worst = 0.0;

  for (int i = 0; i < p->n; i++) {
    hy_held h = hy_params_held_w(p, i);
    hy_own all = {h.from, h.to, 0};
    const float *from = whole->w + whole->ref[i].at;
    hy_pieces pieces;
    hy_piece r;

    hy_pieces_of(&pieces, p->ref[i].spec, &p->ref[i].shard);
    for (int64_t k = 0; hy_own_next(&pieces, &all, &k, &r);)
      for (int64_t j = 0; j < r.n; j++) {
        float *x = p->w + h.at + (size_t)(r.local - h.from + j);

        if (copy)
          *x = from[r.global + j];
        worst = fmax(worst, fabs((double)(*x - from[r.global + j])));
      }
  }
  return worst;
}

static void
near(const char *what, int zero, double a, double b)
{
  if (!(fabs(a - b) <= 5e-6 * fabs(b)))
    fail_msg("zero %d, %s: %.9g, not %.9g", zero, what, a, b);
}

/* One level against one rank; the weights at the end are left in *m. */
static void
level(hy_model *m, int zero, const hy_cfg *cfg, const hy_grid *g, int n_micro,
      const hy_model *first, const hy_model *last, const history *want,
      history *got)
{
  hy_batch b;
  hy_trainer t;
  hy_cut *cut;

  assert_int_equal(hy_model_new_zero(m, cfg, g, zero), 0);
  against(&m->params, &first->params, 1);
  b = rows(g, n_micro, m->plan.n_depth, &cut);
  open_trainer(&t, m, g);
  run(&t, &b, n_micro, got);
  for (int s = 0; s < STEPS; s++) {
    near("valid", zero, got->valid[s], want->valid[s]);
    near("loss", zero, got->step[s].loss, want->step[s].loss);
    near("norm", zero, got->step[s].norm, want->step[s].norm);
    near("aux", zero, got->step[s].aux, want->step[s].aux);
    near("mtp", zero, got->step[s].mtp[0], want->step[s].mtp[0]);
    near("max_vio", zero, got->step[s].max_vio, want->step[s].max_vio);
  }
  if (against(&m->params, &last->params, 0) > 2e-6)
    fail_msg("zero %d: weights differ by %g", zero,
             against(&m->params, &last->params, 0));
  if (zero == 3 && m->params.zero == 3) { /* as planned, give or take the
                                             first step without prefetch */
    size_t have = hy_store_bytes(&t.store), want_n = t.ctx->unit_bytes;

    assert_in_range(have, want_n / 2, 2 * want_n);
  }
  hy_trainer_free(&t);
  hy_cut_free(cut);
}

static void
check(const char *pattern, int tie, hy_deck_grid d, int n_micro)
{
  tiny *first = tiny_new(pattern, 1, ROWS, LEN), *last;
  history want, got, again;
  hy_trainer t;
  hy_cut *cut;
  hy_batch b;
  hy_grid g;

  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  if (tie) {
    tiny_free(first);
    first->cfg.tie = 1;
    tiny_open(first, &tiny_one_rank, 1, ROWS, LEN);
    tiny_weights(&first->m, 7);
  }
  first->cfg.bias_rate = 1e-2;
  last = tiny_piece(first, &one, ROWS, LEN);
  b = rows(&one, n_micro, first->m.plan.n_depth, &cut);
  open_trainer(&t, &last->m, &one);
  run(&t, &b, n_micro, &want);
  hy_trainer_free(&t);
  for (int zero = 0; zero <= 3; zero += zero ? 2 : 1) {
    hy_model m, n;

    level(&m, zero, &first->cfg, &g, n_micro, &first->m, &last->m, &want, &got);
    level(&n, zero, &first->cfg, &g, n_micro, &first->m, &last->m, &want,
          &again);
    assert_memory_equal(&got, &again, sizeof got);
    assert_memory_equal(m.params.w, n.params.w,
                        m.params.n_total * sizeof(float));
    hy_model_free(&m);
    hy_model_free(&n);
  }
  tiny_free(last);
  tiny_free(first);
  hy_grid_free(&g);
  test_release();
}

static void
test_dp(void **state)
{
  hy_deck_grid d = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};

  (void)state;
  check("ME*-/*E", 0, d, 1);
  check("ME*-/*E", 0, d, 3);
  check("ME*-/*E", 1, d, 2); /* the head is the table, used by all depths */
  check("-", 0, d, 2);
}

/* With every other axis: partial sums, uneven vocabularies, two stages with the
 * table. */
static void
test_axes(void **state)
{
  static const hy_deck_grid layout[] = {
      {.tp = 1, .ep = 2, .cp = 1, .pp = 1},
      {.tp = 2, .ep = 1, .cp = 1, .pp = 1},
      {.tp = 2, .sp = 1, .ep = 2, .cp = 1, .pp = 1},
      {.tp = 1, .ep = 1, .cp = 1, .pp = 2},
      {.tp = 1, .ep = 1, .cp = 2, .pp = 1},
  };

  (void)state;
  for (size_t i = 0; i < sizeof layout / sizeof *layout; i++)
    if (world.size % 2 == 0)
      check("ME*-/*E", i % 2 == 0, layout[i], 2);
  /* experts alone have replicas: a stage where one unit is gathered, backward
   * of two micro-batches in a row */
  if (world.size == 4)
    check("ME*-", 0, (hy_deck_grid){.tp = 2, .ep = 1, .cp = 1, .pp = 2}, 3);
}

/* A level that is not there. */
static void
test_refused(void **state)
{
  hy_cfg *cfg = test_alloc(1, sizeof *cfg);
  hy_model m;

  (void)state;
  tiny_cfg(cfg, "-");
  hy_err_clear();
  assert_int_equal(hy_model_new_zero(&m, cfg, &one, 2), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "optim.zero=2"));
  hy_err_clear();
  test_release();
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_dp),
      cmocka_unit_test(test_axes),
      cmocka_unit_test(test_refused),
  };
  hy_deck_grid d = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  int failed;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  hy_grid_new(&one, MPI_COMM_SELF, &d);
  failed = cmocka_run_group_tests(test, NULL, NULL);
  if (failed) /* the other ranks may wait in a collective */
    MPI_Abort(MPI_COMM_WORLD, 1);
  hy_grid_free(&one);
  MPI_Finalize();
  return 0;
}
