#include "deck/key.h"
#include "base/err.h"
#include "base/word.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define AT(t, g, k, name)                                                      \
  .group = #g, .key = name, .type = t, .offset = offsetof(hy_deck, g.k)
#define TEXT(t, g, k, name, d, w, u, h)                                        \
  {AT(t, g, k, name), .def = d, .lo = "", .hi = "", .words = w, .unit = u,     \
   .help = h},
#define REAL(t, g, k, d, l, m, u, h)                                           \
  {AT(t, g, k, #k), .def = d, .lo = #l, .hi = #m, .r_lo = l, .r_hi = m,        \
   .words = "", .unit = u, .help = h},

const hy_key hy_key_row[] = {
#define HY_INT(g, k, d, l, m, u, h)                                            \
  {AT(HY_KEY_INT, g, k, #k), .def = #d, .lo = #l, .hi = #m, .i_lo = l,         \
   .i_hi = m, .words = "", .unit = u, .help = h},
#define HY_INTS(g, k, l, m, u, h)                                              \
  {AT(HY_KEY_INTS, g, k, #k), .def = "", .lo = #l, .hi = #m, .i_lo = l,        \
   .i_hi = m, .words = "", .unit = u, .help = h},
#define HY_REAL(g, k, d, l, m, u, h) REAL(HY_KEY_REAL, g, k, #d, l, m, u, h)
#define HY_REALS(g, k, d, l, m, u, h) REAL(HY_KEY_REALS, g, k, d, l, m, u, h)
#define HY_BOOL(g, k, d, h)                                                    \
  TEXT(HY_KEY_BOOL, g, k, #k, (d) ? ".true." : ".false.", "", "", h)
#define HY_STR(g, k, d, u, h) TEXT(HY_KEY_STR, g, k, #k, d, "", u, h)
#define HY_PATH(g, k, d, h) TEXT(HY_KEY_PATH, g, k, #k, d, "", "", h)
#define HY_PATH_NAMED(g, k, name, d, h)                                        \
  TEXT(HY_KEY_PATH, g, k, name, d, "", "", h)
#define HY_ENUM(g, k, d, w, h) TEXT(HY_KEY_ENUM, g, k, #k, d, w, "", h)
#define HY_PATHS(g, k, h) TEXT(HY_KEY_PATHS, g, k, #k, "", "", "", h)
#define HY_MIX(g, k, h) TEXT(HY_KEY_MIX, g, k, #k, "", "", "", h)
/* clang-format on */
#include "deck/blank.h"
#include "deck/deck.def"
#include "deck/undef.h"
};
const int hy_key_n = sizeof hy_key_row / sizeof *hy_key_row;
_Static_assert(sizeof hy_key_row / sizeof *hy_key_row <= HY_DECK_N_KEYS_MAX,
               "raise HY_DECK_N_KEYS_MAX");

const hy_key_group hy_key_group_row[] = {
#define HY_GROUP(g, t) {#g, t},
#include "deck/blank.h"
#include "deck/deck.def"
#include "deck/undef.h"
};
const int hy_key_n_groups = sizeof hy_key_group_row / sizeof *hy_key_group_row;

const hy_key *
hy_key_find(const char *group, const char *key)
{
  for (int i = 0; i < hy_key_n; i++)
    if (!strcmp(hy_key_row[i].group, group) && !strcmp(hy_key_row[i].key, key))
      return &hy_key_row[i];
  return NULL;
}

int
hy_key_has_group(const char *group)
{
  for (int i = 0; i < hy_key_n_groups; i++)
    if (!strcmp(hy_key_group_row[i].name, group))
      return 1;
  return 0;
}

static const char *
nearest_group(const char *group)
{
  int best = 0;

  for (int i = 1; i < hy_key_n_groups; i++)
    if (hy_word_distance(group, hy_key_group_row[i].name) <
        hy_word_distance(group, hy_key_group_row[best].name))
      best = i;
  return hy_key_group_row[best].name;
}

int
hy_key_unknown_group(const char *at, const char *group)
{
  return hy_fail(HY_EDECK,
                 "%s: unknown group &%.64s; did you mean &%s? (hymn --keys)",
                 at, group, nearest_group(group));
}

int
hy_key_unknown(const char *at, const char *group, const char *key)
{
  const hy_key *best = NULL;
  int least = 0;

  for (int i = 0; i < hy_key_n; i++) {
    const hy_key *k = &hy_key_row[i];
    int x = hy_word_distance(key, k->key);

    /* another group only for a key that is right but for its group */
    if (strcmp(k->group, group))
      x = x ? 1000 + x : 0;
    if (!best || x < least) {
      best = k;
      least = x;
    }
  }
  return hy_fail(HY_EDECK,
                 "%s: unknown key %.64s%s%.64s; did you mean %s.%s? (hymn "
                 "--keys %s)",
                 at, group, *group ? "." : "", key, best->group, best->key,
                 *group ? group : best->group);
}
