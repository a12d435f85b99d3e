/* Products count two FLOPs a multiply-add, backward twice the forward;
 * elementwise work counts no FLOPs, only bytes. Routed experts count the rows
 * that tokens choose. The scan counts its usual chunked form (chunk of 128,
 * causal half inside a chunk, chunk states in and out), attention the causal
 * half of a row. */
#include "op/cost.h"

enum { SCAN_CHUNK = 128 };

static double
bytes_of(const hy_rec *r)
{
  double n = 0;

  for (int i = 0; i < r->n_in; i++)
    n += (double)hy_bytes(r->in[i]->fmt, r->in[i]->dim[0] * hy_cols(r->in[i]));
  for (int i = 0; i < r->n_out; i++)
    n += (double)hy_bytes(r->out[i]->fmt,
                          r->out[i]->dim[0] * hy_cols(r->out[i]));
  return n;
}

static hy_cost
products(const hy_rec *r, double flops)
{
  return (hy_cost){flops, 2 * flops, bytes_of(r)};
}

hy_cost
hy_linear_cost(const hy_rec *r)
{
  return products(r, 2.0 * (double)r->in[0]->dim[0] *
                         (double)hy_cols(r->in[0]) *
                         (double)hy_cols(r->out[0]));
}

hy_cost
hy_grouped_linear_cost(const hy_rec *r)
{
  return hy_linear_cost(r);
}

hy_cost
hy_ssd_cost(const hy_rec *r)
{
  double n = (double)r->in[0]->dim[0], inner = (double)hy_cols(r->in[0]);
  double state = (double)hy_cols(r->in[2]);
  double d_state = state / (double)r->attr.n_groups;

  return products(r, n * (SCAN_CHUNK * (state + inner) + 4 * inner * d_state));
}

hy_cost
hy_ssd_state_cost(const hy_rec *r)
{
  double d_state = (double)hy_cols(r->in[2]) / (double)r->attr.n_groups;

  return products(r, 2.0 * (double)r->in[0]->dim[0] *
                         (double)hy_cols(r->in[0]) * d_state);
}

hy_cost
hy_attention_cost(const hy_rec *r)
{
  double n = (double)r->in[0]->dim[0], q = (double)hy_cols(r->in[0]);

  return products(r, 4 * n * q * (double)r->attr.seq_len / 2);
}

hy_cost
hy_attention_block_cost(const hy_rec *r)
{
  return products(r, 4 * (double)r->in[0]->dim[0] * (double)hy_cols(r->in[0]) *
                         (double)r->in[1]->dim[0]);
}

/* Only memory traffic. */
#define TRAFFIC(name)                                                          \
  hy_cost hy_##name##_cost(const hy_rec *r)                                    \
  {                                                                            \
    return (hy_cost){0, 0, bytes_of(r)};                                       \
  }
TRAFFIC(embedding)
TRAFFIC(rmsnorm)
TRAFFIC(gated_rmsnorm)
TRAFFIC(gate)
TRAFFIC(sum_squares)
TRAFFIC(scaled_norm)
TRAFFIC(conv1d)
TRAFFIC(silu)
TRAFFIC(relu2)
TRAFFIC(softplus)
TRAFFIC(add)
TRAFFIC(concat)
TRAFFIC(router)
TRAFFIC(permute)
TRAFFIC(combine)
TRAFFIC(seq_count)
TRAFFIC(seq_aux)
TRAFFIC(ce_stat)
TRAFFIC(ce)
