/* router.h: see router.cu. */
#ifndef HYMN_CUDA_ROUTER_H
#define HYMN_CUDA_ROUTER_H

#include "cu.h"

typedef struct {
  int64_t n_tokens;
  int n, top_k; /* experts; chosen of them */
  int n_group, topk_group;
  int norm;
  float scale;
} cu_router;

/** \param w       (T, top_k), fp32, out
 *  \param idx     (T, top_k), out
 *  \param count   (n) tokens sent to each, padding left out, out
 *  \param margin  (1), out
 *  \param logit   (T, n), fp32  \param bias (n)
 *  \param given   (T, top_k) the choices if they are made, else NULL
 *  \param pad     (T) or NULL */
CU_API void cu_router_fwd(cudaStream_t s, const cu_router *a, cu_mat w,
                          int32_t *idx, int32_t *count, float *margin,
                          cu_mat logit, const float *bias, const int32_t *given,
                          const uint8_t *pad);

/** dx = beta dx + what the weights' gradients dw give. */
CU_API void cu_router_bwd(cudaStream_t s, const cu_router *a, cu_mat dx,
                          float beta, cu_mat dw, cu_mat logit,
                          const int32_t *idx);

#endif
