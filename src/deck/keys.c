/* keys.c: hymn --keys, from the table. */
#include "deck/key.h"
#include "base/err.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { NAME, TYPE, DEFAULT, BOUNDS, UNIT, N_COLUMNS };

static const char *const type_name[] = {
    [HY_KEY_INT] = "integer",   [HY_KEY_REAL] = "real",
    [HY_KEY_BOOL] = "logical",  [HY_KEY_STR] = "text",
    [HY_KEY_PATH] = "path",     [HY_KEY_ENUM] = "word",
    [HY_KEY_REALS] = "reals",   [HY_KEY_PATHS] = "paths",
    [HY_KEY_INTS] = "integers", [HY_KEY_MIX] = "mix"};

/* Column c of row k as text; the caller frees it. */
static char *
cell(const hy_key *k, int c)
{
  int text =
      k->type == HY_KEY_STR || k->type == HY_KEY_PATH || k->type == HY_KEY_ENUM;
  char *s;

  switch (c) {
  case NAME:
    return hy_strdup(k->key);
  case TYPE:
    return hy_strdup(type_name[k->type]);
  case DEFAULT:
    return hy_asprintf(text ? "'%s'" : "%s", k->def);
  case BOUNDS:
    if (k->type == HY_KEY_ENUM) {
      s = hy_strdup(k->words);
      for (char *p = s; *p; p++)
        *p = *p == ' ' ? '|' : *p;
      return s;
    }
    if (k->type == HY_KEY_INT && k->i_hi == INT64_MAX)
      return hy_asprintf("%s..", k->lo);
    return hy_asprintf("%s%s%s", k->lo, *k->lo ? ".." : "", k->hi);
  default:
    return hy_strdup(k->unit);
  }
}

static void
print_group(FILE *out, const hy_key_group *g)
{
  size_t width[N_COLUMNS] = {0};

  fprintf(out, "&%s  %s\n", g->name, g->help);
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < hy_key_n; i++) {
      const hy_key *k = &hy_key_row[i];

      if (strcmp(k->group, g->name))
        continue;
      for (int c = 0; c < N_COLUMNS; c++) {
        char *s = cell(k, c);

        if (pass)
          fprintf(out, "  %-*s", (int)width[c], s);
        else if (strlen(s) > width[c])
          width[c] = strlen(s);
        free(s);
      }
      if (pass)
        fprintf(out, "  %s\n", k->help);
    }
}

int
hy_deck_keys(FILE *out, const char *group)
{
  char low[64] = "";

  for (size_t i = 0; group && group[i] && i + 1 < sizeof low; i++)
    low[i] = (char)tolower((unsigned char)group[i]);
  if (group && !hy_key_has_group(low)) {
    hy_key_unknown_group("command line", low);
    return HY_EUSAGE;
  }
  for (int i = 0; i < hy_key_n_groups; i++)
    if (!group || !strcmp(hy_key_group_row[i].name, low))
      print_group(out, &hy_key_group_row[i]);
  return HY_OK;
}
