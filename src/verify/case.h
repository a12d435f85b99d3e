/* case.h: case.json of a folder of expected tensors. */
#ifndef HYMN_VERIFY_CASE_H
#define HYMN_VERIFY_CASE_H

#include "deck/deck.h"
#include "verify/bag.h"

enum { HY_CASE_MAX_FILES = 16, HY_CASE_MAX_BOUNDS = 48 };

typedef struct {
  char kind[32];    /* forward packed mtp decode train, or another */
  char *checkpoint; /* weight folder */
  int n_file;
  struct {
    char *path;
    int depths; /* mtp: prediction depths of this file, 0: as config */
    int repeated;
  } file[HY_CASE_MAX_FILES];
  hy_bound bound[HY_CASE_MAX_BOUNDS + 1]; /* group names owned */
  hy_deck_optim optim;
  int scheduled; /* optim holds the schedule too */
} hy_case;

/** Read DIR/case.json. HY_EFILE (missing, not JSON), HY_EDATA (a field is
 *  missing or of another kind). Not collective. */
int hy_case_read(hy_case *k, const char *dir);

/** A case without case.json: one expected file, bounds from &compare, the
 *  optimizer from &optim; the kind follows from the tensors in the file. */
int hy_case_from_deck(hy_case *k, const hy_deck *d);
void hy_case_free(hy_case *k);

/** Bounds from &compare, where they are 0 by job.precision, in place of all
 *  that k has. */
void hy_case_bounds(hy_case *k, const hy_deck *d);

/** The run computes in a format below fp32: errors are judged by rms. */
int hy_case_is_low(const hy_deck *d);

/** Kind by the tensors in an expected file. */
const char *hy_case_kind_of(const hy_st *expected);

#endif
