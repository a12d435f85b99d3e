/* The measures: scaled error = max |d| / max |expected|; for weights after
 * training rms(d) / rms(movement), since an element with a tiny gradient
 * moves by an Adam step of arbitrary sign. */
#include "verify/bag.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "mtp.router.1.1.logits" belongs to "mtp.router": a group is a whole name or
 * a prefix that ends at a dot. */
static double
bound_of(const hy_bound *b, const char *name)
{
  size_t best = 0;
  double bound = 0;

  for (; b->group; b++) {
    size_t n = strlen(b->group);

    if (n >= best && !strncmp(name, b->group, n) &&
        (name[n] == '\0' || name[n] == '.')) {
      best = n;
      bound = b->bound;
    }
  }
  return bound;
}

static void
line(hy_verdict *v, const char *name, double max_abs, double scaled,
     double bound, const char *note)
{
  /* a bound of 0 means equal; NaN is never inside */
  double share = bound > 0 ? scaled / bound : scaled == 0 ? 0 : INFINITY;
  int ok = share <= 1;

  v->n++;
  v->n_ok += ok;
  if (!(share <= v->worst)) {
    v->worst = share;
    snprintf(v->worst_name, sizeof v->worst_name, "%s", name);
  }
  printf("%-58s %9.2e %9.2e %8.1e  %s%s\n", name, max_abs, scaled, bound,
         ok ? "ok" : "FAILED", note);
}

static void
failed(hy_verdict *v, const char *name, const char *why)
{
  v->n++;
  v->worst = INFINITY;
  snprintf(v->worst_name, sizeof v->worst_name, "%s", name);
  printf("%-58s %29s FAILED: %s\n", name, "", why);
}

/* Ids are equal, or differ in a share of the places at most. */
static void
judge_ids(hy_verdict *v, const char *name, const int32_t *want,
          const hy_bag_item *got, const hy_check_rules *rules)
{
  int64_t bad = 0;

  for (int64_t k = 0; k < got->n; k++)
    bad += want[k] != got->i[k];
  if (rules->rms)
    line(v, name, (double)bad, (double)bad / fmax((double)got->n, 1),
         bound_of(rules->bound, name), " (share of ids)");
  else
    line(v, name, (double)bad, (double)bad, 0, bad ? " (ids differ)" : "");
}

/* Expected ids may be stored as int32 or int64. */
static void
check_ids(hy_verdict *v, const hy_st_tensor *e, const hy_bag_item *got,
          const hy_check_rules *rules)
{
  int32_t *want = hy_malloc((size_t)e->n * sizeof *want);

  for (int64_t k = 0; k < e->n; k++) {
    int64_t wide;

    if (e->dtype == HY_ST_I64) {
      memcpy(&wide, (const char *)e->data + 8 * k, 8);
      want[k] = (int32_t)wide;
    } else
      memcpy(&want[k], (const char *)e->data + 4 * k, 4);
  }
  judge_ids(v, e->name, want, got, rules);
  free(want);
}

static void
judge(hy_verdict *v, const char *name, const float *want, const float *got,
      int64_t n, const float *start, const hy_check_rules *rules)
{
  double top = 0, size = 0, err2 = 0, move2 = 0, size2 = 0;
  double bound = bound_of(rules->bound, name);

  for (int64_t k = 0; k < n; k++) {
    double d = fabs((double)want[k] - got[k]);

    top = d > top || d != d ? d : top;
    size = fmax(size, fabs(want[k]));
    size2 += (double)want[k] * want[k];
    err2 += d * d;
    if (start)
      move2 += pow((double)want[k] - start[k], 2);
  }
  if (start)
    line(v, name, top, move2 > 0 ? sqrt(err2 / move2) : sqrt(err2), bound,
         " (rms/movement)");
  else if (rules->rms)
    line(v, name, top, size2 > 0 ? sqrt(err2 / size2) : sqrt(err2), bound,
         " (rms)");
  else
    line(v, name, top, size > 0 ? top / size : top, bound, "");
}

static void
check_floats(hy_verdict *v, const hy_st_tensor *e, const float *got,
             const float *start, const hy_check_rules *rules)
{
  float *want = hy_malloc((size_t)e->n * sizeof *want);

  hy_to_f32(want, e->data, (hy_fmt)hy_st_fmt(e->dtype), e->n);
  judge(v, e->name, want, got, e->n, start, rules);
  free(want);
}

/* NAME_floor_V holds what an implementation with a floor V on dt would get,
 * so that the mistake can be recognised; hymn has none and must be away. */
static int
check_floor(hy_verdict *v, const hy_st_tensor *e, const hy_bag *bag,
            const hy_check_rules *rules)
{
  const char *at = strstr(e->name, "_floor_");
  const hy_bag_item *got;
  const float *want = e->data;
  char name[160];
  double top = 0, size = 0, bound;
  int away;

  if (!at || e->dtype != HY_ST_F32)
    return 0;
  if (rules->rms) /* bf16 cannot tell the two */
    return 1;
  snprintf(name, sizeof name, "%.*s", (int)(at - e->name), e->name);
  got = hy_bag_find(bag, name);
  if (!got || got->n != e->n)
    return 0;
  for (int64_t k = 0; k < e->n; k++) {
    top = fmax(top, fabs((double)want[k] - got->f[k]));
    size = fmax(size, fabs(want[k]));
  }
  bound = bound_of(rules->bound, name);
  away = top > bound * size;
  v->n++;
  v->n_ok += away;
  printf("%-58s %9.2e %9.2e %8.1e  %s (dt has no floor: must differ)\n",
         e->name, top, top / size, bound, away ? "ok" : "FAILED");
  return 1;
}

static int
is_input(const hy_check_rules *rules, const char *name)
{
  for (int i = 0; rules->input[i]; i++)
    if (!strcmp(rules->input[i], name))
      return 1;
  return 0;
}

static int
same_size(const hy_st_tensor *e, const hy_bag_item *got)
{
  int ids = e->dtype == HY_ST_I64 || e->dtype == HY_ST_I32;

  return got->n == e->n && got->is_id == ids &&
         (ids || hy_st_fmt(e->dtype) >= 0);
}

void
hy_check(const hy_st *expected, const hy_bag *bag, const hy_check_rules *rules,
         hy_verdict *v)
{
  for (int64_t k = 0; k < hy_st_n(expected); k++) {
    const hy_st_tensor *e = hy_st_at(expected, k);
    const hy_bag_item *got = hy_bag_find(bag, e->name), *start = NULL;

    if (is_input(rules, e->name) || (!got && check_floor(v, e, bag, rules)))
      continue;
    if (rules->start && !strncmp(e->name, "final.", 6))
      start = hy_bag_find(rules->start, e->name + 6);
    if (!got)
      failed(v, e->name, "hymn does not produce this tensor here");
    else if (!same_size(e, got))
      failed(v, e->name, "another shape or type");
    else if (got->is_id)
      check_ids(v, e, got, rules);
    else
      check_floats(v, e, got->f, start ? start->f : NULL, rules);
  }
}

void
hy_check_bag(const hy_bag *expected, const hy_bag *bag,
             const hy_check_rules *rules, hy_verdict *v)
{
  for (int i = 0; i < expected->n; i++) {
    const hy_bag_item *e = &expected->item[i];
    const hy_bag_item *got = hy_bag_find(bag, e->name);

    if (!got || got->n != e->n || got->is_id != e->is_id)
      failed(v, e->name, "missing, or another shape");
    else if (e->is_id)
      judge_ids(v, e->name, e->i, got, rules);
    else
      judge(v, e->name, e->f, got->f, e->n, NULL, rules);
  }
}
