/* deck.h: the deck as a struct, made from deck.def. */
#ifndef HYMN_DECK_DECK_H
#define HYMN_DECK_DECK_H

#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>

#define HY_STR_LEN 1024
#define HY_REALS_MAX 8
#define HY_INTS_MAX 256

typedef char hy_str[HY_STR_LEN];
typedef struct {
  int n;
  double v[HY_REALS_MAX];
} hy_reals;
typedef struct {
  int n;
  int64_t v[HY_INTS_MAX];
} hy_ints;
typedef struct {
  int n;
  char **s; /* owned by the deck */
} hy_strs;
/* Paths with their weights; one alone weighs 1. */
typedef struct {
  int n;
  double *weight; /* as given, not normalised */
  char **path;    /* both owned by the deck */
} hy_mix;

/* One struct a group: hy_deck_job, hy_deck_model, ... */
#define HY_GROUP(g, help) typedef struct {
#define HY_INT(g, k, def, lo, hi, unit, help) int64_t k;
#define HY_REAL(g, k, def, lo, hi, unit, help) double k;
#define HY_BOOL(g, k, def, help) int k;
#define HY_STR(g, k, def, unit, help) hy_str k;
#define HY_PATH(g, k, def, help) hy_str k;
#define HY_PATH_NAMED(g, k, name, def, help) hy_str k;
#define HY_ENUM(g, k, def, words, help) hy_str k;
#define HY_REALS(g, k, def, lo, hi, unit, help) hy_reals k;
#define HY_INTS(g, k, lo, hi, unit, help) hy_ints k;
#define HY_PATHS(g, k, help) hy_strs k;
#define HY_MIX(g, k, help) hy_mix k;
/* clang-format off */
#define HY_END(g) } hy_deck_##g;
/* clang-format on */
#include "deck/deck.def"
#include "deck/undef.h"

typedef struct hy_key hy_key; /* one row of the table; key.h */

#define HY_DECK_N_KEYS_MAX 256

/** Where a value came from; a later source wins. */
typedef enum {
  HY_FROM_DEFAULT = 0,
  HY_FROM_CONFIG, /* config.json of model.from */
  HY_FROM_DECK,
  HY_FROM_CMDLINE
} hy_source;

typedef struct hy_deck {
#define HY_GROUP(g, help) hy_deck_##g g;
#include "deck/blank.h"
#include "deck/deck.def"
#include "deck/undef.h"
  char *path;                               /* of the deck, NULL for none */
  char *dir;                                /* its directory */
  unsigned char source[HY_DECK_N_KEYS_MAX]; /* hy_source by row of the table */
} hy_deck;

/** All defaults. */
void hy_deck_init(hy_deck *d);
void hy_deck_free(hy_deck *d);

/** Read a namelist file over *d. Unknown group or key, wrong type, value out
 *  of bounds: HY_EDECK naming file, line, key and the nearest known key;
 *  unreadable file: HY_EFILE. Paths become relative to the deck's folder.
 *  Not collective: rank 0 reads, hy_deck_share spreads. */
int hy_deck_read(hy_deck *d, const char *path);

/** Same from text (what a checkpoint stores); `where` names it in errors and
 *  `dir` is what paths are relative to. */
int hy_deck_parse(hy_deck *d, const char *text, const char *where,
                  const char *dir);

/** One command-line override, group.key=value. */
int hy_deck_set(hy_deck *d, const char *assignment);

/** Set one key from another source (config.json), unless the deck or the
 *  command line has set it. The value is text as in a deck. `where` names the
 *  source in errors. 0 or HY_EDECK. */
int hy_deck_fill(hy_deck *d, const char *key, const char *value,
                 const char *where);

/** 1 if the deck or the command line gave this key ("model.vocab"). */
int hy_deck_given(const hy_deck *d, const char *key);

/** Append a path to a mix, empty it, and what is wrong with one: NULL, or why
 * it is refused (a weight below 0 or not finite, none above 0, a path twice).
 */
void hy_mix_add(hy_mix *m, double weight, const char *path);
void hy_mix_clear(hy_mix *m);
const char *hy_mix_wrong(const hy_mix *m);

/** The resolved deck as namelist text, every key of every group that differs
 *  from its default or was set; feeding it back gives the same struct.
 *  \param all  also the keys that have their default */
void hy_deck_print(const hy_deck *d, hy_buf *out, int all);

/** Called with each key of a group and its value as namelist text. */
typedef void hy_deck_fn(void *arg, const char *key, const char *value);
void hy_deck_each(const hy_deck *d, const char *group, hy_deck_fn *fn,
                  void *arg);

/** hymn --keys [group]; HY_EUSAGE for an unknown group. */
int hy_deck_keys(FILE *out, const char *group);

#endif
