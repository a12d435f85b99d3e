/* test_comm_mpi.c: collectives of what lies in the memory of GPUs, each way of
 * gpu_comm.h, against MPI in memory of the host: the same bits, and the same
 * bytes counted. Pipelines and rings whose messages are started early. Through
 * the shim once more with streams that run only when somebody waits for them,
 * so that a stream which does not wait for another gives wrong numbers. */
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "gpu/gpu_module.h"
#include "gpu/gpu_comm.h"
#include "gpu/gpu.h"
#include "grid/test_mpi.h"
#ifdef HYMN_CUDA_SHIM
#include "cuda/shim/stream.h"
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static hy_comm world; /* set once in main */
static const char *way;

/* ---- a grid whose ranks are all on one axis, and its GPU ------------------
 */

static hy_grid
open_grid(hy_deck_grid d)
{
  hy_grid g;

  d.ep = d.ep ? d.ep : 1;
  d.tp = d.tp ? d.tp : 1;
  d.cp = d.cp ? d.cp : 1;
  d.pp = d.pp ? d.pp : 1;
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  setenv("HYMN_GPU_COMM", way, 1);
  assert_int_equal(hy_gpu_module_get()->open(&g, HY_F32), 0);
  return g;
}

static void
close_grid(hy_grid *g)
{
  hy_gpu_module_get()->close(g);
  hy_grid_free(g);
}

static const hy_mem *
memory(const hy_grid *g)
{
  return hy_backend_of(g)->mem;
}

/* n random numbers of fmt, others on each rank: on the host and on the GPU. */
typedef struct {
  hy_fmt fmt;
  size_t n;
  void *host, *gpu;
} array;

static array
new_array(const hy_grid *g, hy_fmt fmt, int64_t n, uint64_t seed)
{
  array a = {fmt, hy_bytes(fmt, n), NULL, NULL};

  a.host = hy_malloc(a.n + 1);
  a.gpu = memory(g)->get(a.n);
  for (int64_t i = 0; i < n; i++) {
    uint64_t key = seed * 64 + (uint64_t)world.rank;
    float v = (float)(hy_rng_u64(key, (uint64_t)i) % 20001) / 7000.0f - 1.5f;

    v *= i % 3 == 0 ? 1e4f : 1;
    hy_from_f32(hy_at(a.host, fmt, i), &v, fmt, 1);
  }
  memory(g)->load(a.gpu, a.host, a.n);
  return a;
}

/* What is on the GPU is what is on the host; gives both back. */
static void
check_array(const hy_grid *g, array *a)
{
  void *got = hy_malloc(a->n + 1);

  memory(g)->read(got, a->gpu, a->n);
  if (a->n)
    assert_memory_equal(got, a->host, a->n);
  memory(g)->put(a->gpu);
  free(got);
  free(a->host);
}

/* ---- each collective ------------------------------------------------------
 */

enum { CASES = 12, MAX_RANKS = 16 };

static int64_t
draw(int seed, int at, int64_t n)
{
  return (int64_t)(hy_rng_u64(99 + (uint64_t)seed, (uint64_t)at) % (uint64_t)n);
}

static void
ranges(int seed, int64_t most, int64_t *at)
{
  at[0] = 0;
  for (int r = 0; r < world.size; r++)
    at[r + 1] =
        at[r] + (draw(seed, 2 * r, 3) ? draw(seed, 2 * r + 1, most) : 0);
}

static void
test_gather(void **state)
{
  hy_grid g = open_grid((hy_deck_grid){.tp = world.size});
  hy_comm host = hy_comm_host(&g.tp);

  (void)state;
  for (int s = 0; s < CASES; s++) {
    int64_t at[MAX_RANKS + 1];
    double sent[2] = {0, 0};
    array a;

    ranges(s, 5000, at);
    a = new_array(&g, s % 2 ? HY_F32 : HY_BF16, at[world.size], (uint64_t)s);
    for (int i = 0; i < 2; i++) {
      sent[i] = g.meter->sent[HY_AXIS_TP];
      hy_all_gather(i ? &host : &g.tp, i ? a.host : a.gpu, at,
                    hy_bytes(a.fmt, 1));
      sent[i] = g.meter->sent[HY_AXIS_TP] - sent[i];
    }
    assert_true(sent[0] == sent[1]);
    check_array(&g, &a);
  }
  close_grid(&g);
}

static void
test_to_all(void **state)
{
  hy_grid g = open_grid((hy_deck_grid){.ep = world.size});
  hy_comm host = hy_comm_host(&g.ep);

  (void)state;
  for (int s = 0; s < CASES; s++) {
    int64_t out[MAX_RANKS + 1] = {0}, in[MAX_RANKS + 1] = {0};
    int me = world.rank;
    array a, b;

    for (int r = 0; r < world.size; r++) {
      out[r + 1] = out[r] + draw(s, 100 * me + r, 400) / 2;
      in[r + 1] = in[r] + draw(s, 100 * r + me, 400) / 2;
    }
    a = new_array(&g, HY_F32, out[world.size], 1);
    b = new_array(&g, HY_F32, in[world.size], 2);
    hy_all_to_all(&g.ep, a.gpu, out, b.gpu, in, 4);
    hy_all_to_all(&host, a.host, out, b.host, in, 4);
    check_array(&g, &a);
    check_array(&g, &b);
  }
  close_grid(&g);
}

/* The host's sums are of fp32; bf16 is the rounded sum of wider numbers. */
static void
round_array(array *a, const float *wide, int64_t n)
{
  hy_from_f32(a->host, wide, a->fmt, n);
}

static void
test_scatter(void **state)
{
  hy_grid g = open_grid((hy_deck_grid){0});
  hy_comm host = hy_comm_host(&g.dp_cp);

  (void)state;
  for (int s = 0; s < CASES; s++) {
    int64_t at[MAX_RANKS + 1], n, all;
    float *wide, *scratch, *own;
    array a, part, sum;

    ranges(s, 900, at);
    n = at[world.rank + 1] - at[world.rank];
    all = at[world.size];
    a = new_array(&g, s % 2 ? HY_F32 : HY_BF16, all, 3);
    part = new_array(&g, a.fmt, n * world.size, 4);
    sum = new_array(&g, a.fmt, n, 5);
    wide = hy_calloc((size_t)all + 1, sizeof *wide);
    own = hy_calloc((size_t)n + 1, sizeof *own);
    scratch = hy_calloc((size_t)(n * world.size) + 1, sizeof *scratch);
    hy_to_f32(wide, a.host, a.fmt, all);
    hy_reduce_scatter(&g.dp_cp, a.gpu, at, sum.gpu, a.fmt, part.gpu);
    hy_reduce_scatter(&host, wide, at, own, HY_F32, scratch);
    round_array(&sum, own, n);
    check_array(&g, &sum);
    check_array(&g, &a);
    memory(&g)->put(part.gpu);
    free(part.host);
    free(wide);
    free(own);
    free(scratch);
  }
  close_grid(&g);
}

static void
test_sum(void **state)
{
  static const int64_t count[] = {1, 3, 64, 127, 1024, 5000};
  hy_grid g = open_grid((hy_deck_grid){.tp = world.size});
  hy_comm host = hy_comm_host(&g.tp);

  (void)state;
  for (int s = 0; s < 12; s++) {
    int64_t n = count[s / 2];
    size_t room = hy_sum_room(&g.tp, (size_t)n);
    array a = new_array(&g, s % 2 ? HY_F32 : HY_BF16, n, 6);
    float *wide = hy_calloc((size_t)n, sizeof *wide);
    float *scratch = hy_calloc(room, sizeof *scratch);
    void *on_gpu = memory(&g)->get(hy_bytes(a.fmt, (int64_t)room));

    hy_to_f32(wide, a.host, a.fmt, n);
    hy_sum(&g.tp, a.gpu, on_gpu, a.fmt, (size_t)n);
    hy_sum(&host, wide, scratch, HY_F32, (size_t)n);
    round_array(&a, wide, n);
    check_array(&g, &a);
    memory(&g)->put(on_gpu);
    free(wide);
    free(scratch);
  }
  close_grid(&g);
}

/* ---- what is started early ------------------------------------------------
 */

enum { STEPS = 7, WIDE = 300 };

/* Round the ring: at each step what is held goes on while it is added up. */
static void
test_ring(void **state)
{
  hy_grid g = open_grid((hy_deck_grid){.cp = world.size});
  const hy_mem *mem = memory(&g);
  const hy_kit *kit = hy_backend_of(&g)->kit;
  int cp = g.cp.size, next = (g.cp.rank + 1) % cp;
  int last = (g.cp.rank + cp - 1) % cp;
  array held = new_array(&g, HY_F32, WIDE, 7);
  array sum = new_array(&g, HY_F32, WIDE, 8);
  float *buf[2] = {held.gpu, mem->get(WIDE * 4)};
  float all[MAX_RANKS * WIDE];
  int64_t at[MAX_RANKS + 1];
  hy_comm host = hy_comm_host(&g.cp);
  hy_pending p[2] = {{0}, {0}};

  (void)state;
  for (int r = 0; r <= cp; r++)
    at[r] = r * WIDE;
  memcpy(all + at[g.cp.rank], held.host, WIDE * 4);
  hy_all_gather(&host, all, at, 4);
  for (int s = 0; s < cp; s++) {
    if (s + 1 < cp) { /* in two halves, on two handles */
      hy_group_begin(&g.cp);
      for (int i = 0; i < 2; i++) {
        hy_recv_start(&p[i], &g.cp, buf[(s + 1) % 2] + i * WIDE / 2, WIDE * 2,
                      last);
        hy_send_start(&p[i], &g.cp, buf[s % 2] + i * WIDE / 2, WIDE * 2, next);
      }
      hy_group_end(&g.cp);
    }
    kit->add(sum.gpu, WIDE, buf[s % 2], WIDE, HY_F32, 1, WIDE, 1);
    hy_wait(&p[1]);
    hy_wait(&p[0]);
    for (int i = 0; i < WIDE; i++)
      ((float *)sum.host)[i] += all[at[(g.cp.rank + cp - s) % cp] + i];
  }
  check_array(&g, &sum);
  mem->put(buf[0]);
  mem->put(buf[1]);
  free(held.host);
  hy_pending_free(&p[0]);
  hy_pending_free(&p[1]);
  close_grid(&g);
}

/* One forward, one backward: micro-batch i is i + 1; each stage adds its number
 * in hundreds and sends on, and back it adds thousands. Receives are started
 * as early as the pipeline of model/pipe.c starts them. */
typedef struct {
  hy_grid g;
  float *x[STEPS + 1], *g_back[STEPS], *add[2];
  hy_pending here[STEPS + 1], sent[STEPS], back[STEPS];
} line;

static void
line_recv(line *l, int i)
{
  if (i < STEPS && l->g.pp.rank > 0)
    hy_recv_start(&l->here[i], &l->g.pp, l->x[i], WIDE * 4, l->g.pp.rank - 1);
}

static void
line_forward(line *l, int i)
{
  const hy_kit *kit = hy_backend_of(&l->g)->kit;
  int last = l->g.pp.rank == l->g.pp.size - 1;

  hy_wait(&l->here[i]);
  kit->add(l->x[i], WIDE, l->add[0], WIDE, HY_F32, 1, WIDE, 1);
  if (!last) {
    hy_send_start(&l->sent[i], &l->g.pp, l->x[i], WIDE * 4, l->g.pp.rank + 1);
    hy_recv_start(&l->back[i], &l->g.pp, l->g_back[i], WIDE * 4,
                  l->g.pp.rank + 1);
  } else {
    memory(&l->g)->copy(l->g_back[i], l->x[i], WIDE * 4);
  }
  line_recv(l, i + 1);
}

static void
line_backward(line *l, int i)
{
  const hy_kit *kit = hy_backend_of(&l->g)->kit;

  hy_wait(&l->back[i]);
  hy_wait(&l->sent[i]);
  kit->add(l->g_back[i], WIDE, l->add[1], WIDE, HY_F32, 1, WIDE, 1);
  if (l->g.pp.rank > 0)
    hy_send_start(&l->sent[i], &l->g.pp, l->g_back[i], WIDE * 4,
                  l->g.pp.rank - 1);
}

static float *
constant(const hy_grid *g, float v)
{
  float x[WIDE], *p = memory(g)->get(sizeof x);

  for (int i = 0; i < WIDE; i++)
    x[i] = v + (float)i;
  memory(g)->load(p, x, sizeof x);
  return p;
}

static void
test_line(void **state)
{
  line l = {.g = open_grid((hy_deck_grid){.pp = world.size})};
  int n = l.g.pp.size, me = l.g.pp.rank, ahead = n - 1 - me;

  (void)state;
  ahead = ahead < STEPS ? ahead : STEPS;
  for (int i = 0; i < STEPS; i++) {
    l.x[i] = constant(&l.g, me ? -1e6f : (float)(i + 1));
    l.g_back[i] = constant(&l.g, -1e6f);
  }
  l.add[0] = constant(&l.g, 100.0f * (float)(me + 1));
  l.add[1] = constant(&l.g, 1e4f * (float)(me + 1));
  line_recv(&l, 0);
  for (int i = 0; i < STEPS + ahead; i++) {
    if (i < STEPS)
      line_forward(&l, i);
    if (i >= ahead)
      line_backward(&l, i - ahead);
  }
  for (int i = 0; i < STEPS; i++) {
    float got[WIDE];

    hy_wait(&l.sent[i]);
    memory(&l.g)->read(got, l.g_back[i], sizeof got);
    for (int k = 0; k < WIDE; k++) {
      int down = n - me; /* stages behind and this one */
      float want = (float)(i + 1 + k);

      want += 100.0f * (float)(n * (n + 1) / 2) + (float)(n * k);
      want += 1e4f * (float)(n * (n + 1) / 2 - me * (me + 1) / 2);
      want += (float)(down * k);
      assert_true(got[k] == want);
    }
    memory(&l.g)->put(l.x[i]);
    memory(&l.g)->put(l.g_back[i]);
    hy_pending_free(&l.here[i]);
    hy_pending_free(&l.sent[i]);
    hy_pending_free(&l.back[i]);
  }
  memory(&l.g)->put(l.add[0]);
  memory(&l.g)->put(l.add[1]);
  close_grid(&l.g);
}

/* Two axes at once, several groups on one handle, compute between them. */
static void
test_axes(void **state)
{
  int tp = world.size % 2 ? 1 : 2;
  hy_grid g = open_grid((hy_deck_grid){.tp = tp, .ep = world.size});
  int64_t tp_at[MAX_RANKS + 1], dp_at[MAX_RANKS + 1];
  array a = new_array(&g, HY_F32, 64 * tp, 11);
  array b = new_array(&g, HY_F32, 70 * g.dp_cp.size, 12);
  array c = new_array(&g, HY_F32, 10, 13);
  hy_comm tp_host = hy_comm_host(&g.tp), dp_host = hy_comm_host(&g.dp_cp);
  hy_pending p = {0};

  (void)state;
  for (int r = 0; r <= tp; r++)
    tp_at[r] = r * 64;
  for (int r = 0; r <= g.dp_cp.size; r++)
    dp_at[r] = r * 70;
  hy_all_gather_start(&p, &g.dp_cp, b.gpu, dp_at, 4);
  hy_all_gather_start(&p, &g.tp, a.gpu, tp_at, 4);
  hy_backend_of(&g)->kit->add(c.gpu, 10, c.gpu, 10, HY_F32, 1, 10, 1);
  hy_wait(&p);
  hy_all_gather(&tp_host, a.host, tp_at, 4);
  hy_all_gather(&dp_host, b.host, dp_at, 4);
  for (int i = 0; i < 10; i++)
    ((float *)c.host)[i] *= 2;
  check_array(&g, &a);
  check_array(&g, &b);
  check_array(&g, &c);
  hy_pending_free(&p);
  close_grid(&g);
}

/* What is said of the way, and what is refused. */
static void
test_names(void **state)
{
  hy_deck_grid d = {.tp = 1, .cp = 1, .pp = 1, .ep = 1};
  hy_grid g = open_grid(d);

  (void)state;
  assert_non_null(
      strstr(gpu_comm_name(&g), strcmp(way, "nccl") ? "MPI" : "NCCL 2."));
  close_grid(&g);
  assert_int_equal(hy_grid_new(&g, MPI_COMM_WORLD, &d), 0);
  setenv("HYMN_GPU_COMM", "pigeons", 1);
  assert_int_equal(hy_gpu_module_get()->open(&g, HY_F32), HY_ERES);
  assert_non_null(strstr(hy_err_text(), "pigeons"));
  hy_err_clear();
  hy_grid_free(&g);
}

static const struct CMUnitTest test[] = {
    cmocka_unit_test(test_names),  cmocka_unit_test(test_gather),
    cmocka_unit_test(test_to_all), cmocka_unit_test(test_scatter),
    cmocka_unit_test(test_sum),    cmocka_unit_test(test_ring),
    cmocka_unit_test(test_line),   cmocka_unit_test(test_axes),
};

int
main(int argc, char **argv)
{
  static const char *const ways[] = {"host", "aware", "nccl"};
  char gpus[16];
  int failed = 0;

  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  snprintf(gpus, sizeof gpus, "%d", world.size);
  setenv("HYMN_SHIM_GPUS", gpus, 0);
  for (int i = 0; i < 6; i++) {
    way = ways[i % 3];
#ifdef HYMN_CUDA_SHIM
    shim_lazy(i / 3);
#endif
    failed += cmocka_run_group_tests_name(way, test, NULL, NULL);
  }
  if (failed)
    MPI_Abort(MPI_COMM_WORLD, 1);
  MPI_Finalize();
  return 0;
}
