#include "deck/deck.h"
#include "deck/key.h"
#include "base/err.h"
#include "base/file.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

void
hy_deck_init(hy_deck *d)
{
  memset(d, 0, sizeof *d);
  for (int i = 0; i < hy_key_n; i++)
    hy_key_default(d, &hy_key_row[i]);
  d->dir = hy_strdup("");
}

void
hy_deck_free(hy_deck *d)
{
#define HY_PATHS(g, k, help)                                                   \
  for (int i = 0; i < d->g.k.n; i++)                                           \
    free(d->g.k.s[i]);                                                         \
  free(d->g.k.s);
#define HY_MIX(g, k, help) hy_mix_clear(&d->g.k);
#include "deck/blank.h"
#include "deck/deck.def"
#include "deck/undef.h"
  free(d->path);
  free(d->dir);
  memset(d, 0, sizeof *d);
}

/* One reading of namelist text. */
typedef struct {
  hy_deck *d;
  const char *where, *dir;
  int key_line[HY_DECK_N_KEYS_MAX]; /* where it was set, 0 if not yet */
  int group_line[HY_DECK_N_KEYS_MAX];
} reading;

static int
open_group(reading *r, const char *at, const hy_nml_item *item)
{
  if (strchr(item->group, ':'))
    return hy_fail(HY_EDECK,
                   "%s: &%.64s: labelled groups are not in this version; "
                   "leave the label out",
                   at, item->group);
  for (int i = 0; i < hy_key_n_groups; i++)
    if (!strcmp(hy_key_group_row[i].name, item->group)) {
      if (r->group_line[i])
        return hy_fail(HY_EDECK,
                       "%s: group &%s was given in line %d already; put all "
                       "its keys into one",
                       at, item->group, r->group_line[i]);
      r->group_line[i] = item->line;
      return HY_OK;
    }
  return hy_key_unknown_group(at, item->group);
}

static int
take_item(void *arg, const hy_nml_item *item)
{
  reading *r = arg;
  char *at = hy_asprintf("%s:%d", r->where, item->line);
  const hy_key *k;
  int err;

  if (!item->key)
    err = open_group(r, at, item);
  else if (!(k = hy_key_find(item->group, item->key)))
    err = hy_key_unknown(at, item->group, item->key);
  else if (r->key_line[k - hy_key_row])
    err = hy_fail(HY_EDECK, "%s: %s.%s was given in line %d already; keep one",
                  at, k->group, k->key, r->key_line[k - hy_key_row]);
  else if (!(err = hy_key_set(r->d, k, at, item->n, item->v, 0, r->dir))) {
    r->key_line[k - hy_key_row] = item->line;
    r->d->source[k - hy_key_row] = HY_FROM_DECK;
  }
  free(at);
  return err;
}

int
hy_deck_parse(hy_deck *d, const char *text, const char *where, const char *dir)
{
  reading r = {.d = d, .where = where, .dir = dir};

  return hy_nml_read(text, where, take_item, &r);
}

int
hy_deck_read(hy_deck *d, const char *path)
{
  hy_buf text = {0};
  int err = hy_file_read(path, &text);

  if (!err && strlen(text.data) != text.len)
    err = hy_fail(HY_EDECK,
                  "%s: not a text file; a deck is namelist text (&job ... /)",
                  path);
  if (!err) {
    free(d->path);
    free(d->dir);
    d->path = hy_strdup(path);
    d->dir = hy_path_dir(path);
    err = hy_deck_parse(d, text.data, path, d->dir);
  }
  free(text.data);
  return err;
}

/* The row of "group.key", any case; NULL with the error set. */
static const hy_key *
find_dotted(const char *name, const char *at)
{
  char *low = hy_strdup(name), *dot;
  const hy_key *k = NULL;

  for (char *s = low; *s; s++)
    *s = (char)tolower((unsigned char)*s);
  dot = strchr(low, '.');
  if (strchr(low, ':'))
    hy_fail(HY_EDECK,
            "%s: %.64s: labelled groups are not in this version; leave the "
            "label out",
            at, low);
  else if (!dot)
    hy_key_unknown(at, "", low);
  else {
    *dot = '\0';
    if (!hy_key_has_group(low))
      hy_key_unknown_group(at, low);
    else if (!(k = hy_key_find(low, dot + 1)))
      hy_key_unknown(at, low, dot + 1);
  }
  free(low);
  return k;
}

static int
set_text(hy_deck *d, const hy_key *k, const char *at, const char *text,
         hy_source source)
{
  hy_nml_value *v;
  int list = hy_key_is_list(k);
  int n = hy_nml_split(text, list, &v);
  int err = hy_key_set(d, k, at, n, v, 1, "");

  hy_nml_free(v, n);
  if (!err)
    d->source[k - hy_key_row] = (unsigned char)source;
  return err;
}

int
hy_deck_set(hy_deck *d, const char *assignment)
{
  const char *at = "command line", *eq = strchr(assignment, '=');
  const hy_key *k;
  char *name;

  if (!eq || eq == assignment)
    return hy_fail(HY_EUSAGE,
                   "%s: '%.200s' is not group.key=value; see hymn "
                   "--help",
                   at, assignment);
  name = hy_strndup(assignment, (size_t)(eq - assignment));
  k = find_dotted(name, at);
  free(name);
  return k ? set_text(d, k, at, eq + 1, HY_FROM_CMDLINE) : HY_EDECK;
}

int
hy_deck_fill(hy_deck *d, const char *key, const char *value, const char *where)
{
  const hy_key *k = find_dotted(key, where);

  if (!k)
    return HY_EDECK;
  if (d->source[k - hy_key_row] >= HY_FROM_DECK)
    return HY_OK;
  return set_text(d, k, where, value, HY_FROM_CONFIG);
}

int
hy_deck_given(const hy_deck *d, const char *key)
{
  size_t n = strcspn(key, ".");

  for (int i = 0; i < hy_key_n; i++)
    if (strlen(hy_key_row[i].group) == n &&
        !strncmp(hy_key_row[i].group, key, n) && key[n] == '.' &&
        !strcmp(hy_key_row[i].key, key + n + 1))
      return d->source[i] >= HY_FROM_DECK;
  return 0;
}

/* The keys of group g that are to be printed; nothing if there are none. */
static void
print_group(const hy_deck *d, const hy_deck *def, const char *g, hy_buf *out,
            int all)
{
  hy_buf value = {0}, plain = {0};
  int open = 0;

  for (int i = 0; i < hy_key_n; i++) {
    const hy_key *k = &hy_key_row[i];

    if (strcmp(k->group, g))
      continue;
    value.len = plain.len = 0;
    hy_buf_add(&value, "", 0);
    hy_buf_add(&plain, "", 0);
    hy_key_print(d, k, &value);
    hy_key_print(def, k, &plain);
    if (!all && !d->source[i] && !strcmp(value.data, plain.data))
      continue;
    if (!open++)
      hy_buf_printf(out, "&%s\n", g);
    hy_buf_printf(out, "  %s =%s%s\n", k->key, value.len ? " " : "",
                  value.data);
  }
  if (open)
    hy_buf_printf(out, "/\n");
  free(value.data);
  free(plain.data);
}

void
hy_deck_print(const hy_deck *d, hy_buf *out, int all)
{
  hy_deck *def = hy_malloc(sizeof *def);

  hy_deck_init(def);
  hy_buf_add(out, "", 0);
  for (int i = 0; i < hy_key_n_groups; i++)
    print_group(d, def, hy_key_group_row[i].name, out, all);
  hy_deck_free(def);
  free(def);
}

void
hy_deck_each(const hy_deck *d, const char *group, hy_deck_fn *fn, void *arg)
{
  hy_buf value = {0};

  for (int i = 0; i < hy_key_n; i++) {
    const hy_key *k = &hy_key_row[i];

    if (strcmp(k->group, group))
      continue;
    value.len = 0;
    hy_buf_add(&value, "", 0);
    hy_key_print(d, k, &value);
    fn(arg, k->key, value.data);
  }
  free(value.data);
}
