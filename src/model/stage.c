#include "model/stage.h"
#include "base/mem.h"
#include "layer/layer.h"
#include "model/model.h"
#include "op/op.h"

#include <math.h>
#include <stdlib.h>

/* Tokens of a row when nobody says: the scale of attention's share. */
enum { ROW_LEN = 4096 };

/* The best way to cut the first n items into some groups. */
typedef struct {
  double top, squares; /* of the sums of the groups */
  int last;            /* first item of the last group */
} best_cut;

static best_cut
last_group(const best_cut *before, const double *cost, int n, int n_group)
{
  best_cut best = {INFINITY, INFINITY, 0};
  double sum = 0;

  for (int at = n - 1; at >= n_group - 1; at--) {
    best_cut b;

    sum += cost[at];
    b.top = fmax(sum, before[at].top);
    b.squares = sum * sum + before[at].squares;
    b.last = at;
    if (b.top < best.top || (b.top == best.top && b.squares < best.squares))
      best = b;
  }
  return best;
}

void
hy_stage_balance(const double *cost, int n, int n_group, int *first)
{
  size_t width = (size_t)n + 1;
  best_cut *b = hy_malloc((size_t)(n_group + 1) * width * sizeof *b);

  for (int i = 0; i <= n; i++) /* no group holds no item only */
    b[i] = (best_cut){i ? INFINITY : 0, i ? INFINITY : 0, 0};
  for (int g = 1; g <= n_group; g++)
    for (int i = 0; i <= n; i++)
      b[(size_t)g * width + (size_t)i] =
          last_group(b + (size_t)(g - 1) * width, cost, i, g);
  first[n_group] = n;
  for (int g = n_group; g > 0; g--)
    first[g - 1] = b[(size_t)g * width + (size_t)first[g]].last;
  free(b);
}

/* Forward FLOPs of each layer for one row on one rank; the last one also has
 * what follows it. */
static void
price(hy_plan *plan, int64_t row_len, double *cost)
{
  const hy_deck_grid whole = {.tp = 1, .ep = 1, .cp = 1, .pp = 1};
  hy_batch b = {.n_rows = 1,
                .seq_len = row_len,
                .n_tokens = row_len,
                .n_ahead = plan->n_depth};
  hy_model m = {.cfg = plan->cfg, .plan = *plan};
  hy_losses l = {0};
  double layers = 0;
  hy_grid one;
  hy_ctx c;

  hy_grid_plan(&one, &whole, 0, NULL); /* one rank can always be cut */
  hy_params_plan(&m.params, plan, &one, 0);
  m.weight = hy_malloc((size_t)plan->n_spec * sizeof *m.weight);
  for (int i = 0; i < plan->n_spec; i++)
    m.weight[i] = &m.params.ref[i].t;
  hy_ctx_init(&c, &hy_backend_plan, &one, 1, plan->n_layer_all);
  c.batch = &b;
  c.weight = m.weight;
  for (int i = 0; i < plan->n_layer; i++) {
    hy_ctx_reset(&c, 0);
    c.cost = (hy_cost){0, 0, 0};
    plan->layer[i].type->forward(
        &c, &plan->layer[i], hy_new(&c, HY_F32, row_len, plan->cfg->d_model));
    layers += cost[i] = c.cost.fwd;
  }
  c.cost = (hy_cost){0, 0, 0};
  hy_ctx_reset(&c, 0);
  hy_model_loss(&c, &m, 1, &l);
  cost[plan->n_layer - 1] += c.cost.fwd - layers;
  hy_ctx_free(&c);
  free(m.weight);
  hy_params_free(&m.params);
}

static int
check(const hy_plan *plan, const hy_grid *grid)
{
  int64_t sum = 0;

  if (grid->pp.size > plan->n_layer)
    return hy_fail(HY_EDECK,
                   "grid.pp=%d: model.pattern=%s has %d layers, and each stage "
                   "needs one; set grid.pp to at most %d",
                   grid->pp.size, plan->cfg->pattern, plan->n_layer,
                   plan->n_layer);
  if (grid->pp_cut.n == 0)
    return HY_OK;
  if (grid->pp_cut.n != grid->pp.size)
    return hy_fail(HY_EDECK,
                   "grid.pp_cut: names %d stages, grid.pp=%d; give one number "
                   "of layers for each stage",
                   grid->pp_cut.n, grid->pp.size);
  for (int i = 0; i < grid->pp_cut.n; i++)
    sum += grid->pp_cut.v[i];
  if (sum != plan->n_layer)
    return hy_fail(HY_EDECK,
                   "grid.pp_cut: its numbers add up to %lld, model.pattern=%s "
                   "has %d layers before the prediction blocks",
                   (long long)sum, plan->cfg->pattern, plan->n_layer);
  return HY_OK;
}

int
hy_stage_cut(hy_plan *plan, const hy_grid *grid)
{
  int n = grid->pp.size, err = check(plan, grid);
  int *first;
  double *cost;

  if (err || n <= 1)
    return err;
  first = hy_calloc((size_t)n + 1, sizeof *first);
  if (grid->pp_cut.n) {
    for (int i = 0; i < n; i++)
      first[i + 1] = first[i] + (int)grid->pp_cut.v[i];
  } else {
    cost = hy_malloc((size_t)plan->n_layer * sizeof *cost);
    price(plan, grid->row_len ? grid->row_len : ROW_LEN, cost);
    hy_stage_balance(cost, plan->n_layer, n, first);
    free(cost);
  }
  hy_plan_set_stages(plan, n, first);
  free(first);
  return HY_OK;
}
