/* compare.h: runs a case of expected tensors and judges what hymn gets. */
#ifndef HYMN_VERIFY_COMPARE_H
#define HYMN_VERIFY_COMPARE_H

#include "io/safetensors.h"
#include "model/model.h"
#include "verify/bag.h"

/* One case: a checkpoint and one expected file. */
typedef struct {
  hy_deck *deck; /* resolved */
  const hy_grid *grid;
  hy_model *model; /* loaded */
  int n_threads;
  const hy_st *expected;
  /* without it: these rows of tokens, next-token loss everywhere */
  const int32_t *id;
  int64_t n_rows, seq_len;
  const hy_bag *route; /* whose router.indices routers take; NULL: they choose */
  hy_deck_optim optim; /* how the reference trained, for kind train */
  int scheduled;       /* 0: the rates of the file are an input */
} hy_compare;

/** Each fills the bag with all that its kind produces, the same on every
 *  rank. Collective. \return 0, HY_EDATA (inputs missing or wrong), HY_ERES. */
int hy_compare_forward(hy_compare *k, hy_bag *bag);
int hy_compare_train(hy_compare *k, hy_bag *bag);
int hy_compare_decode(hy_compare *k, hy_bag *bag);

/** Of n_rows shared out over grid->dp, those of the rank that has most. */
static inline int64_t
hy_compare_most(const hy_compare *k, int64_t n_rows)
{
  return (n_rows + k->grid->dp.size - 1) / k->grid->dp.size;
}

/** Ids of the expected file as int32 of the given total size.
 *  \return NULL if there is no such tensor; else to be freed. */
int32_t *hy_compare_ids(const hy_st *expected, const char *name, int64_t *n);

/** Shape of an expected tensor; 0 dimensions if there is none. */
int hy_compare_shape(const hy_st *expected, const char *name, int64_t dim[4]);

/** 0 or HY_EDATA: every id is in 0 .. vocab-1 (or equals `other`). */
int hy_compare_check_ids(const char *name, const int32_t *id, int64_t n,
                         int64_t vocab, int32_t other);

/** Copy of all parameters (or their gradients) into the bag under prefix +
 *  hub name, experts one by one. \param part  HY_PART_W or HY_PART_G */
void hy_compare_params(hy_bag *bag, const char *prefix, const hy_params *p,
                       int part);

#endif
