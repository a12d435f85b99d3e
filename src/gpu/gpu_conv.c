/* gpu_conv.c: body of conv1d on the GPU: arguments of the kernels from the
 * record. */
#include "base/err.h"
#include "cuda/conv1d.h"
#include "gpu/gpu_rows.h"

/* Row j of span i, or of slot i of the cache. */
static cu_taps
conv_before(const hy_rec *r, int grad)
{
  int64_t past = hy_cols(r->in[1]) - 1;
  const hy_tensor *t;

  if (r->attr.seg) {
    t = r->attr.state[0];
    return (cu_taps){t->data, t->ld, hy_cols(r->in[0]), t->fmt == HY_BF16};
  }
  if (r->n_in <= 3)
    return (cu_taps){0};
  t = r->in[3];
  return (cu_taps){grad ? t->grad : t->data, past * t->ld, t->ld,
                   (grad ? t->gfmt : t->fmt) == HY_BF16};
}

static cu_conv
conv_of(const hy_rec *r)
{
  const hy_tensor *w = r->in[1];

  if (hy_cols(w) > 16)
    hy_die(HY_EBUG, "conv1d: %lld taps, at most 16", (long long)hy_cols(w));
  return (cu_conv){.x = gpu_mat(r->in[0]),
                   .w = w->data,
                   .ldw = w->ld,
                   .b = r->in[2]->data,
                   .before = conv_before(r, 0),
                   .rows = gpu_rows(r),
                   .channels = hy_cols(r->in[0]),
                   .n_taps = (int)hy_cols(w)};
}

void
gpu_conv1d_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_conv1d_fwd(gpu_stream(), conv_of(r), gpu_mat(r->out[0]));
}

void
gpu_conv1d_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_conv1d_bwd(gpu_stream(), conv_of(r), gpu_grad(r->out[0]),
                gpu_grad(r->in[0]), r->in[1]->grad, r->in[2]->grad,
                conv_before(r, 1), r->beta, r->scratch);
}
