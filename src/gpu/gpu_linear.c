/* gpu_linear.c: bodies of linear on the GPU. A weight that stays fp32 beside
 * bf16 activations is multiplied in fp32: the activations are widened into
 * scratch (rows, K), and their gradient comes through it. */
#include "gpu/gpu.h"
#include "gpu/gpu_blas.h"
#include "cuda/linear.h"

static int
is_mixed(const hy_rec *r)
{
  return r->in[0]->fmt == HY_BF16 && r->in[1]->fmt == HY_F32;
}

/* The activations in the weight's format. */
static cu_mat
rows_in(const hy_rec *r)
{
  const hy_tensor *x = r->in[0];
  int64_t n = hy_cols(r->in[1]);

  if (!is_mixed(r))
    return gpu_mat(x);
  cu_linear_widen(gpu_stream(), r->scratch, gpu_mat(x), x->dim[0], n);
  return (cu_mat){r->scratch, n, 0};
}

void
gpu_linear_fwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *w = r->in[1], *y = r->out[0];

  (void)c;
  gpu_blas_gemm(gpu_stream(), 0, 1, y->dim[0], w->dim[0], hy_cols(w),
                rows_in(r), gpu_mat(w), 0, gpu_mat(y));
}

void
gpu_linear_bwd(hy_ctx *c, hy_rec *r)
{
  const hy_tensor *x = r->in[0], *w = r->in[1], *y = r->out[0];
  int64_t rows = x->dim[0], n_out = w->dim[0], n_in = hy_cols(w);
  cu_mat wide = {r->scratch, n_in, 0};
  cudaStream_t s = gpu_stream();

  (void)c;
  if (x->grad && is_mixed(r)) {
    gpu_blas_gemm(s, 0, 0, rows, n_in, n_out, gpu_grad(y), gpu_mat(w), 0, wide);
    cu_linear_narrow(s, gpu_grad(x), r->scratch, rows, n_in, r->beta[0]);
  } else if (x->grad) {
    gpu_blas_gemm(s, 0, 0, rows, n_in, n_out, gpu_grad(y), gpu_mat(w),
                  r->beta[0], gpu_grad(x));
  }
  if (w->grad)
    gpu_blas_gemm(s, 1, 0, n_out, n_in, rows, gpu_grad(y), rows_in(r),
                  r->beta[1], gpu_grad(w));
}
