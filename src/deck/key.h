/* key.h: one row of the table of keys, inside src/deck. */
#ifndef HYMN_DECK_KEY_H
#define HYMN_DECK_KEY_H

#include "deck/deck.h"
#include "deck/namelist.h"

typedef enum {
  HY_KEY_INT,
  HY_KEY_REAL,
  HY_KEY_BOOL,
  HY_KEY_STR,
  HY_KEY_PATH,
  HY_KEY_ENUM,
  HY_KEY_REALS,
  HY_KEY_INTS,
  HY_KEY_PATHS,
  HY_KEY_MIX
} hy_key_type;

struct hy_key {
  const char *group, *key;
  hy_key_type type;
  size_t offset;       /* of the value in hy_deck */
  const char *def;     /* default as text, without quotes */
  const char *lo, *hi; /* bounds as text, "" if none */
  int64_t i_lo, i_hi;  /* HY_KEY_INT, HY_KEY_INTS */
  double r_lo, r_hi;   /* HY_KEY_REAL, HY_KEY_REALS */
  const char *words;   /* HY_KEY_ENUM: separated by blanks */
  const char *unit, *help;
};

typedef struct {
  const char *name, *help;
} hy_key_group;

extern const hy_key hy_key_row[];
extern const int hy_key_n;
extern const hy_key_group hy_key_group_row[];
extern const int hy_key_n_groups;

/** The row of group.key (both in lower case), NULL if there is none. */
const hy_key *hy_key_find(const char *group, const char *key);

/** 1 if the table has this group. */
int hy_key_has_group(const char *group);

/** 1 if the key takes several values. */
static inline int
hy_key_is_list(const hy_key *k)
{
  return k->type == HY_KEY_REALS || k->type == HY_KEY_INTS ||
         k->type == HY_KEY_PATHS || k->type == HY_KEY_MIX;
}

/** Set the text for an unknown key, with the nearest known one, and return
 *  HY_EDECK. \param at  "deck.nml:12" or "command line" */
int hy_key_unknown(const char *at, const char *group, const char *key);

/** Same for an unknown group. */
int hy_key_unknown_group(const char *at, const char *group);

/** Check v and store it in d. On error the old value stays.
 *  \param at     where the value stands, for messages
 *  \param bare   a string needs no quotes (command line)
 *  \param dir    what relative paths are relative to
 *  \return 0 or HY_EDECK */
int hy_key_set(hy_deck *d, const hy_key *k, const char *at, int n,
               const hy_nml_value *v, int bare, const char *dir);

/** The value as namelist text. */
void hy_key_print(const hy_deck *d, const hy_key *k, hy_buf *out);

/** Write the default over whatever was there (nothing is freed). */
void hy_key_default(hy_deck *d, const hy_key *k);

#endif
