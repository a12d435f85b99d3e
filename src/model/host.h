/* host.h: the numbers of parameters where the host can use them, one tensor at
 * a time: for files, first weights, comparisons. Where the host can reach an
 * array nothing is copied; else the largest tensor is what it costs. */
#ifndef HYMN_MODEL_HOST_H
#define HYMN_MODEL_HOST_H

#include "model/params.h"

typedef struct {
  const hy_params *p;
  float *flat[HY_N_PART]; /* NULL: not there */
  float *room;            /* a copy of what the host cannot reach */
  size_t n;               /* floats of it */
  float *from;            /* where it belongs */
  size_t n_from;
} hy_host;

/** \param m, v  moments, laid out as optimizers do; may be NULL */
void hy_host_begin(hy_host *h, const hy_params *p, const float *m,
                   const float *v);
void hy_host_end(hy_host *h);

/** The array HY_PART_* as far as it has parameter i: local element j of those
 *  that *held names is at [held->at + j - held->from], until the next call. */
const float *hy_host_read(hy_host *h, int part, int i, hy_held *held);

/** Local elements [from, to) of it into out. */
void hy_host_copy(const hy_host *h, int part, int i, int64_t from, int64_t to,
                  float *out);

/** As hy_host_read, to be filled: its numbers are undefined, and hy_host_put
 *  takes them over. hy_params_renew follows when all are. */
float *hy_host_open(hy_host *h, int part, int i, hy_held *held);
void hy_host_put(hy_host *h);

/** Moments (HY_PART_M, HY_PART_V) become 0. */
void hy_host_clear(hy_host *h, int part);

#endif
