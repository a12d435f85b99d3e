/* cpu_kit.h: memory and array functions of the CPU backend (op/backend.h). */
#ifndef HYMN_CPU_CPU_KIT_H
#define HYMN_CPU_CPU_KIT_H

#include "op/tape.h"

extern const hy_mem cpu_mem;
extern const hy_kit cpu_kit;
extern const hy_travel_kit cpu_travel; /* cpu_travel.c */

/* Those of the optimizer, in cpu_optim.c. */
hy_runs *cpu_runs_new(const hy_run *run, int64_t n);
void cpu_runs_free(hy_runs *r);
double cpu_runs_squares(hy_runs *r);
void cpu_runs_not_finite(hy_runs *r, unsigned char *bad);
void cpu_adamw(hy_runs *r, const hy_adamw_rates *k, int n_threads);
void cpu_bias_update(float *bias, const int64_t *count, int64_t n, float rate);

#endif
