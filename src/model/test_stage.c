/* test_stage.c: how layers are cut into stages, and the order of work. */
#include "base/err.h"
#include "model/schedule.h"
#include "model/stage.h"
#include "model/test_tiny.h"

#include <stdlib.h>
#include <string.h>

/* ---- balance ---- */

static double
top_of(const double *cost, int n_group, const int *first)
{
  double top = 0;

  for (int g = 0; g < n_group; g++) {
    double sum = 0;

    for (int i = first[g]; i < first[g + 1]; i++)
      sum += cost[i];
    top = fmax(top, sum);
  }
  return top;
}

/* The least largest sum over all ways to cut items at .. n-1. */
static double
try_all(const double *cost, int n, int at, int n_group)
{
  double best = INFINITY, sum = 0;

  if (n_group == 1) {
    for (int i = at; i < n; i++)
      sum += cost[i];
    return sum;
  }
  for (int to = at + 1; to <= n - n_group + 1; to++) {
    sum += cost[to - 1];
    best = fmin(best, fmax(sum, try_all(cost, n, to, n_group - 1)));
  }
  return best;
}

static void
test_balance(void **state)
{
  double cost[9];
  int first[10];

  (void)state;
  srand(3);
  for (int trial = 0; trial < 40; trial++)
    for (int n = 1; n <= 9; n++) {
      for (int i = 0; i < n; i++)
        cost[i] = rand() % 7; /* zeros too */
      for (int g = 1; g <= n; g++) {
        hy_stage_balance(cost, n, g, first);
        assert_int_equal(first[0], 0);
        assert_int_equal(first[g], n);
        for (int i = 0; i < g; i++)
          assert_true(first[i] < first[i + 1]);
        assert_true(top_of(cost, g, first) == try_all(cost, n, 0, g));
      }
    }
}

/* ---- which stage holds what ---- */

static int
cut(hy_plan *p, hy_cfg *cfg, const char *pattern, hy_deck_grid d, int stage,
    hy_grid *g)
{
  d.tp = d.ep = d.cp = 1;
  d.n_ranks = d.pp;
  tiny_cfg(cfg, pattern);
  assert_int_equal(hy_grid_plan(g, &d, stage, NULL), 0);
  assert_int_equal(hy_plan_new(p, cfg), 0);
  return hy_stage_cut(p, g);
}

/* Every tensor has a place, the embedding a second one where it is read
 * again; shards follow. */
static void
test_specs(void **state)
{
  hy_deck_grid d = {.pp = 3, .pp_cut = {3, {1, 2, 1}}};
  static const int want[4] = {0, 1, 1, 2};

  (void)state;
  for (int mtp = 0; mtp < 2; mtp++)
    for (int stage = 0; stage < 3; stage++) {
      hy_cfg cfg;
      hy_plan p;
      hy_grid g;

      assert_int_equal(cut(&p, &cfg, mtp ? "ME*-/*E" : "ME*-", d, stage, &g),
                       0);
      for (int i = 0; i < p.n_spec; i++) {
        const hy_spec *s = &p.spec[i];
        int first = s->layer >= 0 && s->layer < 4 ? want[s->layer]
                    : i == p.embed                ? 0
                                                  : 2;
        int last = i == p.embed && mtp ? 2 : first;
        hy_shard sh;

        assert_int_equal(s->stage[0], first);
        assert_int_equal(s->stage[1], last);
        assert_int_equal(!!(s->partial & HY_PP), first != last);
        hy_shard_of(&sh, s, &g);
        assert_int_equal(sh.here, stage == first || stage == last);
        assert_int_equal(hy_shard_size(&sh), sh.here ? hy_spec_size(s) : 0);
      }
      hy_plan_free(&p);
    }
}

/* By cost: what follows the backbone weighs on the last stage. */
static void
test_by_cost(void **state)
{
  hy_deck_grid d = {.pp = 2};
  hy_cfg cfg;
  hy_plan p;
  hy_grid g;

  (void)state;
  assert_int_equal(cut(&p, &cfg, "------", d, 0, &g), 0);
  assert_true(p.first[1] >= 3 && p.first[1] < 6);
  hy_plan_free(&p);
  assert_int_equal(cut(&p, &cfg, "------/------", d, 0, &g), 0);
  assert_int_equal(p.first[1], 5);
  hy_plan_free(&p);
}

static void
test_refused(void **state)
{
  static const struct {
    hy_deck_grid d;
    const char *word;
  } bad[] = {
      {{.pp = 5}, "has 4 layers"},
      {{.pp = 2, .pp_cut = {3, {1, 1, 2}}}, "names 3 stages, grid.pp=2"},
      {{.pp = 2, .pp_cut = {2, {1, 2}}}, "add up to 3"},
      {{.pp = 1, .pp_cut = {2, {2, 2}}}, "names 2 stages, grid.pp=1"},
  };

  (void)state;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    hy_cfg cfg;
    hy_plan p;
    hy_grid g;

    hy_err_clear();
    assert_int_equal(cut(&p, &cfg, "ME*-", bad[i].d, 0, &g), HY_EDECK);
    assert_non_null(strstr(hy_err_text(), bad[i].word));
    hy_plan_free(&p);
  }
  hy_err_clear();
}

/* ---- the schedule ---- */

enum { MAX_PP = 6, MAX_MICRO = 9 };

typedef struct {
  int64_t k, n_done[2]; /* next action; forwards and backwards done */
} stage_state;

/* One action of a stage if what it needs is there. */
static int
advance(stage_state *s, int pp, int stage, int64_t n)
{
  hy_action a;

  if (s[stage].k == 2 * n)
    return 0;
  a = hy_schedule_at(pp, stage, n, s[stage].k);
  if (!a.backward && stage > 0 && s[stage - 1].n_done[0] <= a.micro)
    return 0;
  if (a.backward && stage < pp - 1 && s[stage + 1].n_done[1] <= a.micro)
    return 0;
  assert_int_equal(a.micro, s[stage].n_done[a.backward]); /* in order, once */
  s[stage].n_done[a.backward]++;
  assert_true(s[stage].n_done[1] <= s[stage].n_done[0]);
  assert_true(s[stage].n_done[0] - s[stage].n_done[1] <=
              hy_schedule_in_flight(pp, stage, n));
  s[stage].k++;
  return 1;
}

/* Stages that wait for each other all come to the end. */
static void
test_schedule(void **state)
{
  (void)state;
  for (int pp = 1; pp <= MAX_PP; pp++)
    for (int64_t n = 1; n <= MAX_MICRO; n++) {
      stage_state s[MAX_PP] = {{0, {0, 0}}};
      int64_t ticks = 0;
      int moved = 1;

      while (moved) {
        moved = 0;
        for (int i = pp - 1; i >= 0; i--)
          moved |= advance(s, pp, i, n);
        ticks++;
      }
      for (int i = 0; i < pp; i++) {
        assert_int_equal(s[i].n_done[0], n);
        assert_int_equal(s[i].n_done[1], n);
        assert_true(hy_schedule_in_flight(pp, i, n) <= pp - i);
      }
      assert_true(ticks - 1 <= 2 * (n + 2 * pp)); /* stages work side by side */
    }
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_balance),  cmocka_unit_test(test_specs),
      cmocka_unit_test(test_by_cost),  cmocka_unit_test(test_refused),
      cmocka_unit_test(test_schedule),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
