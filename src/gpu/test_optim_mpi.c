/* test_optim_mpi.c: steps of a model's parameters in the memory of a GPU
 * against the CPU: optim.zero 0, 1 and 3, in fp32 and bf16, with and without
 * optim.offload, through checkpoints, with gradients that are a function of the
 * element alone. Without a GPU the kernels run through the shim. */
#include "gpu/gpu.h"
#include "gpu/gpu_comm.h"
#include "base/err.h"
#include "base/file.h"
#include "base/rng.h"
#include "io/ckpt.h"
#include "model/host.h"
#include "model/store.h"
#include "model/test_tiny.h"
#include "optim/adamw.h"
#include "optim/update.h"

#include <unistd.h>

static hy_comm world;
static hy_grid here, there; /* the same ranks, for the CPU and for a GPU */

enum { STEPS = 3 };

typedef struct {
  hy_model m;
  hy_store store;
  hy_adamw opt;
  hy_grid grid;
  double norm[STEPS];
} rig;

static void
open_rig(rig *r, const hy_backend *be, const hy_cfg *cfg, int how)
{
  memset(r, 0, sizeof *r);
  r->grid = be ? there : here;
  r->grid.backend = be;
  assert_int_equal(hy_model_new_zero(&r->m, cfg, &r->grid, how), 0);
  hy_store_new(&r->store, &r->m.params, &r->grid, 0);
  assert_int_equal(hy_adamw_new(&r->opt, &r->m.params), 0);
  r->opt.beta1 = 0.9;
  r->opt.beta2 = 0.95;
  r->opt.eps = 1e-3;
  r->opt.weight_decay = 0.1;
  r->opt.clip = 1;
  hy_params_init(&r->m.params, 5);
}

static void
close_rig(rig *r)
{
  hy_store_free(&r->store);
  hy_adamw_free(&r->opt);
  hy_model_free(&r->m);
}

/* The gradient of an element on one replica in one step. */
static float
slope(const rig *r, int i, int64_t global, int step)
{
  uint64_t key = hy_rng_key((uint64_t)(step * 100 + r->grid.dp_cp.rank),
                            r->m.params.ref[i].spec->name);

  return (float)hy_rng_normal(key, (uint64_t)global);
}

static void
give_gradient(rig *r, int i, int step)
{
  const hy_param_ref *ref = &r->m.params.ref[i];
  int64_t n = hy_shard_size(&ref->shard);
  float *g = test_alloc((size_t)n + 1, sizeof *g);
  hy_pieces pieces;

  if (!ref->t.grad || n == 0)
    return;
  hy_pieces_of(&pieces, ref->spec, &ref->shard);
  for (int64_t k = 0; k < pieces.n; k++) {
    hy_piece x = hy_piece_at(&pieces, k);

    for (int64_t j = 0; j < x.n; j++)
      g[x.local + j] = slope(r, i, x.global + j, step);
  }
  r->m.params.be->mem->load(ref->t.grad, g, (size_t)n * sizeof *g);
  r->m.weight[i]->has = 1;
}

/* Each element is on one rank, 0 on the others. */
static void
gather(float *x, int64_t n, const hy_comm *replicas)
{
  if (replicas->size > 1)
    MPI_Allreduce(MPI_IN_PLACE, x, (int)n, MPI_FLOAT, MPI_SUM, replicas->mpi);
}

/* Master or moments of this rank's shards, tensor after tensor. */
static float *
result(const rig *r, int part)
{
  const hy_params *p = &r->m.params;
  float *out = test_alloc(p->n_weight, sizeof *out), *at = out;
  hy_host host;

  hy_host_begin(&host, p, r->opt.m, r->opt.v);
  for (int i = 0; i < p->n; i++) {
    const hy_param_ref *ref = &p->ref[i];
    hy_held h;
    const float *x;

    if (ref->group < 0)
      continue;
    x = hy_host_read(&host, part, i, &h);
    if (ref->own_from < ref->own_to)
      memcpy(at + ref->own_from, x + h.at + (size_t)(ref->own_from - h.from),
             (size_t)(ref->own_to - ref->own_from) * sizeof *out);
    gather(at, hy_shard_size(&ref->shard), p->group[ref->group].comm);
    at += hy_shard_size(&ref->shard);
  }
  hy_host_end(&host);
  return out;
}

/* What layers read is the master w, in the format of the backend. */
static void
check_weights(const rig *r, int i, const float *w)
{
  const hy_params *p = &r->m.params;
  const hy_param_ref *ref = &p->ref[i];
  size_t n = (size_t)hy_shard_size(&ref->shard);
  size_t bytes = hy_bytes(ref->t.fmt, (int64_t)n);
  char *got = test_alloc(bytes + 1, 1), *want = test_alloc(bytes + 1, 1);

  assert_int_equal(ref->t.fmt, ref->spec->precise ? HY_F32 : p->be->act);
  p->be->mem->read(got, ref->t.data, bytes);
  hy_from_f32(want, w, ref->t.fmt, (int64_t)n);
  assert_memory_equal(got, want, bytes);
}

static void
check_unit(const rig *r, int unit, const float *master)
{
  const hy_params *p = &r->m.params;

  for (int i = 0; i < p->n; i++) {
    if (p->ref[i].group < 0)
      continue;
    if (p->ref[i].spec->unit_id == unit)
      check_weights(r, i, master);
    master += hy_shard_size(&p->ref[i].shard);
  }
}

/* A forward and a backward pass, as the tape asks for its units. */
static void
pass(rig *r, int step)
{
  hy_fetch *f = &r->store.fetch;
  int on = hy_store_active(&r->store);
  float *master = result(r, HY_PART_W);

  hy_store_begin(&r->store, 1, 1);
  for (int u = 0; u < r->store.n_unit; u++) {
    if (on)
      f->acquire(f->arg, u, 0);
    check_unit(r, u, master);
    if (on)
      f->release(f->arg, u, 0, 0);
  }
  for (int u = r->store.n_unit - 1; u >= 0; u--) {
    if (on)
      f->acquire(f->arg, u, 1);
    for (int i = 0; i < r->m.params.n; i++)
      if (r->m.plan.spec[i].unit_id == u)
        give_gradient(r, i, step);
    if (on)
      f->release(f->arg, u, 1, 1);
  }
  hy_store_finish(&r->store);
}

static void
run(rig *r)
{
  hy_params *p = &r->m.params;
  unsigned char *bad = test_alloc((size_t)p->n, 1);

  for (int s = 0; s < STEPS; s++) {
    pass(r, s);
    assert_int_equal(hy_grad_bad(&r->opt, bad), -1);
    r->norm[s] = hy_grad_norm(&r->opt, &r->grid);
    if (p->zero == 0)
      hy_store_share_grads(&r->store);
    hy_adamw_step(&r->opt, s + 1, 0.01, r->norm[s], 1);
    if (p->zero == 1)
      hy_store_share_weights(&r->store);
  }
}

static void
equal(const char *what, const float *a, const float *b, size_t n, double bound)
{
  double worst = 0;

  for (size_t i = 0; i < n; i++)
    worst = fmax(worst, fabs((double)a[i] - (double)b[i]) /
                            (fabs((double)b[i]) + 1e-3));
  if (!(worst <= bound))
    fail_msg("%s: differs by %.2e", what, worst);
}

static size_t
n_elements(const rig *r)
{
  size_t n = 0;

  for (int i = 0; i < r->m.params.n; i++)
    if (r->m.params.ref[i].group >= 0)
      n += (size_t)hy_shard_size(&r->m.params.ref[i].shard);
  return n;
}

static void
same(const rig *a, const rig *b, double bound)
{
  size_t n = n_elements(a);

  for (int s = 0; s < STEPS; s++)
    if (!(fabs(a->norm[s] - b->norm[s]) <= bound * b->norm[s]))
      fail_msg("norm of step %d: %.9g, not %.9g", s + 1, a->norm[s],
               b->norm[s]);
  for (int part = 0; part < HY_PART_G; part++)
    equal(part ? "moments" : "master", result(a, part), result(b, part), n,
          bound);
}

/* The state of a goes through files, written at once and beside the training,
 * to another backend and layout of memory. */
static void
through_file(rig *a, const hy_backend *be, int how)
{
  char dir[] = "test_optim_XXXXXX", hash[2][HY_SHA_HEX], *path;
  hy_ckpt_state st = {.step = 4};
  hy_ckpt_save *save = NULL;
  hy_deck d;
  rig b;

  assert_true(world.rank != 0 || mkdtemp(dir));
  hy_bcast(&world, dir, sizeof dir, 0);
  path = hy_asprintf("%s/step_0000004.h5", dir);
  hy_deck_init(&d);
  for (int k = 0; k < 2; k++) {
    hy_params *p = &a->m.params;
    int err =
        k ? hy_ckpt_save_begin(&save, dir, p, a->opt.m, a->opt.v, &st, &d,
                               &a->grid, 0)
          : hy_ckpt_write(dir, p, a->opt.m, a->opt.v, &st, &d, &a->grid, 0);

    assert_int_equal(err, 0);
    assert_int_equal(hy_ckpt_save_wait(&save), 0);
    assert_int_equal(hy_sha256_file(path, hash[k]), 0);
    MPI_Barrier(world.mpi);
  }
  assert_string_equal(hash[0], hash[1]);
  open_rig(&b, be, a->m.cfg, how);
  assert_int_equal(
      hy_ckpt_read(&b.m.params, b.opt.m, b.opt.v, NULL, path, &b.grid), 0);
  for (int part = 0; part < HY_PART_G; part++)
    assert_memory_equal(result(&b, part), result(a, part),
                        n_elements(a) * sizeof(float));
  pass(&b, 0);
  close_rig(&b);
  if (world.rank == 0) {
    unlink(path);
    free(path);
    path = hy_path_join(dir, "latest");
    unlink(path);
    rmdir(dir);
  }
  free(path);
  hy_deck_free(&d);
}

static void
check_model(void)
{
  static const hy_backend *const be[] = {&gpu_backend_fp32, &gpu_backend_bf16};
  static const int how[] = {1, 3, HY_OFFLOAD, HY_OFFLOAD | 1, HY_OFFLOAD | 3};
  enum { N_HOW = sizeof how / sizeof *how };
  hy_cfg cfg;
  rig cpu, first, r;

  tiny_cfg(&cfg, "ME*-/-");
  open_rig(&cpu, NULL, &cfg, 0);
  run(&cpu);
  for (int k = 0; k < 2; k++) {
    open_rig(&first, be[k], &cfg, 0);
    run(&first);
    same(&first, &cpu, 1e-5);
    for (int h = 0; h < N_HOW; h++) {
      open_rig(&r, be[k], &cfg, how[h]);
      assert_int_equal(r.m.params.zero, here.dp_cp.size > 1 ? how[h] % 4 : 0);
      assert_int_equal(r.m.params.offload, how[h] >= HY_OFFLOAD);
      run(&r);
      same(&r, &first, 0);
      if (k)
        through_file(&r, h % 2 ? &gpu_backend_fp32 : NULL, how[N_HOW - 1 - h]);
      close_rig(&r);
      test_release();
    }
    close_rig(&first);
  }
  close_rig(&cpu);
  test_release();
}

static void
on_grid(int ep)
{
  hy_deck_grid d = {.tp = 1, .ep = ep, .cp = 1, .pp = 1};

  assert_int_equal(hy_grid_new(&here, MPI_COMM_WORLD, &d), 0);
  assert_int_equal(hy_grid_new(&there, MPI_COMM_WORLD, &d), 0);
  there.backend = &gpu_backend_fp32;
  assert_int_equal(gpu_comm_open(&there, 0), 0);
  check_model();
  gpu_comm_close(&there);
  hy_grid_free(&there);
  hy_grid_free(&here);
}

static void
test_model(void **state)
{
  (void)state;
  on_grid(1);
  if (world.size % 2 == 0)
    on_grid(2);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_model),
  };
  int failed;

  /* streams that run as late as they may */
  if (setenv("HYMN_SHIM_LAZY", "1", 0) == 0 && !getenv("HYMN_TEST_OPTIM")) {
    setenv("HYMN_TEST_OPTIM", "1", 1); /* the shim reads it when it starts */
    execv(argv[0], argv);
  }
  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  failed = cmocka_run_group_tests(test, NULL, NULL);
  if (failed) /* the other ranks may wait in a collective */
    MPI_Abort(MPI_COMM_WORLD, 1);
  MPI_Finalize();
  return 0;
}
