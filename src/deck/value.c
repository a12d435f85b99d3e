/* value.c: the value of one key from text and back. */
#include "deck/key.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void *
place(const hy_deck *d, const hy_key *k)
{
  return (char *)d + k->offset;
}

/* A real number as Fortran writes it, 1.5d-3 too; no nan, inf or hex. */
static int
read_real(const char *s, double *out)
{
  char buf[64], *end;
  size_t n = strlen(s);

  if (n == 0 || n >= sizeof buf || strspn(s, "0123456789+-.eEdD") != n)
    return 0;
  for (size_t i = 0; i <= n; i++)
    buf[i] = s[i] == 'd' || s[i] == 'D' ? 'e' : s[i];
  *out = strtod(buf, &end);
  return !*end && isfinite(*out);
}

/* An integer, also in the form 1e6 when that is one. */
static int
read_int(const char *s, int64_t *out)
{
  char *end;
  double x;
  long long i;

  errno = 0;
  i = strtoll(s, &end, 10);
  if (end != s && !*end && !errno && strchr("+-0123456789", *s)) {
    *out = i;
    return 1;
  }
  if (!read_real(s, &x) || x != floor(x) || fabs(x) > 0x1p53)
    return 0;
  *out = (int64_t)x;
  return 1;
}

static int
read_bool(const char *s, int *out)
{
  static const char *const word[] = {".false.", ".true.", "F",   "T",
                                     "false",   "true",   ".f.", ".t."};

  for (int i = 0; i < 8; i++)
    if (!strcasecmp(s, word[i])) {
      *out = i % 2;
      return 1;
    }
  return 0;
}

/* 1 if s is one of the words. */
static int
one_of(const char *s, const char *words)
{
  size_t n = strlen(s);

  for (const char *w = words; *w; w += strspn(w, " ")) {
    size_t m = strcspn(w, " ");

    if (m == n && !strncmp(w, s, n))
      return 1;
    w += m;
  }
  return 0;
}

/* The value for messages: one line, not too long. */
static const char *
show(const char *s, char out[64])
{
  size_t n = strlen(s);

  snprintf(out, 64, "%.56s%s", s, n > 56 ? "..." : "");
  for (char *p = out; *p; p++)
    if ((unsigned char)*p < ' ')
      *p = ' ';
  return out;
}

static int
wrong(const hy_key *k, const char *at, const char *value, const char *want)
{
  char buf[64];

  return hy_fail(HY_EDECK, "%s: %s.%s=%s is not %s (hymn --keys %s)", at,
                 k->group, k->key, show(value, buf), want, k->group);
}

static int
outside(const hy_key *k, const char *at, const char *value)
{
  char buf[64];

  return hy_fail(HY_EDECK, "%s: %s.%s=%s is out of bounds; give %s to %s%s%s",
                 at, k->group, k->key, show(value, buf), k->lo, k->hi,
                 *k->unit ? " " : "", k->unit);
}

static int
get_int(const hy_key *k, const char *at, const char *s, int64_t *x)
{
  double big;

  if (!read_int(s, x)) {
    /* a whole number beyond 64 bits is out of bounds, not a wrong type */
    if (read_real(s, &big) && big == floor(big))
      return outside(k, at, s);
    return wrong(k, at, s, "an integer");
  }
  return *x < k->i_lo || *x > k->i_hi ? outside(k, at, s) : HY_OK;
}

static int
set_ints(hy_deck *d, const hy_key *k, const char *at, int n,
         const hy_nml_value *v)
{
  hy_ints r = {.n = n};
  int err = 0;

  if (n > HY_INTS_MAX)
    return hy_fail(HY_EDECK, "%s: %s.%s has %d values; give at most %d", at,
                   k->group, k->key, n, HY_INTS_MAX);
  for (int i = 0; !err && i < n; i++)
    err = get_int(k, at, v[i].text, &r.v[i]);
  if (!err)
    *(hy_ints *)place(d, k) = r;
  return err;
}

static int
get_real(const hy_key *k, const char *at, const char *s, double *x)
{
  if (!read_real(s, x))
    return wrong(k, at, s, "a real number");
  return *x < k->r_lo || *x > k->r_hi ? outside(k, at, s) : HY_OK;
}

static int
set_reals(hy_deck *d, const hy_key *k, const char *at, int n,
          const hy_nml_value *v)
{
  hy_reals r = {.n = n};
  int err = 0;

  if (n > HY_REALS_MAX)
    return hy_fail(HY_EDECK, "%s: %s.%s has %d values; give at most %d", at,
                   k->group, k->key, n, HY_REALS_MAX);
  for (int i = 0; !err && i < n; i++)
    err = get_real(k, at, v[i].text, &r.v[i]);
  if (!err)
    *(hy_reals *)place(d, k) = r;
  return err;
}

/* The words that stand for themselves where a path may stand. */
static int
is_special(const char *path)
{
  return !*path || !strcmp(path, "mock") || !strcmp(path, "auto") ||
         !strncmp(path, "hub:", 4);
}

static char *
resolve(const char *path, const char *dir)
{
  return is_special(path) ? hy_strdup(path) : hy_path_join(dir, path);
}

static int
set_str(hy_deck *d, const hy_key *k, const char *at, const char *s,
        const char *dir)
{
  char *p = k->type == HY_KEY_PATH ? resolve(s, dir) : hy_strdup(s);
  size_t n = strlen(p);

  if (n < HY_STR_LEN)
    memcpy(place(d, k), p, n + 1);
  free(p);
  if (n < HY_STR_LEN)
    return HY_OK;
  return hy_fail(HY_EDECK, "%s: %s.%s is longer than %d bytes; make it shorter",
                 at, k->group, k->key, HY_STR_LEN - 1);
}

static int
set_enum(hy_deck *d, const hy_key *k, const char *at, const char *s)
{
  char buf[64];

  if (!one_of(s, k->words))
    return hy_fail(HY_EDECK, "%s: %s.%s=%s is not known; give one of: %s", at,
                   k->group, k->key, show(s, buf), k->words);
  return set_str(d, k, at, s, NULL);
}

static int
set_paths(hy_deck *d, const hy_key *k, int n, const hy_nml_value *v,
          const char *dir)
{
  hy_strs *p = place(d, k);

  for (int i = 0; i < p->n; i++)
    free(p->s[i]);
  free(p->s);
  p->n = n;
  p->s = n ? hy_malloc((size_t)n * sizeof *p->s) : NULL;
  for (int i = 0; i < n; i++)
    p->s[i] = resolve(v[i].text, dir);
  return HY_OK;
}

/* A weight of a mix and the path behind it. */
static int
add_pair(hy_mix *m, const hy_key *k, const char *at, const hy_nml_value *v,
         int bare, const char *dir)
{
  char buf[64], *path;
  double weight;

  if (!read_real(v[0].text, &weight) || (v[0].quoted && !bare))
    return hy_fail(HY_EDECK,
                   "%s: %s.%s: %s is not a weight; give one path, or weight, "
                   "path, weight, path, ...",
                   at, k->group, k->key, show(v[0].text, buf));
  if ((!v[1].quoted && !bare) || !v[1].text[0])
    return hy_fail(HY_EDECK,
                   "%s: %s.%s: a path in quotes belongs behind the weight %s, "
                   "not %s",
                   at, k->group, k->key, v[0].text,
                   v[1].text[0] ? show(v[1].text, buf) : "an empty one");
  path = resolve(v[1].text, dir);
  hy_mix_add(m, weight, path);
  free(path);
  return HY_OK;
}

static int
set_mix(hy_deck *d, const hy_key *k, const char *at, int n,
        const hy_nml_value *v, int bare, const char *dir)
{
  hy_mix m = {0}, *old = place(d, k);
  char *path = n == 1 ? resolve(v[0].text, dir) : NULL;
  int err = HY_OK;

  if (n == 1 && !bare && !v[0].quoted)
    err = hy_fail(HY_EDECK, "%s: %s.%s is text; put it in quotes: '%.200s'", at,
                  k->group, k->key, v[0].text);
  else if (n == 1 && *path)
    hy_mix_add(&m, 1, path);
  else if (n > 1 && n % 2)
    err = hy_fail(HY_EDECK,
                  "%s: %s.%s has %d values; give one path, or weight, path, "
                  "weight, path, ...",
                  at, k->group, k->key, n);
  for (int i = 0; !err && i + 1 < n; i += 2)
    err = add_pair(&m, k, at, v + i, bare, dir);
  if (!err && hy_mix_wrong(&m))
    err = hy_fail(HY_EDECK, "%s: %s.%s: %s", at, k->group, k->key,
                  hy_mix_wrong(&m));
  if (!err) {
    hy_mix_clear(old);
    *old = m;
  } else
    hy_mix_clear(&m);
  free(path);
  return err;
}

/* Quotes where they belong, and one value where one belongs. */
static int
check_form(const hy_key *k, const char *at, int n, const hy_nml_value *v,
           int bare)
{
  int text = k->type == HY_KEY_STR || k->type == HY_KEY_PATH ||
             k->type == HY_KEY_ENUM || k->type == HY_KEY_PATHS;
  int list = hy_key_is_list(k);
  char buf[64];

  if (!list && n != 1)
    return hy_fail(HY_EDECK, "%s: %s.%s has %d values; give one", at, k->group,
                   k->key, n);
  for (int i = 0; i < n; i++) {
    if (text && !v[i].quoted && !bare)
      return hy_fail(HY_EDECK, "%s: %s.%s is text; put it in quotes: '%s'", at,
                     k->group, k->key, show(v[i].text, buf));
    if (!text && v[i].quoted && k->type != HY_KEY_MIX)
      return hy_fail(HY_EDECK, "%s: %s.%s is not text; leave the quotes out",
                     at, k->group, k->key);
  }
  return HY_OK;
}

int
hy_key_set(hy_deck *d, const hy_key *k, const char *at, int n,
           const hy_nml_value *v, int bare, const char *dir)
{
  int err = check_form(k, at, n, v, bare);
  double x;
  int64_t i = 0;

  if (err)
    return err;
  switch (k->type) {
  case HY_KEY_INT:
    if (!(err = get_int(k, at, v[0].text, &i)))
      *(int64_t *)place(d, k) = i;
    return err;
  case HY_KEY_REAL:
    if (!(err = get_real(k, at, v[0].text, &x)))
      *(double *)place(d, k) = x;
    return err;
  case HY_KEY_BOOL:
    if (!read_bool(v[0].text, place(d, k)))
      err = wrong(k, at, v[0].text, "a logical, .true. or .false.");
    return err;
  case HY_KEY_STR:
  case HY_KEY_PATH:
    return set_str(d, k, at, v[0].text, dir);
  case HY_KEY_ENUM:
    return set_enum(d, k, at, v[0].text);
  case HY_KEY_INTS:
    return set_ints(d, k, at, n, v);
  case HY_KEY_REALS:
    return set_reals(d, k, at, n, v);
  case HY_KEY_PATHS:
    return set_paths(d, k, n, v, dir);
  case HY_KEY_MIX:
    return set_mix(d, k, at, n, v, bare, dir);
  }
  return HY_EBUG;
}

void
hy_key_default(hy_deck *d, const hy_key *k)
{
  int list = hy_key_is_list(k);
  hy_nml_value *v;
  int n = hy_nml_split(k->def, list, &v);

  if (k->type == HY_KEY_PATHS)
    *(hy_strs *)place(d, k) = (hy_strs){0};
  if (k->type == HY_KEY_MIX)
    *(hy_mix *)place(d, k) = (hy_mix){0};
  if (hy_key_set(d, k, "deck.def", n, v, 1, ""))
    hy_die(HY_EBUG, "%s", hy_err_text());
  hy_nml_free(v, n);
}

/* The shortest text that reads back as x. */
static void
print_real(hy_buf *out, double x)
{
  char buf[40];

  for (int p = 1; p <= 17; p++) {
    snprintf(buf, sizeof buf, "%.*g", p, x);
    if (strtod(buf, NULL) == x)
      break;
  }
  hy_buf_printf(out, "%s", buf);
}

static void
print_str(hy_buf *out, const char *s)
{
  hy_buf_add(out, "'", 1);
  for (; *s; s++) {
    if (*s == '\'')
      hy_buf_add(out, s, 1);
    hy_buf_add(out, s, 1);
  }
  hy_buf_add(out, "'", 1);
}

static void
print_mix(hy_buf *out, const hy_mix *m)
{
  for (int i = 0; i < m->n; i++) {
    hy_buf_printf(out, "%s", i ? ", " : "");
    if (m->n > 1 || m->weight[i] != 1) {
      print_real(out, m->weight[i]);
      hy_buf_printf(out, ", ");
    }
    print_str(out, m->path[i]);
  }
}

void
hy_key_print(const hy_deck *d, const hy_key *k, hy_buf *out)
{
  const void *p = place(d, k);
  const hy_reals *r = p;
  const hy_ints *list = p;
  const hy_strs *s = p;

  switch (k->type) {
  case HY_KEY_INT:
    hy_buf_printf(out, "%lld", (long long)*(const int64_t *)p);
    break;
  case HY_KEY_REAL:
    print_real(out, *(const double *)p);
    break;
  case HY_KEY_BOOL:
    hy_buf_printf(out, "%s", *(const int *)p ? ".true." : ".false.");
    break;
  case HY_KEY_STR:
  case HY_KEY_PATH:
  case HY_KEY_ENUM:
    print_str(out, p);
    break;
  case HY_KEY_INTS:
    for (int i = 0; i < list->n; i++)
      hy_buf_printf(out, "%s%lld", i ? ", " : "", (long long)list->v[i]);
    break;
  case HY_KEY_REALS:
    for (int i = 0; i < r->n; i++) {
      hy_buf_printf(out, "%s", i ? ", " : "");
      print_real(out, r->v[i]);
    }
    break;
  case HY_KEY_PATHS:
    for (int i = 0; i < s->n; i++) {
      hy_buf_printf(out, "%s", i ? ", " : "");
      print_str(out, s->s[i]);
    }
    break;
  case HY_KEY_MIX:
    print_mix(out, p);
    break;
  }
}
