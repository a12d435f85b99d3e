/* test_optim_mpi.c: what the optimizer does in the memory of a GPU against the
 * CPU: lists of runs of odd lengths and places; steps of a model's parameters
 * with optim.zero 0, 1 and 3, in fp32 and bf16, with gradients that are a
 * function of the element alone. Without a GPU the kernels run through the
 * shim. */
#include "cpu/cpu_kit.h"
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

#include <float.h>
#include <unistd.h>

static hy_comm world;
static hy_grid here, there; /* the same ranks, for the CPU and for a GPU */

/* ---- runs -----------------------------------------------------------------
 */

enum { N_RUN = 9 };
static const int64_t length[N_RUN] = {1,    0,    16,    8191, 8192,
                                      8193, 3000, 20005, 5};
static const int shift[N_RUN] = {0, 0, 0, 0, 0, 0, 1, 0, 3};

typedef struct {
  const hy_backend *be;
  float *x[4]; /* w, m, v, g */
  void *low;
  hy_run run[N_RUN];
  hy_runs *list;
  size_t n;
} arrays;

static size_t
total(void)
{
  size_t n = 0;

  for (int i = 0; i < N_RUN; i++)
    n += (size_t)(length[i] + 31) / 16 * 16;
  return n;
}

static void
open_arrays(arrays *a, const hy_backend *be, hy_fmt fmt)
{
  size_t at = 0;

  *a = (arrays){.be = be, .n = total()};
  for (int k = 0; k < 4; k++)
    a->x[k] = be->mem->get(a->n * sizeof(float));
  a->low = be->mem->get(hy_bytes(fmt, (int64_t)a->n));
  for (int i = 0; i < N_RUN; i++) {
    size_t p = at + (size_t)shift[i];

    a->run[i] = (hy_run){a->x[0] + p,
                         a->x[1] + p,
                         a->x[2] + p,
                         a->x[3] + p,
                         hy_at(a->low, fmt, (int64_t)p),
                         fmt,
                         i % 2,
                         length[i]};
    at += (size_t)(length[i] + 31) / 16 * 16;
  }
  a->list = be->kit->runs_new(a->run, N_RUN);
}

static void
close_arrays(arrays *a)
{
  a->be->kit->runs_free(a->list);
  for (int k = 0; k < 4; k++)
    a->be->mem->put(a->x[k]);
  a->be->mem->put(a->low);
}

static float *
look(const arrays *a, int k)
{
  float *x = test_alloc(a->n, sizeof *x);

  a->be->mem->read(x, a->x[k], a->n * sizeof *x);
  return x;
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

/* The model's copy is the master, rounded; between the runs nothing changes. */
static void
check_low(const arrays *a, hy_fmt fmt, const float *w)
{
  size_t bytes = hy_bytes(fmt, (int64_t)a->n);
  char *got = test_alloc(bytes, 1), *want = test_alloc(bytes, 1);

  a->be->mem->read(got, a->low, bytes);
  for (int i = 0; i < N_RUN; i++) {
    size_t at = (size_t)((char *)a->run[i].low - (char *)a->low);

    hy_from_f32(want + at, w + (a->run[i].w - a->x[0]), fmt, length[i]);
  }
  assert_memory_equal(got, want, bytes);
}

static void
step_runs(hy_fmt fmt)
{
  const hy_adamw_rates k = {0.9f,  0.95f, 1e-3f, 0.5f,
                            1e-2f, 1.7f,  1.3f,  {1, 0.999f}};
  float *start = test_alloc(total(), sizeof *start);
  arrays a, b;
  double sa, sb;

  open_arrays(&a, &hy_backend_cpu, fmt);
  open_arrays(&b, &gpu_backend_fp32, fmt);
  for (int x = 0; x < 4; x++) {
    for (size_t i = 0; i < a.n; i++)
      start[i] = (float)(x == 2 ? fabs(test_random()) : test_random());
    a.be->mem->load(a.x[x], start, a.n * sizeof *start);
    b.be->mem->load(b.x[x], start, b.n * sizeof *start);
  }
  for (int s = 0; s < 2; s++) {
    a.be->kit->adamw(a.list, &k, 1);
    b.be->kit->adamw(b.list, &k, 1);
  }
  equal("w", look(&b, 0), look(&a, 0), a.n, 1e-5);
  equal("m", look(&b, 1), look(&a, 1), a.n, 1e-5);
  equal("v", look(&b, 2), look(&a, 2), a.n, 1e-5);
  check_low(&b, fmt, look(&b, 0));
  sa = a.be->kit->sum_squares(a.list);
  sb = b.be->kit->sum_squares(b.list);
  assert_true(fabs(sa - sb) < 1e-6 * sa);
  assert_true(sb == b.be->kit->sum_squares(b.list));
  close_arrays(&a);
  close_arrays(&b);
}

static void
test_runs(void **state)
{
  (void)state;
  test_seed = 3;
  step_runs(HY_F32);
  step_runs(HY_BF16);
  test_release();
}

/* One bad number in each place of a run in turn. */
static void
test_bad(void **state)
{
  static const float bad[] = {INFINITY, -INFINITY, NAN};
  const float one = 1, top = FLT_MAX;
  arrays a;

  (void)state;
  open_arrays(&a, &gpu_backend_fp32, HY_F32);
  for (int i = 0; i < N_RUN; i++)
    for (int k = 0; k < 3 && length[i]; k++) {
      int64_t at = k == 0 ? 0 : k == 1 ? length[i] - 1 : length[i] / 2;
      unsigned char flag[N_RUN];
      float *p = (float *)(uintptr_t)a.run[i].g + at;

      a.be->mem->load(p, &bad[k], sizeof one);
      a.be->kit->not_finite(a.list, flag);
      for (int j = 0; j < N_RUN; j++)
        assert_int_equal(flag[j], i == j);
      assert_false(isfinite(a.be->kit->sum_squares(a.list)));
      a.be->mem->load(p, k ? &one : &top, sizeof one);
      a.be->kit->not_finite(a.list, flag);
      for (int j = 0; j < N_RUN; j++)
        assert_int_equal(flag[j], 0);
      a.be->mem->load(p, &one, sizeof one);
    }
  assert_true(isfinite(a.be->kit->sum_squares(a.list)));
  close_arrays(&a);
  test_release();
}

static void
test_bias(void **state)
{
  const int64_t n = 300;
  int64_t *count = test_alloc((size_t)n, sizeof *count), sum = 0;
  float *bias = test_alloc((size_t)n, sizeof *bias), *b;
  int64_t *c;

  (void)state;
  for (int64_t e = 0; e < n; e++)
    sum += count[e] = (int64_t)(100 * fabs(test_random()));
  count[7] += n - sum % n; /* the mean is a whole number, that of one expert */
  count[9] = (sum + n - sum % n) / n;
  b = gpu_mem.get((size_t)n * sizeof *b);
  c = gpu_mem.get((size_t)n * sizeof *c);
  gpu_mem.load(c, count, (size_t)n * sizeof *c);
  cpu_kit.bias_update(bias, count, n, 0.5f);
  gpu_kit.bias_update(b, c, n, 0.5f);
  gpu_mem.read(count, b, (size_t)n * sizeof *b);
  assert_memory_equal(count, bias, (size_t)n * sizeof *b);
  gpu_mem.put(b);
  gpu_mem.put(c);
  test_release();
}

/* ---- steps of a model -----------------------------------------------------
 */

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
      cmocka_unit_test(test_runs),
      cmocka_unit_test(test_bad),
      cmocka_unit_test(test_bias),
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
