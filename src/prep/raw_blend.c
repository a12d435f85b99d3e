#include "prep/raw_blend.h"
#include "base/err.h"
#include "base/file.h"
#include "base/word.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const hy_raw_key_row hy_raw_key[HY_RAW_KEYS] = {
    {"reader", "reader"}, {"text_field", "field"},     {"prompt", "prompt"},
    {"answer", "answer"}, {"template", "template"},    {"loss", "loss"},
    {"turns", "turns"},   {"preference", "preference"}};

static const char *const top_keys[] = {"datasets", "phases", NULL};
static const char *const phase_keys[] = {"tokens", "datasets", NULL};
static const char *const set_keys[] = {
    "name",   "path",       "weight",     "split",  "subset",
    "reader", "text_field", "prompt",     "answer", "template",
    "loss",   "turns",      "preference", NULL};

void
hy_raw_blend_free(hy_raw_blend *b)
{
  for (int i = 0; i < b->n_sets; i++) {
    hy_raw_set *s = &b->set[i];

    for (int k = 0; k < s->path.n; k++)
      free(s->path.s[k]);
    for (int k = 0; k < HY_RAW_KEYS; k++)
      free(s->value[k]);
    free(s->path.s);
    free(s->split);
    free(s->name);
  }
  free(b->set);
  *b = (hy_raw_blend){0};
}

/* An object whose keys are all known. `what` is "data set web" or so. */
static int
check_object(const char *file, const char *what, const json_t *o,
             const char *const *known)
{
  const char *key, *best;
  json_t *v;

  if (!json_is_object(o))
    return hy_fail(HY_EDATA, "%s: %s: is no JSON object; write one", file,
                   what);
  json_object_foreach((json_t *)(uintptr_t)o, key, v)
  {
    int i = 0;

    best = known[0];
    for (; known[i] && strcmp(known[i], key); i++)
      if (hy_word_distance(key, known[i]) < hy_word_distance(key, best))
        best = known[i];
    if (!known[i])
      return hy_fail(HY_EDATA,
                     "%s: %s: unknown key \"%.64s\"; did you mean \"%s\"?",
                     file, what, key, best);
  }
  return HY_OK;
}

/* ---- a data set ---- */

static int
set_wrong(const char *file, const hy_raw_set *s, const char *what)
{
  return hy_fail(HY_EDATA, "%s: data set %s: %s", file, s->name, what);
}

static int
take_paths(hy_raw_set *s, const json_t *v, const char *file)
{
  size_t n = json_is_array(v) ? json_array_size(v) : 1;
  char *dir = hy_path_dir(file);
  int err = HY_OK;

  s->path.s = hy_calloc(n + 1, sizeof *s->path.s);
  for (size_t i = 0; i < n && !err; i++) {
    const char *path =
        json_string_value(json_is_array(v) ? json_array_get(v, i) : v);

    if (path && *path)
      s->path.s[s->path.n++] = hy_path_join(dir, path);
    else
      err = set_wrong(file, s,
                      "\"path\" is no path; give a file, a pattern, a folder, "
                      "or a list of them");
  }
  if (!err && n == 0)
    err = set_wrong(file, s, "\"path\" is an empty list; give a file");
  free(dir);
  return err;
}

static int
take_weight(double *w, const hy_raw_set *s, const json_t *v, const char *file)
{
  const char *text = json_string_value(v);
  char *end = NULL;

  *w = text ? strtod(text, &end) : json_number_value(v);
  if ((!text && !json_is_number(v)) ||
      (text && (end == text || *end ||
                strspn(text, "0123456789+-.eE") != strlen(text))) ||
      !isfinite(*w) || *w < 0)
    return set_wrong(file, s,
                     "\"weight\" is no number from 0 on; give one, 0.3 or "
                     "\"0.3\"");
  return HY_OK;
}

static int
take_texts(hy_raw_set *s, const json_t *o, const char *file)
{
  const json_t *split = json_object_get(o, "split");
  const json_t *subset = json_object_get(o, "subset");

  s->split =
      hy_strdup(json_string_value(split) ? json_string_value(split) : "");
  if (split && !json_is_null(split) && !json_string_value(split))
    return set_wrong(file, s, "\"split\" is no text; give one");
  if (strpbrk(s->split, "/*?[]"))
    return set_wrong(file, s, "\"split\" is no plain name; give one");
  if (subset && !json_is_null(subset) &&
      (!json_string_value(subset) || *json_string_value(subset)))
    return set_wrong(file, s,
                     "\"subset\" belongs to a hub, hymn reads files; leave it "
                     "out and name the folder of the subset in \"path\"");
  for (int k = 0; k < HY_RAW_KEYS; k++) {
    const json_t *v = json_object_get(o, hy_raw_key[k].key);

    if (!v || json_is_null(v))
      continue;
    if (!json_string_value(v))
      return hy_fail(HY_EDATA, "%s: data set %s: \"%s\" is no text; give one",
                     file, s->name, hy_raw_key[k].key);
    s->value[k] = hy_strdup(json_string_value(v));
  }
  return HY_OK;
}

/* A name that can be a folder's. */
static int
take_name(hy_raw_set *s, const json_t *o, const char *file, size_t i)
{
  const char *name = json_string_value(json_object_get(o, "name"));

  if (!name || !*name)
    return hy_fail(HY_EDATA, "%s: data set %zu has no \"name\"; give it one",
                   file, i + 1);
  if (strchr(name, '/') || name[0] == '.' || strlen(name) > 200)
    return hy_fail(HY_EDATA,
                   "%s: data set \"%.64s\": the name is to be that of a "
                   "folder; give one without / and without a dot at its start",
                   file, name);
  s->name = hy_strdup(name);
  return HY_OK;
}

static int
parse_set(hy_raw_set *s, const json_t *o, const char *file, size_t i, int phase)
{
  const json_t *path, *weight;
  char *what;
  int err = take_name(s, o, file, i);

  if (err)
    return err;
  what = hy_asprintf("data set %s", s->name);
  err = check_object(file, what, o, set_keys);
  free(what);
  path = json_object_get(o, "path");
  weight = json_object_get(o, "weight");
  if (!err && (!path || !weight))
    err = hy_fail(HY_EDATA, "%s: data set %s: has no \"%s\"; give one", file,
                  s->name, path ? "weight" : "path");
  if (!err)
    err = take_paths(s, path, file);
  if (!err)
    err = take_weight(&s->weight[phase], s, weight, file);
  if (!err)
    err = take_texts(s, o, file);
  return err;
}

static int
same_text(const char *a, const char *b)
{
  return a && b ? !strcmp(a, b) : a == b;
}

static int
same_set(const hy_raw_set *a, const hy_raw_set *b)
{
  int same = a->path.n == b->path.n && same_text(a->split, b->split);

  for (int k = 0; same && k < a->path.n; k++)
    same = same_text(a->path.s[k], b->path.s[k]);
  for (int k = 0; same && k < HY_RAW_KEYS; k++)
    same = same_text(a->value[k], b->value[k]);
  return same;
}

/* ---- phases ---- */

/* Add a data set, or its weight in another phase. */
static int
merge_set(hy_raw_blend *b, hy_raw_set *s, const char *file, int phase,
          char *seen)
{
  for (int i = 0; i < b->n_sets; i++) {
    hy_raw_set *old = &b->set[i];

    if (strcmp(old->name, s->name))
      continue;
    if (seen[i])
      return set_wrong(file, s, "is named twice; give each its own name");
    if (!same_set(old, s))
      return set_wrong(file, s,
                       "differs between the phases; describe it the same way, "
                       "or give it another name");
    seen[i] = 1;
    old->weight[phase] = s->weight[phase];
    return HY_OK;
  }
  b->set = hy_realloc(b->set, (size_t)(b->n_sets + 1) * sizeof *b->set);
  b->set[b->n_sets++] = *s;
  *s = (hy_raw_set){0};
  return HY_OK;
}

static int
parse_sets(hy_raw_blend *b, const json_t *list, const char *file, int phase)
{
  int before = b->n_sets, err = HY_OK;
  char *seen;
  double sum = 0;

  if (!json_is_array(list) || json_array_size(list) == 0)
    return hy_fail(HY_EDATA,
                   "%s: \"datasets\" is no list with data sets; write "
                   "[{\"name\": ..., \"path\": ..., \"weight\": ...}, ...]",
                   file);
  seen = hy_calloc((size_t)before + json_array_size(list), 1);
  for (size_t i = 0; i < json_array_size(list) && !err; i++) {
    hy_raw_blend one = {.set = hy_calloc(1, sizeof *one.set), .n_sets = 1};
    int n = b->n_sets;

    err = parse_set(one.set, json_array_get(list, i), file, i, phase);
    sum += one.set->weight[phase];
    if (!err)
      err = merge_set(b, one.set, file, phase, seen);
    for (; n < b->n_sets; n++)
      seen[n] = 1;
    hy_raw_blend_free(&one);
  }
  free(seen);
  if (!err && !(sum > 0))
    err = hy_fail(HY_EDATA,
                  "%s: all weights are 0; give some data set more than that",
                  file);
  return err;
}

static int
parse_phase(hy_raw_blend *b, const json_t *o, const char *file, int phase)
{
  char what[32];
  const json_t *n;
  int err;

  snprintf(what, sizeof what, "phase %d", phase + 1);
  err = check_object(file, what, o, phase_keys);
  if (err)
    return err;
  n = json_object_get(o, "tokens");
  if (!json_is_integer(n) || json_integer_value(n) < 1)
    return hy_fail(HY_EDATA,
                   "%s: %s: \"tokens\" is no whole number above 0; give the "
                   "tokens that the phase trains on",
                   file, what);
  b->tokens[phase] = (int64_t)json_integer_value(n);
  return parse_sets(b, json_object_get(o, "datasets"), file, phase);
}

static int
parse_root(hy_raw_blend *b, const json_t *root, const char *file)
{
  const json_t *phases = json_object_get(root, "phases");
  size_t n = json_array_size(phases);
  int err = check_object(file, "the blend", root, top_keys);

  b->n_phases = 1;
  if (err)
    return err;
  if (json_object_size(root) != 1)
    return hy_fail(HY_EDATA,
                   "%s: has %s \"datasets\" and \"phases\"; give one of them",
                   file, json_object_size(root) ? "both" : "neither");
  if (!phases)
    return parse_sets(b, json_object_get(root, "datasets"), file, 0);
  if (n < 1 || n > HY_RAW_PHASES)
    return hy_fail(HY_EDATA,
                   "%s: \"phases\" has %zu entries; give one or two of them",
                   file, n);
  b->n_phases = (int)n;
  for (int i = 0; i < b->n_phases && !err; i++)
    err = parse_phase(b, json_array_get(phases, (size_t)i), file, i);
  return err;
}

int
hy_raw_blend_parse(hy_raw_blend *b, const char *text, size_t n,
                   const char *path)
{
  json_error_t bad;
  json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &bad);
  int err;

  *b = (hy_raw_blend){0};
  err = root ? parse_root(b, root, path)
             : hy_fail(HY_EDATA, "%s:%d: broken JSON: %s; mend the file", path,
                       bad.line, bad.text);
  json_decref(root);
  return err;
}

/* ---- decks ---- */

int
hy_raw_set_deck(hy_deck *d, const hy_deck *deck, const hy_raw_set *set,
                const char *file)
{
  int err = HY_OK;

  *d = *deck;
  d->prepare.blend[0] = '\0';
  d->prepare.input = set->path;
  for (int k = 0; k < HY_RAW_KEYS && !err; k++) {
    hy_buf b = {0};

    if (!set->value[k])
      continue;
    hy_buf_printf(&b, "prepare.%s='", hy_raw_key[k].deck);
    for (const char *s = set->value[k]; *s; s++)
      hy_buf_add(&b, *s == '\'' ? "''" : s, *s == '\'' ? 2 : 1);
    hy_buf_printf(&b, "'");
    if (hy_deck_set(d, b.data)) {
      hy_err_clear();
      err = hy_fail(HY_EDATA,
                    "%s: data set %s: \"%s\" cannot be '%.64s'; see hymn "
                    "--keys prepare, %s",
                    file, set->name, hy_raw_key[k].key, set->value[k],
                    hy_raw_key[k].deck);
    }
    free(b.data);
  }
  return err;
}
