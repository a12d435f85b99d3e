/* hf.h: weight folders of the hub <-> the parameters of a model. */
#ifndef HYMN_IO_HF_H
#define HYMN_IO_HF_H

#include "io/safetensors.h"
#include "model/params.h"

/* What an import found. */
typedef struct {
  int64_t n_tensor;  /* consumed */
  int64_t n_element; /* in all of them */
  int n_spec;
  hy_fmt *fmt; /* (n_spec) format in the folder; fp32 for a stack that mixes */
} hy_hf_report;

void hy_hf_report_free(hy_hf_report *rep);

/** Fill p from the weight folder dir (or one safetensors file). Every tensor
 *  is consumed and every parameter filled; bf16 widens to fp32. Each rank maps
 *  the files and touches only its own part.
 *  \param rep  [out] may be NULL
 *  Collective over grid->world.
 *  \return 0; HY_EFILE; HY_EDATA: a file that contradicts itself, missing or
 *          unexpected tensors (the first few and both counts), a shape or a
 *          dtype (name, found, wanted). The same on every rank; on error *p
 *          is undefined. */
int hy_hf_import(hy_params *p, const char *dir, const hy_grid *grid,
                 hy_hf_report *rep);

#endif
