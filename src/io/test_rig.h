/* test_rig.h: a small model with every kind of layer, for the tests here;
 * include it behind cmocka.h. */
#ifndef HYMN_IO_TEST_RIG_H
#define HYMN_IO_TEST_RIG_H

#include "base/err.h"
#include "model/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
  hy_deck d;
  hy_grid grid;
  hy_plan plan;
  hy_params p;
  float *m, *v;
} rig;

static inline void
rig_new(rig *r, const hy_comm *world, int tp, const char *more)
{
  static const char *const set[] = {
      "model.pattern='ME*-/*E'", "model.vocab=32",
      "model.d_model=16",        "model.n_heads=4",
      "model.n_kv_heads=2",      "model.d_head=4",
      "model.d_ff=24",           "model.mamba_n_heads=4",
      "model.mamba_d_head=4",    "model.mamba_n_groups=2",
      "model.mamba_d_state=8",   "model.n_experts=4",
      "model.top_k=2",           "model.d_expert=8",
      "model.d_shared=8",        "model.d_latent=8"};
  char text[32];

  hy_err_clear();
  hy_deck_init(&r->d);
  for (size_t i = 0; i < sizeof set / sizeof *set; i++)
    assert_int_equal(hy_deck_set(&r->d, set[i]), HY_OK);
  if (more)
    assert_int_equal(hy_deck_set(&r->d, more), HY_OK);
  snprintf(text, sizeof text, "grid.tp=%d", tp);
  assert_int_equal(hy_deck_set(&r->d, text), HY_OK);
  assert_int_equal(hy_grid_new(&r->grid, world->mpi, &r->d.grid), HY_OK);
  assert_int_equal(hy_plan_new(&r->plan, &r->d.model), HY_OK);
  assert_int_equal(hy_params_new(&r->p, &r->plan, &r->grid, 0), HY_OK);
  hy_params_init(&r->p, 5);
  r->m = hy_calloc(r->p.n_total, sizeof(float));
  r->v = hy_calloc(r->p.n_total, sizeof(float));
  for (size_t i = 0; i < r->p.n_weight; i++) {
    r->m[i] = 2 * r->p.w[i];
    r->v[i] = r->p.w[i] * r->p.w[i];
  }
}

static inline void
rig_free(rig *r)
{
  free(r->m);
  free(r->v);
  hy_params_free(&r->p);
  hy_plan_free(&r->plan);
  hy_grid_free(&r->grid);
  hy_deck_free(&r->d);
}

static inline void
wipe(rig *r)
{
  memset(r->p.w, 0x55, r->p.n_total * sizeof(float));
  memset(r->m, 0x55, r->p.n_weight * sizeof(float));
  memset(r->v, 0x55, r->p.n_weight * sizeof(float));
}

#endif
