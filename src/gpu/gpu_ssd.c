/* gpu_ssd.c: bodies of ssd and ssd_state on the GPU: arguments of the kernels
 * from the records. */
#include "base/err.h"
#include "cuda/ssd.h"
#include "gpu/gpu_rows.h"

enum { X, DT, B, CC, A_LOG, D, START };

static float *
fp32(const hy_tensor *t, const char *what)
{
  if (t->fmt != HY_F32)
    hy_die(HY_EBUG, "%s of the scan has to be fp32", what);
  return t->data;
}

/* What both ops have; a: the input a_log. */
static cu_ssd
ssd_of(const hy_rec *r, const hy_tensor *a)
{
  cu_ssd k = {.x = gpu_mat(r->in[X]),
              .b = gpu_mat(r->in[B]),
              .dt = fp32(r->in[DT], "dt"),
              .ld_dt = r->in[DT]->ld,
              .a_log = fp32(a, "a_log"),
              .rows = gpu_rows(r),
              .n_heads = r->attr.n_heads,
              .n_groups = r->attr.n_groups,
              .logs = r->scratch};

  k.d_head = k.n_heads > 0 ? hy_cols(r->in[X]) / k.n_heads : 0;
  k.d_state = k.n_groups > 0 ? hy_cols(r->in[B]) / k.n_groups : 0;
  return k;
}

static cu_ssd
scan_of(const hy_rec *r)
{
  const hy_segments *seg = r->attr.seg;
  const hy_tensor *s0 = seg               ? r->attr.state[0]
                        : r->n_in > START ? r->in[START]
                                          : NULL;
  cu_ssd k = ssd_of(r, r->in[A_LOG]);

  k.c = gpu_mat(r->in[CC]);
  k.d = fp32(r->in[D], "d");
  if (s0) {
    k.s0 = fp32(s0, "the state");
    k.ld_s0 = s0->ld;
  }
  k.save = seg ? k.logs + cu_ssd_logs_size(k.rows.n_tokens, k.n_heads)
               : r->save[0]->data;
  return k;
}

void
gpu_ssd_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_ssd_fwd(gpu_stream(), scan_of(r), gpu_mat(r->out[0]));
}

void
gpu_ssd_bwd(hy_ctx *c, hy_rec *r)
{
  cu_ssd k = scan_of(r);
  cu_ssd_grad g = {.dy = gpu_grad(r->out[0]),
                   .dx = gpu_grad(r->in[X]),
                   .db = gpu_grad(r->in[B]),
                   .dc = gpu_grad(r->in[CC]),
                   .dt = r->in[DT]->grad,
                   .a_log = r->in[A_LOG]->grad,
                   .d = r->in[D]->grad,
                   .s0 = r->n_in > START ? r->in[START]->grad : NULL,
                   .work =
                       k.logs + cu_ssd_logs_size(k.rows.n_tokens, k.n_heads)};

  (void)c;
  for (int i = 0; i < r->n_in; i++)
    g.beta[i] = r->beta[i];
  cu_ssd_bwd(gpu_stream(), k, g);
}

void
gpu_ssd_state_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_ssd_state_fwd(gpu_stream(), ssd_of(r, r->in[3]), fp32(r->out[0], "output"),
                   r->out[0]->ld);
}

void
gpu_ssd_state_bwd(hy_ctx *c, hy_rec *r)
{
  cu_ssd k = ssd_of(r, r->in[3]);
  cu_ssd_grad g = {.dx = gpu_grad(r->in[X]),
                   .db = gpu_grad(r->in[B]),
                   .dt = r->in[DT]->grad,
                   .a_log = r->in[3]->grad,
                   .work =
                       k.logs + cu_ssd_logs_size(k.rows.n_tokens, k.n_heads)};

  (void)c;
  for (int i = 0; i < r->n_in; i++)
    g.beta[i] = r->beta[i];
  cu_ssd_state_bwd(gpu_stream(), k, r->out[0]->grad, r->out[0]->ld, g);
}
