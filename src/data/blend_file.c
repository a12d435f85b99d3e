#include "data/blend_file.h"
#include "base/err.h"
#include "base/file.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const key_name[] = {"train", "valid", "test"};

/* Where an entry stands, for messages. */
typedef struct {
  const char *file, *key, *dir;
  hy_mix *mix;
} place;

static int
wrong(const place *p, const char *entry, const char *what)
{
  return hy_fail(HY_EDATA,
                 "%s: %s: \"%.80s\" %s; give weight, path, weight, path, ...",
                 p->file, p->key, entry, what);
}

static int
add(const place *p, const char *weight, const char *path)
{
  char *end, *full;
  double w = strtod(weight, &end);

  if (!*weight || *end || strspn(weight, "0123456789+-.eE") != strlen(weight) ||
      !isfinite(w))
    return wrong(p, weight, "is not a weight");
  if (!*path)
    return wrong(p, weight, "has no path behind it");
  full = strcmp(path, "mock") ? hy_path_join(p->dir, path) : hy_strdup(path);
  hy_mix_add(p->mix, w, full);
  free(full);
  return HY_OK;
}

/* The entries of a list as texts. */
static int
add_list(const place *p, char **entry, size_t n)
{
  int err = HY_OK;

  if (n == 1)
    return add(p, "1", entry[0]);
  for (size_t i = 0; !err && i < n; i += 2)
    err = i + 1 < n ? add(p, entry[i], entry[i + 1])
                    : wrong(p, entry[i], "has no path behind it");
  if (!err && hy_mix_wrong(p->mix))
    err =
        hy_fail(HY_EDATA, "%s: %s: %s", p->file, p->key, hy_mix_wrong(p->mix));
  return err;
}

/* The text of a list's entry, from the heap; NULL: it is neither. */
static char *
text_of(const json_t *v)
{
  if (json_is_string(v) &&
      strlen(json_string_value(v)) == json_string_length(v))
    return hy_strdup(json_string_value(v));
  return json_is_number(v) ? hy_asprintf("%.17g", json_number_value(v)) : NULL;
}

/* A text with blanks between its entries. */
static size_t
split(const char *text, char **entry)
{
  static const char blank[] = " \t\r\n";
  size_t n = 0;

  for (text += strspn(text, blank); *text; text += strspn(text, blank)) {
    size_t len = strcspn(text, blank);

    entry[n++] = hy_strndup(text, len);
    text += len;
  }
  return n;
}

static int
read_value(const place *p, const json_t *v)
{
  size_t n = 0,
         most = json_is_string(v) ? json_string_length(v) : json_array_size(v);
  char **entry = hy_calloc(most + 1, sizeof *entry);
  int err = HY_OK;

  if (json_is_string(v))
    n = split(json_string_value(v), entry);
  else if (!json_is_array(v) && !json_is_null(v))
    err = hy_fail(HY_EDATA,
                  "%s: %s is neither a list nor text; give weight, "
                  "path, weight, path, ...",
                  p->file, p->key);
  for (; json_is_array(v) && n < most && !err; n++) {
    entry[n] = text_of(json_array_get(v, n));
    if (!entry[n])
      err = hy_fail(HY_EDATA,
                    "%s: %s: entry %zu is neither text nor a number; "
                    "give weight, path, weight, path, ...",
                    p->file, p->key, n + 1);
  }
  if (!err)
    err = add_list(p, entry, n);
  for (size_t i = 0; i < n; i++)
    free(entry[i]);
  free(entry);
  return err;
}

static int
check_keys(const char *path, const json_t *root)
{
  const char *name;
  json_t *v;

  if (!json_is_object(root))
    return hy_fail(HY_EDATA,
                   "%s: is no JSON object; give one with train, "
                   "valid and test",
                   path);
  if (json_object_get(root, "datasets") || json_object_get(root, "phases"))
    return hy_fail(HY_EDATA,
                   "%s: is a raw blend; give it to the job prepare "
                   "as prepare.blend and take the blend it writes",
                   path);
  json_object_foreach(
      (json_t *)root, name,
      v) if (strcmp(name, "train") && strcmp(name, "valid") &&
             strcmp(name, "test")) return hy_fail(HY_EDATA,
                                                  "%s: key \"%.80s\" is not "
                                                  "known; it takes "
                                                  "train, valid and test",
                                                  path, name);
  for (int i = 0; i < 3; i++)
    if (!json_object_get(root, key_name[i]))
      return hy_fail(HY_EDATA,
                     "%s: key \"%s\" is missing; train, valid and "
                     "test all have to be there, [] for none",
                     path, key_name[i]);
  return HY_OK;
}

int
hy_blend_file_read(const char *path, hy_mix mix[3])
{
  char *dir = hy_path_dir(path);
  hy_buf text = {0};
  json_error_t bad;
  json_t *root = NULL;
  int err = hy_file_read(path, &text);

  memset(mix, 0, 3 * sizeof *mix);
  if (!err) {
    root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &bad);
    err = root ? check_keys(path, root)
               : hy_fail(HY_EDATA, "%s:%d: broken JSON: %s; mend the file",
                         path, bad.line, bad.text);
  }
  for (int i = 0; i < 3 && !err; i++)
    err = read_value(&(place){path, key_name[i], dir, &mix[i]},
                     json_object_get(root, key_name[i]));
  for (int i = 0; i < 3 && err; i++)
    hy_mix_clear(&mix[i]);
  json_decref(root);
  free(text.data);
  free(dir);
  return err;
}

/* ---- the deck ---- */

static int
is_file(const char *path)
{
  size_t n = strlen(path);

  return n > 5 && !strcmp(path + n - 5, ".json");
}

/* The mix of rank 0 to all. */
static void
share(hy_mix *m, const hy_comm *comm)
{
  int64_t n = m->n, len;

  hy_bcast(comm, &n, sizeof n, 0);
  if (comm->rank != 0)
    hy_mix_clear(m);
  for (int64_t i = 0; i < n; i++) {
    double weight = comm->rank == 0 ? m->weight[i] : 0;
    char *path = comm->rank == 0 ? m->path[i] : NULL;

    len = path ? (int64_t)strlen(path) : 0;
    hy_bcast(comm, &weight, sizeof weight, 0);
    hy_bcast(comm, &len, sizeof len, 0);
    if (comm->rank != 0)
      path = hy_calloc((size_t)len + 1, 1);
    hy_bcast(comm, path, (size_t)len, 0);
    if (comm->rank != 0) {
      hy_mix_add(m, weight, path);
      free(path);
    }
  }
}

/* Key `at` (0 .. 2) of the file that m names, in its place; train's file also
 * fills the keys in more[1], more[2], where they are not NULL. */
static int
replace(hy_mix *m, int at, hy_mix *more[3])
{
  hy_mix got[3];
  int err;

  for (int i = 0; i < m->n && m->n > 1; i++)
    if (is_file(m->path[i]))
      return hy_fail(HY_EDECK,
                     "data.%s: %s is a blend; it stands alone, "
                     "without weights",
                     key_name[at], m->path[i]);
  if (m->n != 1 || !is_file(m->path[0]))
    return HY_OK;
  err = hy_blend_file_read(m->path[0], got);
  if (!err && got[at].n == 0)
    err = hy_fail(HY_EDATA,
                  "%s: %s is empty; give it a path, or leave the key "
                  "of the deck out",
                  m->path[0], key_name[at]);
  for (int i = 0; i < 3; i++) {
    hy_mix *to = i == at ? m : more ? more[i] : NULL;

    if (!err && to) {
      hy_mix_clear(to);
      *to = got[i];
    } else
      hy_mix_clear(&got[i]);
  }
  return err;
}

int
hy_blend_file_resolve(hy_deck *d, const hy_comm *comm)
{
  hy_deck_data *k = &d->data;
  hy_mix *more[3] = {NULL};
  int err = HY_OK;

  if (!hy_deck_given(d, "data.valid"))
    more[1] = &k->valid;
  if (!hy_deck_given(d, "data.test"))
    more[2] = &k->test;
  if (comm->rank == 0) {
    err = replace(&k->valid, 1, NULL);
    err = err ? err : replace(&k->test, 2, NULL);
    err = err ? err : replace(&k->train_2, 0, NULL);
    err = err ? err : replace(&k->train, 0, more);
  }
  err = hy_agree(comm, err);
  if (err)
    return err;
  share(&k->train, comm);
  share(&k->valid, comm);
  share(&k->test, comm);
  share(&k->train_2, comm);
  return HY_OK;
}
