/* hf.h: weight folders of the hub <-> the parameters of a model. */
#ifndef HYMN_IO_HF_H
#define HYMN_IO_HF_H

#include "base/hash.h"
#include "io/safetensors.h"
#include "model/params.h"

#include <stdio.h>

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

/** Whether the tensors of s are those of the plan, in name, shape and dtype.
 *  \param dir  for messages
 *  Not collective. \return 0, HY_EDATA as hy_hf_import. */
int hy_hf_check(const hy_st *s, const hy_plan *plan, const char *dir);

/** Print what a weight folder holds, for hymn --inspect. Not collective.
 *  \return 0, HY_EFILE, HY_EDATA: also when folder and config.json do not
 *          belong together or hymn cannot honour the latter. */
int hy_hf_inspect(const char *dir, FILE *out);

/** Format of each tensor in an export, fmt[0 .. n_spec).
 *  \param dtype   "source", "fp32" or "bf16" (convert.dtype); statistics such
 *                 as the router's correction bias stay fp32
 *  \param source  formats of the folder the model came from, NULL: fp32 */
void hy_hf_formats(hy_fmt *fmt, const hy_plan *plan, const char *dtype,
                   const hy_fmt *source);

typedef struct {
  const hy_fmt *fmt;   /* by spec */
  int64_t shard_bytes; /* largest file */
  const char *source;  /* folder whose tokenizer files are copied and whose
                          division into files is kept; NULL for none */
  const char *config;  /* config.json text whose further keys are carried
                          over; NULL: the published values */
  const char *lineage; /* JSON list of what the model was made from; NULL: none
                        */
} hy_hf_options;

/** Write the weight folder dir: model.safetensors, or shards with an index,
 *  config.json, and the tokenizer files of the source. Everything is made in a
 *  folder beside dir, read back and renamed at the end. Rank 0 holds one tensor
 *  at a time; the vocabulary is that of the configuration, a tied head is left out.
 *  \param n_tensor  [out] tensors written; may be NULL
 *  Collective over grid->world.
 *  \return 0; HY_EFILE (dir is not empty, cannot be written), HY_ERES (disk
 *          full), the same on every rank; on error dir is as before. */
int hy_hf_export(const hy_params *p, const char *dir, const hy_hf_options *opt,
                 const hy_grid *grid, int64_t *n_tensor);

#define HY_HF_LINEAGE "hymn_lineage.json" /* the note in a weight folder */

/** Hash of names, shapes and values (as fp32) of the model in a weight folder:
 *  that of hy_ckpt_content once it is loaded. Reads all tensors. Not
 *  collective. \return as hy_hf_inspect. */
int hy_hf_content(const char *dir, char hash[HY_SHA_HEX]);

/** Read a folder back that was just written and leave the note in it. Not
 *  collective. \return 0, HY_EDATA (it does not hold the plan's tensors),
 *  HY_EFILE, HY_ERES. */
int hy_hf_seal(const char *dir, const hy_plan *plan, const char *lineage);

/** What the folder's note says it was made from, nothing without a note.
 *  \param content  hash of the model as loaded
 *  \param lineage  [out] appended
 *  Not collective. \return 0, HY_EFILE, HY_EDATA (no note, or one of other
 *  weights). */
int hy_hf_lineage(const char *dir, const char *content, hy_buf *lineage);

/** Copy tokenizer files, generation_config.json and model code (*.py) that
 *  lie in from; those that are not there are left out. Not collective.
 *  \return 0, HY_EFILE, HY_ERES. */
int hy_hf_copy_files(const char *from, const char *to);

#endif
