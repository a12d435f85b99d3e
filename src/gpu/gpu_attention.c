/* gpu_attention.c: bodies of attention, attention_block on the GPU: arguments
 * of the kernels from the records. */
#include "gpu/gpu.h"
#include "cuda/attention.h"

#include "base/err.h"

static cu_attn
attn_of(const hy_rec *r)
{
  const hy_segments *seg = r->attr.seg;
  hy_tensor *const *cache = r->attr.state;
  int n_heads = (int)r->attr.n_heads;
  cu_attn a = {.q = gpu_mat(r->in[0]),
               .k = gpu_mat(r->in[1]),
               .v = gpu_mat(r->in[2]),
               .out = gpu_mat(r->out[0]),
               .n_tokens = r->in[0]->dim[0],
               .n_keys = r->in[1]->dim[0],
               .n_heads = n_heads,
               .n_kv = (int)r->attr.n_kv_heads,
               .d = (int)(hy_cols(r->in[0]) / n_heads),
               .start = r->attr.seq_start};

  if (a.d > CU_ATTN_MAX_D)
    hy_die(HY_ERES, "attention: heads of %d, on a GPU at most %d are possible",
           a.d, CU_ATTN_MAX_D);
  if (r->save[0] != NULL)
    a.lse = gpu_mat(r->save[0]);
  if (seg == NULL)
    return a;
  a.k = (cu_mat){cache[0]->data, hy_cols(r->in[1]), cache[0]->fmt == HY_BF16};
  a.v = (cu_mat){cache[1]->data, hy_cols(r->in[2]), cache[1]->fmt == HY_BF16};
  a.seg = (cu_attn_seg){.n = seg->n_seg,
                        .start = seg->start,
                        .slot = seg->slot,
                        .past = seg->past,
                        .step = {cache[0]->ld, cache[1]->ld}};
  return a;
}

static void
backward(const hy_rec *r)
{
  cu_attn a = attn_of(r);
  cu_attn_grad g = {.dout = gpu_grad(r->out[0]),
                    .dq = gpu_grad(r->in[0]),
                    .dk = gpu_grad(r->in[1]),
                    .dv = gpu_grad(r->in[2]),
                    .scratch = r->scratch};

  for (int i = 0; i < 3; i++)
    g.beta[i] = r->beta[i];
  cu_attention_bwd(gpu_stream(), a, g);
}

void
gpu_attention_fwd(hy_ctx *c, hy_rec *r)
{
  cu_attn a = attn_of(r);

  (void)c;
  for (int i = 0; i < 2 && a.seg.n > 0; i++)
    cu_attention_append(gpu_stream(), a, i, gpu_mat(r->in[1 + i]));
  cu_attention_fwd(gpu_stream(), a);
}

void
gpu_attention_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  backward(r);
}

void
gpu_attention_block_fwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  cu_attention_block_fwd(gpu_stream(), attn_of(r));
}

void
gpu_attention_block_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  backward(r);
}
