/* gpu_optim.h: the optimizer's part of gpu_kit. */
#ifndef HYMN_GPU_GPU_OPTIM_H
#define HYMN_GPU_GPU_OPTIM_H

#include "op/backend.h"

hy_runs *gpu_runs_new(const hy_run *run, int64_t n);
void gpu_runs_free(hy_runs *r);
double gpu_runs_squares(hy_runs *r);
void gpu_runs_not_finite(hy_runs *r, unsigned char *bad);
void gpu_adamw(hy_runs *r, const hy_adamw_rates *k, int n_threads);
void gpu_bias_update(float *bias, const int64_t *count, int64_t n, float rate);

#endif
