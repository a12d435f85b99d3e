/* travel.h: see travel.cu. */
#ifndef HYMN_CUDA_TRAVEL_H
#define HYMN_CUDA_TRAVEL_H

#include "cu.h"

/* A choice on its way, as hy_choice in op/backend.h. */
typedef struct {
  int32_t expert;
  float weight;
} cu_choice;

/* Choices of rows, (n_row, top_k), as hy_places in op/backend.h. */
typedef struct {
  int64_t n_row, top_k;
  int32_t *row, *choice;
} cu_places;

/* The functions travel_... of hy_kit. */
CU_API void cu_travel_places(cudaStream_t s, cu_places p, int32_t *at,
                             const int32_t *idx, int own, int n_rank,
                             void *scratch);
CU_API void cu_travel_spread(cudaStream_t s, cu_places p, void *to, cu_mat from,
                             int64_t n);
CU_API void cu_travel_gather(cudaStream_t s, cu_places p, cu_mat to,
                             const void *from, int64_t n, float beta);
CU_API void cu_travel_pack(cudaStream_t s, cu_places p, cu_choice *out,
                           const int32_t *idx, const float *w, int64_t ldw,
                           int own);
CU_API void cu_travel_unpack(cudaStream_t s, const cu_choice *in,
                             int64_t n_choice, int64_t n_row, int32_t *idx,
                             int32_t *list, float *w, void *scratch);
CU_API void cu_travel_weights(cudaStream_t s, cu_places p, float *g, int64_t ld,
                              const float *from, float beta);

#endif
