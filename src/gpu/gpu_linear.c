/* gpu_linear.c: bodies of linear on the GPU.
 *
 * A weight that stays fp32 beside bf16 activations (a router's) is the sum of
 * three bf16 parts, to the last bit but for the smallest numbers. Activations
 * are bf16 as they are, a product of two bf16 numbers is exact in fp32, and
 * tensor cores add in fp32: so the output and, with dy in parts, the gradient
 * of the weight are products in fp32 without its slow units. The gradient of
 * the activations is rounded to bf16; for it, dy w is as exact as needed
 * without its smallest terms. */
#include "gpu/gpu.h"
#include "gpu/gpu_blas.h"
#include "cuda/linear.h"

static int
is_mixed(const hy_rec *r)
{
  return r->in[0]->fmt == HY_BF16 && r->in[1]->fmt == HY_F32;
}

static cu_mat
part(cu_mat m, int64_t step, int i)
{
  return (cu_mat){hy_at(m.p, HY_BF16, i * step), m.ld, 1};
}

/* The weight's parts, one below another at the start of scratch. */
static cu_mat
weight_parts(const hy_rec *r)
{
  const hy_tensor *w = r->in[1];
  int64_t n_out = w->dim[0], n_in = hy_cols(w);

  cu_linear_split(gpu_stream(), r->scratch, n_in, n_out * n_in, 0, gpu_mat(w),
                  n_out, n_in);
  return (cu_mat){r->scratch, n_in, 1};
}

/* Those of dy, side by side, behind them. */
static cu_mat
slope_parts(const hy_rec *r)
{
  const hy_tensor *w = r->in[1], *y = r->out[0];
  int64_t n_out = w->dim[0], ld = CU_PARTS * n_out;
  void *to = hy_at(r->scratch, HY_BF16, ld * hy_cols(w));

  cu_linear_split(gpu_stream(), to, ld, n_out, 1, gpu_grad(y), y->dim[0],
                  n_out);
  return (cu_mat){to, ld, 1};
}

static void
forward_mixed(const hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  int64_t n_out = w->dim[0], n_in = hy_cols(w);
  cu_mat parts = weight_parts(r);

  for (int i = 3; i > 0; i--) /* the small ones first */
    gpu_blas_gemm(gpu_stream(), 0, 1, y->dim[0], n_out, n_in, gpu_mat(x),
                  part(parts, n_out * n_in, i), i < 3, gpu_mat(y));
}

static void
backward_mixed(const hy_rec *r)
{
  static const int order[] = {3, 1, 0}; /* the small ones first */
  const hy_tensor *x = r->in[0], *w = r->in[1];
  int64_t rows = x->dim[0], n_out = w->dim[0], n_in = hy_cols(w);
  cudaStream_t s = gpu_stream();
  cu_mat dy = slope_parts(r);

  if (x->grad)
    gpu_blas_gemm(s, 0, 0, rows, n_in, 3 * n_out, dy, weight_parts(r),
                  r->beta[0], gpu_grad(x));
  for (int i = 0; w->grad && i < 3; i++)
    gpu_blas_gemm(s, 1, 0, n_out, n_in, rows, part(dy, n_out, order[i]),
                  gpu_mat(x), i > 0 ? 1 : r->beta[1], gpu_grad(w));
}

void
gpu_linear_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];

  (void)c;
  if (is_mixed(r))
    forward_mixed(r);
  else
    gpu_blas_gemm(gpu_stream(), 0, 1, x->dim[0], w->dim[0], hy_cols(w),
                  gpu_mat(x), gpu_mat(w), 0, gpu_mat(y));
}

void
gpu_linear_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  int64_t rows = x->dim[0], n_out = w->dim[0], n_in = hy_cols(w);

  (void)c;
  if (is_mixed(r)) {
    backward_mixed(r);
    return;
  }
  if (x->grad)
    gpu_blas_gemm(gpu_stream(), 0, 0, rows, n_in, n_out, gpu_grad(y),
                  gpu_mat(w), r->beta[0], gpu_grad(x));
  if (w->grad)
    gpu_blas_gemm(gpu_stream(), 1, 0, n_out, n_in, rows, gpu_grad(y),
                  gpu_mat(x), r->beta[1], gpu_grad(w));
}
