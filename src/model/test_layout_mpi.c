/* test_layout_mpi.c: the gradient table. For each layout that this many ranks
 * can have: every parameter's gradient from these ranks against the one that
 * one rank computes, with the axes on which each rank's gradient is a part. */
#include "data/cut.h"
#include "model/pipe.h"
#include "model/test_tiny.h"
#include "optim/bucket.h"
#include "grid/test_mpi.h"

enum { LEN = 24, TAPS = 4 };

/* Sums over ranks have another order than sums in one; 3e-6 was seen. */
static const double bound = 6e-6;

typedef struct {
  int ranks; /* dp follows */
  const char *pattern;
  int tp, sp, ep, cp, pp;
  int64_t rows, vocab, n_kv_heads, n_groups;
  int tie;
} layout;

/* clang-format off */
/* tp sp ep cp pp  rows ids key-heads groups tied */
static const layout table[] = {
    {1, "M*-/*-", 1, 0, 1, 1, 1,  4, 29, 2, 2, 0},
    /* features and vocabulary over tp, tokens too */
    {2, "M*-/*-", 2, 0, 1, 1, 1,  4, 29, 2, 2, 0},
    {2, "M*-/*-", 2, 1, 1, 1, 1,  4, 29, 2, 2, 0},
    {2, "M*-/*-", 2, 1, 1, 1, 1,  1, 777, 2, 2, 1},
    {4, "M*-/*-", 2, 0, 1, 1, 1,  3, 777, 2, 2, 1},
    {4, "M*-/*-", 2, 1, 1, 1, 1,  3, 29, 2, 2, 0},
    /* more ranks than key heads and groups; than ids */
    {2, "M*-", 2, 1, 1, 1, 1,  2, 29, 1, 1, 0},
    {4, "M*-/*-", 4, 0, 1, 1, 1,  2, 777, 2, 2, 0},
    {4, "M*-/*-", 4, 1, 1, 1, 1,  2, 3, 2, 1, 0},
    {4, "M*-/*-", 4, 1, 1, 1, 1,  1, 777, 1, 2, 1},
    /* experts on slices of the tokens, also shared out */
    {2, "ME*-/*E", 2, 0, 1, 1, 1,  3, 777, 2, 2, 0},
    {2, "ME*-/*E", 2, 1, 2, 1, 1,  3, 29, 2, 2, 0},
    {4, "ME*-/*E", 4, 0, 2, 1, 1,  2, 29, 2, 2, 0},
    {4, "ME*-/*E", 2, 1, 4, 1, 1,  3, 29, 2, 2, 0},
    {4, "ME*-/*E", 2, 1, 4, 1, 1,  1, 29, 2, 2, 0}, /* ranks without tokens */
    /* rows in pieces */
    {2, "ME*-/*E", 1, 0, 1, 2, 1,  3, 29, 2, 2, 0},
    {4, "ME*-/*E", 1, 0, 4, 4, 1,  2, 29, 2, 2, 0},
    {4, "ME*-/*E", 2, 0, 2, 2, 1,  3, 777, 2, 2, 0},
    {4, "ME*-/*E", 2, 1, 2, 2, 1,  2, 29, 1, 1, 0},
    /* stages, of which two hold the table */
    {2, "ME*-/*E", 1, 0, 1, 1, 2,  3, 29, 2, 2, 0},
    {2, "M*-", 1, 0, 1, 1, 2,  2, 29, 2, 2, 1},
    {4, "ME*-/*E", 2, 1, 2, 1, 2,  3, 777, 1, 1, 1},
    {4, "ME*-/*E", 1, 0, 2, 1, 2,  3, 29, 2, 2, 0},
    {4, "ME*-/*E", 1, 0, 2, 2, 2,  3, 29, 2, 2, 0},
    /* all of it */
    {8, "ME*-/*E", 2, 1, 4, 2, 2,  3, 29, 2, 2, 0},
    {8, "ME*-/*E", 4, 1, 8, 2, 1,  2, 777, 1, 2, 1},
    {8, "ME*-/*E", 4, 0, 2, 1, 2,  3, 3, 2, 1, 0},
    {8, "ME*-/*E", 1, 0, 4, 4, 2,  3, 29, 2, 2, 1},
    {8, "ME*-/*E", 2, 1, 2, 1, 4,  4, 29, 2, 2, 0},
};
/* clang-format on */

static hy_comm world; /* set once in main */

/* --- batches ------------------------------------------------------------- */

/* Row r: one document, or documents of other lengths in each row; ids from the
 * whole vocabulary. */
static void
put_row(hy_batch *b, int64_t at, int64_t r, const int32_t *id)
{
  int64_t first = r % 3 == 0 ? LEN : 3 + 4 * (r % 3), done = 0;

  for (int64_t n = first; done < LEN; n = 2 * n + 1) {
    n = done + n < LEN ? n : LEN - done;
    tiny_put(b, at + done, id + done, n);
    done += n;
  }
}

/* Part i of n of the rows of this dp rank, all tokens. */
static hy_batch
rows_of(const hy_grid *g, const layout *l, int n_depth, int64_t i, int64_t n)
{
  int64_t lo = l->rows * g->dp.rank / g->dp.size;
  int64_t mine = l->rows * (g->dp.rank + 1) / g->dp.size - lo;
  int64_t from = lo + mine * i / n, to = lo + mine * (i + 1) / n;
  hy_batch all = tiny_batch(l->rows, LEN, n_depth);
  hy_batch part = tiny_batch(to - from, LEN, n_depth);

  test_seed = 9;
  for (int64_t r = 0; r < l->rows; r++) {
    int32_t *id = tiny_ids(LEN);

    for (int64_t t = 0; t < LEN; t++)
      id[t] = (int32_t)(id[t] * 27 % l->vocab);
    put_row(&all, r * LEN, r, id);
    if (r >= from && r < to)
      put_row(&part, (r - from) * LEN, r, id);
  }
  tiny_close(&all);
  tiny_close(&part);
  tiny_share(&part, &all);
  return part;
}

/* What the pipeline asks for its micro-batches. */
typedef struct {
  const hy_grid *g;
  const layout *l;
  int n_depth;
  int64_t n_micro;
  hy_cut *cut;
} source;

static int
get_micro(void *arg, int64_t i, hy_batch *b)
{
  const source *s = arg;
  hy_batch all = rows_of(s->g, s->l, s->n_depth, i, s->n_micro);

  hy_cut_rows(s->cut, &all, b);
  return 0;
}

/* --- the table ----------------------------------------------------------- */

static const char *
axes(const hy_spec *s, const hy_shard *shard, char text[64])
{
  static const struct {
    unsigned bit;
    const char *name;
  } all[] = {{HY_DP, "dp"}, {HY_CP, "cp"}, {HY_SP, "sp"},
             {HY_TP, "tp"}, {HY_PP, "pp"}, {HY_EDP, "edp"}};
  int n = 0;

  for (int i = 0; i < 6; i++)
    if (s->partial & all[i].bit)
      n += snprintf(text + n, 64 - (size_t)n, "%s ", all[i].name);
  for (int i = 0; i < shard->n; i++)
    if (shard->copies[i] > 1)
      n += snprintf(text + n, 64 - (size_t)n, "copies of part %d ", i);
  return text;
}

/* Largest difference of this rank's piece, scaled by the parameter's largest
 * gradient. */
static double
error_of(const hy_param_ref *p, const hy_param_ref *q, const hy_grid *g)
{
  double diff = 0.0, top = 1e-9;

  for (int64_t k = 0; k < hy_shard_size(&p->shard); k++) {
    double d = fabs((double)p->t.grad[k] -
                    (double)q->t.grad[tiny_global(p->spec, g, k)]);

    diff = d <= 1e30 && d <= diff ? diff : d;
  }
  for (int64_t k = 0; k < hy_spec_size(p->spec); k++)
    top = fmax(top, fabs((double)q->t.grad[k]));
  return diff / top;
}

static double
compare(const tiny *x, const tiny *whole, const hy_grid *g)
{
  double worst = 0.0;

  for (int i = 0; i < x->m.plan.n_spec; i++) {
    const hy_param_ref *p = &x->m.params.ref[i], *q = &whole->m.params.ref[i];
    double mine, error;
    char text[64] = "";

    if (p->spec->kind != HY_WEIGHT)
      continue;
    mine = error_of(p, q, g);
    mine = mine == mine ? mine : INFINITY;
    MPI_Allreduce(&mine, &error, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (world.rank == 0)
      printf("  %-46s %-5s %.1e  partial on %s\n", p->spec->name,
             p->spec->split < 0 ? "whole" : "cut", error,
             axes(p->spec, &p->shard, text));
    worst = fmax(worst, error);
  }
  return worst;
}

static void
same_loss(const char *what, double got, double want)
{
  if (!(fabs(got - want) <= 1e-6 * fabs(want)))
    fail_msg("%s: %.9g, on one rank %.9g", what, got, want);
}

static void
check_losses(const tiny *x, const tiny *whole, const hy_grid *g)
{
  double sum[2] = {x->l.ce, x->l.mtp[0]}, aux = x->l.aux;

  hy_sum_f64(&g->dp_cp, sum, 2);
  hy_sum_f64(&g->pp, sum, 2); /* nothing but on the last stage */
  hy_sum_f64(&g->world, &aux, 1);
  same_loss("loss", sum[0], whole->l.ce);
  same_loss("loss of depth 1", sum[1], whole->l.mtp[0]);
  same_loss("balance loss", aux, whole->l.aux);
}

static tiny *
open_whole(const layout *l)
{
  tiny *x = test_alloc(1, sizeof *x);

  tiny_cfg(&x->cfg, l->pattern);
  x->cfg.vocab = l->vocab;
  x->cfg.n_kv_heads = l->n_kv_heads;
  x->cfg.mamba_n_groups = l->n_groups;
  x->cfg.d_shared = 12;
  x->cfg.tie = l->tie;
  tiny_open(x, &tiny_one_rank, 1, l->rows, LEN);
  tiny_weights(&x->m, 7);
  return x;
}

/* Forward and backward on this layout, gradients summed where they are
 * partial. */
static void
step(tiny *x, const layout *l, const hy_grid *g)
{
  float *scratch = test_alloc(HY_BUCKET, sizeof *scratch);
  int n_depth = x->m.plan.n_depth;
  source s = {g, l, n_depth, g->pp.size > 1 ? 2 : 1, NULL};
  hy_batch_source src = {s.n_micro, get_micro, &s};
  hy_cut_layout share = hy_cut_layout_of(g, TAPS);
  hy_batch last;
  hy_pipe p;
  double sent;

  assert_int_equal(hy_cut_new(&s.cut, &share, l->rows, LEN, n_depth), 0);
  assert_int_equal(
      hy_pipe_new(&p, &x->m, g, 1, l->rows, LEN, HY_WS_TRAIN, s.n_micro), 0);
  tiny_clear(x);
  sent = g->meter->sent[HY_AXIS_TP];
  assert_int_equal(hy_pipe_run(&p, &src, 1, &x->l, &last), 0);
  sent = g->meter->sent[HY_AXIS_TP] - sent;
  if (g->dp.size == 1 && !strchr(l->pattern, 'E')) /* no routing, as planned */
    assert_true(fabs(sent - (double)s.n_micro * p.ctx->sent[HY_AXIS_TP]) <=
                1e-9 * sent);
  hy_reduce_grads(&x->m.params, g, scratch);
  hy_pipe_free(&p);
  hy_cut_free(s.cut);
}

static void
check(const layout *l, const char *recompute)
{
  hy_deck_grid d = {
      .tp = l->tp, .sp = l->sp, .ep = l->ep, .cp = l->cp, .pp = l->pp};
  tiny *whole = open_whole(l), *x;
  hy_batch b = rows_of(&tiny_one_rank, l, whole->m.plan.n_depth, 0, 1);
  hy_grid g;
  double worst;

  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  x = tiny_piece(whole, &g, l->rows, LEN);
  assert_int_equal(hy_model_recompute(&x->m, recompute), 0);
  tiny_step(whole, &b);
  step(x, l, &g);
  if (world.rank == 0)
    printf("%s: tp %d%s, ep %d, cp %d, pp %d, dp %d; %lld rows, %lld ids, %lld "
           "key heads, %lld groups%s; recompute %s\n",
           l->pattern, g.tp.size, g.sp ? " sp" : "", g.ep.size, g.cp.size,
           g.pp.size, g.dp.size, (long long)l->rows, (long long)l->vocab,
           (long long)l->n_kv_heads, (long long)l->n_groups,
           l->tie ? ", tied" : "", recompute);
  worst = compare(x, whole, &g);
  if (world.rank == 0)
    printf("  worst %.1e\n", worst);
  check_losses(x, whole, &g);
  assert_true(worst < bound);
  tiny_free(x);
  tiny_free(whole);
  hy_grid_free(&g);
  test_release();
}

static void
test_table(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (table[i].ranks == world.size) {
      check(&table[i], "none");
      check(&table[i], "all");
    }
}

static const struct CMUnitTest test[] = {cmocka_unit_test(test_table)};

TEST_MPI_MAIN(test)
