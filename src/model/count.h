/* count.h: how many parameters a model has, and which of them a token meets. */
#ifndef HYMN_MODEL_COUNT_H
#define HYMN_MODEL_COUNT_H

#include "layer/plan.h"

typedef struct {
  int64_t total;    /* all */
  int64_t mtp;      /* prediction blocks, each stored once */
  int64_t body;     /* active: layers (top_k experts each) and final norm */
  int64_t head;     /* active: output head */
  int64_t embed;    /* embedding table; 0 when the head is the table */
  int64_t n_tensor; /* of a weight folder: each expert has its own */
} hy_count_of;

/** Count the specs of a plan. The backbone is total - mtp. Not collective. */
hy_count_of hy_plan_count(const hy_plan *plan);

/** Parameters in all, and those behind the next token: backbone with top_k
 *  experts and output head, without the embedding table and prediction
 *  blocks. */
int64_t hy_plan_n_params(const hy_plan *plan);
int64_t hy_plan_n_active(const hy_plan *plan);

#endif
