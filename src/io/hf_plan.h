/* hf_plan.h: which tensors an export writes, in which file and order. */
#ifndef HYMN_IO_HF_PLAN_H
#define HYMN_IO_HF_PLAN_H

#include "io/hf.h"

typedef struct {
  char name[HY_NAME_LEN];
  int spec;
  int64_t expert; /* 0 if not stacked */
  hy_fmt fmt;
  int n_dim;
  int64_t dim[4];
  int64_t n; /* elements */
  int file;
} hy_out;

typedef struct {
  int64_t n;
  hy_out *t; /* by file, then in the order of the safetensors package */
  int n_file;
  char **file;
} hy_out_plan;

/** Tensors of the plan in files: as the source folder divides them, when it
 *  has all of them and no file is too large, else filled one after another up
 *  to opt->shard_bytes. Not collective. */
void hy_out_plan_new(hy_out_plan *o, const hy_plan *plan,
                     const hy_hf_options *opt);
/** Give the plan of rank 0 to the others (without names of files). Collective.
 */
void hy_out_plan_share(hy_out_plan *o, const hy_comm *comm);
void hy_out_plan_free(hy_out_plan *o);

/** model.safetensors.index.json as transformers writes it. */
void hy_out_index(const hy_out_plan *o, hy_buf *out);

#endif
