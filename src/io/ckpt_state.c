/* ckpt_state.c: the numbers of a run beside its tensors. */
#include "io/ckpt_impl.h"
#include "base/err.h"

#include <stddef.h>
#include <string.h>

static const struct {
  const char *name;
  size_t at;
} fixed[] = {
    {"step", offsetof(hy_ckpt_state, step)},
    {"samples", offsetof(hy_ckpt_state, samples)},
    {"tokens", offsetof(hy_ckpt_state, tokens)},
    {"epoch", offsetof(hy_ckpt_state, epoch)},
    {"cursor", offsetof(hy_ckpt_state, cursor)},
    {"seed", offsetof(hy_ckpt_state, seed)},
};
enum { N_FIXED = sizeof fixed / sizeof *fixed };

static hy_ckpt_extra *
find(const hy_ckpt_state *st, const char *name)
{
  for (int i = 0; i < st->n_extra; i++)
    if (!strcmp(st->extra[i].name, name))
      return (hy_ckpt_extra *)(uintptr_t)(st->extra + i);
  return NULL;
}

static int
set(hy_ckpt_state *st, const char *name, int is_real, int64_t i, double r)
{
  hy_ckpt_extra *e = find(st, name);

  if (!e) {
    if (st->n_extra == HY_CKPT_MAX_EXTRA || strlen(name) >= HY_CKPT_NAME_LEN)
      return hy_fail(HY_EBUG,
                     "checkpoint state %s: too long or too many; "
                     "please report this",
                     name);
    e = st->extra + st->n_extra++;
  }
  *e = (hy_ckpt_extra){.is_real = is_real, .i = i, .r = r};
  strcpy(e->name, name);
  return HY_OK;
}

int
hy_ckpt_set_i64(hy_ckpt_state *st, const char *name, int64_t x)
{
  return set(st, name, 0, x, 0);
}

int
hy_ckpt_set_f64(hy_ckpt_state *st, const char *name, double x)
{
  return set(st, name, 1, 0, x);
}

int64_t
hy_ckpt_get_i64(const hy_ckpt_state *st, const char *name, int64_t dflt)
{
  const hy_ckpt_extra *e = find(st, name);

  return e && !e->is_real ? e->i : dflt;
}

double
hy_ckpt_get_f64(const hy_ckpt_state *st, const char *name, double dflt)
{
  const hy_ckpt_extra *e = find(st, name);

  return e && e->is_real ? e->r : dflt;
}

int
hy_ckpt_put_state(hid_t group, const hy_ckpt_state *st)
{
  int bad = 0;

  for (int i = 0; i < N_FIXED; i++) {
    int64_t x;

    memcpy(&x, (const char *)st + fixed[i].at, sizeof x);
    bad |= hy_h5_put_i64(group, fixed[i].name, x);
  }
  for (int i = 0; i < st->n_extra; i++) {
    const hy_ckpt_extra *e = st->extra + i;

    bad |= e->is_real ? hy_h5_put_f64(group, e->name, e->r)
                      : hy_h5_put_i64(group, e->name, e->i);
  }
  return bad;
}

/* H5Aiterate2 callback: one attribute that is not among the fixed ones. */
static herr_t
one_extra(hid_t group, const char *name, const H5A_info_t *info, void *state)
{
  hy_ckpt_state *st = state;
  int64_t i;
  double r;

  (void)info;
  for (int k = 0; k < N_FIXED; k++)
    if (!strcmp(fixed[k].name, name))
      return 0;
  if (strlen(name) >= HY_CKPT_NAME_LEN || st->n_extra == HY_CKPT_MAX_EXTRA)
    return 0; /* of a later version */
  if (!hy_h5_get_i64(group, name, &i))
    return hy_ckpt_set_i64(st, name, i);
  if (!hy_h5_get_f64(group, name, &r))
    return hy_ckpt_set_f64(st, name, r);
  return 0;
}

int
hy_ckpt_get_state(hid_t group, hy_ckpt_state *st)
{
  int bad = 0;

  memset(st, 0, sizeof *st);
  for (int i = 0; i < N_FIXED; i++) {
    int64_t x = 0;

    bad |= hy_h5_get_i64(group, fixed[i].name, &x);
    memcpy((char *)st + fixed[i].at, &x, sizeof x);
  }
  bad |=
      H5Aiterate2(group, H5_INDEX_NAME, H5_ITER_INC, NULL, one_extra, st) < 0;
  return bad ? -1 : 0;
}
