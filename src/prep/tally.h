/* tally.h: counts by phrase: why documents were left out, what was noted. */
#ifndef HYMN_PREP_TALLY_H
#define HYMN_PREP_TALLY_H

#include "grid/comm.h"

#include <jansson.h>
#include <stdint.h>

typedef struct {
  char *phrase;
  int64_t n;
} hy_tally_row;

/** hy_tally t = {0}; ... hy_tally_free(&t). Rows are in order of phrases. */
typedef struct {
  hy_tally_row *row;
  int n, cap;
} hy_tally;

void hy_tally_add(hy_tally *t, const char *phrase, int64_t n);
void hy_tally_free(hy_tally *t);

/** As an object, phrase -> count; a new reference. */
json_t *hy_tally_json(const hy_tally *t);
/** Add the counts of such an object. \return 0, -1: it is none. */
int hy_tally_read(hy_tally *t, const json_t *o);

/** Sums over the ranks, the same on every rank. Collective. */
void hy_tally_share(hy_tally *t, const hy_comm *comm);

#endif
