/* bag.h: named tensors that a run produced, to be compared or written. */
#ifndef HYMN_VERIFY_BAG_H
#define HYMN_VERIFY_BAG_H

#include "grid/comm.h"
#include "io/safetensors.h"

typedef struct {
  char name[160];
  int is_id; /* ids (int32) instead of fp32 */
  int n_dim;
  int64_t dim[4];
  int64_t n;
  float *f;
  int32_t *i;
} hy_bag_item;

typedef struct {
  int n, cap;
  hy_bag_item *item;
} hy_bag;

/** The item of this name; made and zeroed if it is not there. dim gives the
 *  global shape. The pointer holds until the next call. */
hy_bag_item *hy_bag_get(hy_bag *b, const char *name, int is_id, int n_dim,
                        const int64_t *dim);
/** NULL if there is none. */
const hy_bag_item *hy_bag_find(const hy_bag *b, const char *name);
void hy_bag_free(hy_bag *b);

/** Each rank has filled its rows and left zeros elsewhere, or lacks an item
 *  that others have: add them up, so that every rank has the whole, in the
 *  same order. Collective. */
void hy_bag_gather(hy_bag *b, const hy_comm *comm);

/** Copy all items of `from`, over those of the same name. */
void hy_bag_merge(hy_bag *b, const hy_bag *from);

/** Write all items to a safetensors file. 0, HY_EFILE, HY_ERES. */
int hy_bag_write(const hy_bag *b, const char *path);

/* What a comparison has found. */
typedef struct {
  int n, n_ok;
  double worst; /* largest share of its bound */
  char worst_name[160];
} hy_verdict;

/* Bounds by group of names; see hy_check. */
typedef struct {
  const char *group;
  double bound;
} hy_bound;

typedef struct {
  const hy_bound *bound; /* longest matching group wins; ends with NULL */
  const char *const
      *input; /* tensors that were read, not produced; NULL ends */
  int rms;    /* errors are rms(d) / rms(expected), of ids the share that
                 differs: for bf16, where a token near a border of the router
                 may choose otherwise */
  const hy_bag *start; /* weights before training, for final.*: judged by rms
                          error over rms movement; may be NULL */
} hy_check_rules;

/** Compare every tensor of the expected file with the bag, one line each on
 *  stdout, `name  max|d|  scaled  bound  ok`. A tensor that the bag lacks
 *  fails. Not collective. */
void hy_check(const hy_st *expected, const hy_bag *bag,
              const hy_check_rules *rules, hy_verdict *v);
/** The same for every item of another bag, in its order. */
void hy_check_bag(const hy_bag *expected, const hy_bag *bag,
                  const hy_check_rules *rules, hy_verdict *v);

#endif
