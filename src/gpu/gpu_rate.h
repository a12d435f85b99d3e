/* gpu_rate.h: for benchmarks, see hy_backend. */
#ifndef HYMN_GPU_GPU_RATE_H
#define HYMN_GPU_GPU_RATE_H

#include "op/op.h"

double gpu_timed(void (*body)(hy_ctx *, hy_rec *), hy_ctx *c, hy_rec *r);
double gpu_copy_rate(int n_threads, int repeats);
double gpu_product_rate_fp32(int n_threads, int repeats);
double gpu_product_rate_bf16(int n_threads, int repeats);

#endif
