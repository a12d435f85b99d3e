/* hf.c: weight folder -> parameters. */
#include "io/hf.h"
#include "base/err.h"
#include "base/progress.h"
#include "base/mem.h"
#include "model/host.h"

#include <stdlib.h>
#include <string.h>

enum { N_NAMED = 3 }; /* tensors named in a message */

void
hy_hf_report_free(hy_hf_report *rep)
{
  free(rep->fmt);
  *rep = (hy_hf_report){0};
}

/* Names for a message: the first few of n. */
typedef struct {
  int64_t n;
  hy_buf text;
} names;

static void
names_add(names *l, const char *name)
{
  if (l->n < N_NAMED)
    hy_buf_printf(&l->text, "%s%s", l->n ? ", " : "", name);
  else if (l->n == N_NAMED)
    hy_buf_printf(&l->text, ", ...");
  l->n++;
}

static int
check_shape(const hy_st_tensor *t, const hy_spec *spec, int is_vocab)
{
  int skip = spec->stacked ? 1 : 0, n = spec->n_dim - skip;
  const int64_t *want = spec->dim + skip;
  char found[128], wanted[128];
  int same = t->n_dim == n;

  if (hy_st_fmt(t->dtype) != HY_F32 && hy_st_fmt(t->dtype) != HY_BF16)
    return hy_fail(HY_EDATA,
                   "%s: tensor %s: dtype %s; weights have to be F32 or BF16, "
                   "convert them first",
                   t->file, t->name, hy_st_dtype_name(t->dtype));
  for (int i = 0; same && i < n; i++)
    same = t->dim[i] == want[i];
  if (same)
    return HY_OK;
  hy_st_shape_text(found, sizeof found, t->n_dim, t->dim);
  hy_st_shape_text(wanted, sizeof wanted, n, want);
  return hy_fail(HY_EDATA,
                 "%s: tensor %s: shape %s found, %s wanted by the "
                 "configuration%s",
                 t->file, t->name, found, wanted,
                 is_vocab && t->n_dim == n && t->dim[0] > want[0]
                     ? "; remove the padding rows beyond vocab_size"
                     : "");
}

/* Find and check every tensor of the plan; mark those used. */
static int
match(const hy_st *s, const hy_plan *plan, unsigned char *used, names *missing)
{
  char name[HY_NAME_LEN];

  for (int i = 0; i < plan->n_spec; i++) {
    const hy_spec *spec = plan->spec + i;
    int is_vocab = i == plan->embed || i == plan->head;

    for (int64_t e = 0; e < hy_spec_n_tensor(spec); e++) {
      const hy_st_tensor *t;
      int err;

      hy_spec_tensor_name(name, spec, e);
      t = hy_st_find(s, name);
      if (!t) {
        names_add(missing, name);
        continue;
      }
      if ((err = check_shape(t, spec, is_vocab)))
        return err;
      used[hy_st_index(s, t)] = 1;
    }
  }
  return HY_OK;
}

/* A tied head may be in the folder when it is the embedding bit by bit. */
static int
match_tied(const hy_st *s, const hy_plan *plan, unsigned char *used)
{
  const hy_st_tensor *head = hy_st_find(s, "lm_head.weight");
  const hy_st_tensor *embed = hy_st_find(s, plan->spec[plan->embed].name);

  if (plan->head != plan->embed || !head || !embed)
    return HY_OK;
  if (head->dtype != embed->dtype || head->bytes != embed->bytes ||
      memcmp(head->data, embed->data, head->bytes))
    return hy_fail(HY_EDATA,
                   "%s: tensor lm_head.weight differs from %s, yet "
                   "tie_word_embeddings says they are one; set model.tie to "
                   ".false.",
                   head->file, embed->name);
  used[hy_st_index(s, head)] = 1;
  return HY_OK;
}

static int
complain(const char *dir, const names *missing, const names *extra)
{
  const char *hint = "";

  if (!missing->n && !extra->n)
    return HY_OK;
  if (extra->n && !strncmp(extra->text.data, "mtp.", 4))
    hint = "; to use prediction blocks (mtp.*) add their suffix to "
           "model.pattern, e.g. '.../*E', else remove them from the folder";
  else if (missing->n && !strncmp(missing->text.data, "mtp.", 4))
    hint = "; remove the /suffix from model.pattern if the folder has no "
           "prediction block, or set model.mtp_repeat";
  else
    hint = "; is config.json the one of these weights?";
  return hy_fail(HY_EDATA,
                 "%s: %lld tensors missing%s%s%s, %lld unexpected"
                 "%s%s%s%s",
                 dir, (long long)missing->n, missing->n ? " (" : "",
                 missing->n ? missing->text.data : "", missing->n ? ")" : "",
                 (long long)extra->n, extra->n ? " (" : "",
                 extra->n ? extra->text.data : "", extra->n ? ")" : "", hint);
}

int
hy_hf_check(const hy_st *s, const hy_plan *plan, const char *dir)
{
  unsigned char *used = hy_calloc((size_t)hy_st_n(s), 1);
  names missing = {0}, extra = {0};
  int err = match(s, plan, used, &missing);

  err = err ? err : match_tied(s, plan, used);
  for (int64_t i = 0; !err && i < hy_st_n(s); i++)
    if (!used[i])
      names_add(&extra, hy_st_at(s, i)->name);
  err = err ? err : complain(dir, &missing, &extra);
  free(missing.text.data);
  free(extra.text.data);
  free(used);
  return err;
}

/* Elements [at, at + n) of a spec from its tensors. */
static void
read_run(const hy_st *s, const hy_spec *spec, int64_t at, int64_t n, float *out)
{
  int64_t each = hy_spec_size(spec) / hy_spec_n_tensor(spec);
  char name[HY_NAME_LEN];

  while (n > 0) {
    int64_t e = at / each, from = at % each;
    int64_t m = n < each - from ? n : each - from;
    const hy_st_tensor *t;
    hy_fmt f;

    hy_spec_tensor_name(name, spec, e);
    t = hy_st_find(s, name);
    f = (hy_fmt)hy_st_fmt(t->dtype);
    hy_to_f32(out, (const char *)t->data + hy_bytes(f, from), f, m);
    out += m;
    at += m;
    n -= m;
  }
}

static void
read_ref(const hy_st *s, hy_host *host, int i)
{
  const hy_param_ref *ref = host->p->ref + i;
  hy_held h;
  float *w = hy_host_open(host, HY_PART_W, i, &h);
  hy_own all = {h.from, h.to, 0};
  hy_pieces pieces;
  hy_piece r;

  hy_pieces_of(&pieces, ref->spec, &ref->shard);
  for (int64_t k = 0; hy_own_next(&pieces, &all, &k, &r);)
    read_run(s, ref->spec, r.global, r.n, w + h.at + (r.local - h.from));
  hy_host_put(host);
}

static void
fill_report(hy_hf_report *rep, const hy_st *s, const hy_plan *plan)
{
  char name[HY_NAME_LEN];

  *rep = (hy_hf_report){.n_tensor = hy_st_n(s), .n_spec = plan->n_spec};
  rep->fmt = hy_calloc((size_t)plan->n_spec, sizeof *rep->fmt);
  for (int64_t i = 0; i < hy_st_n(s); i++)
    rep->n_element += hy_st_at(s, i)->n;
  for (int i = 0; i < plan->n_spec; i++)
    for (int64_t e = 0; e < hy_spec_n_tensor(plan->spec + i); e++) {
      hy_fmt f;

      hy_spec_tensor_name(name, plan->spec + i, e);
      f = (hy_fmt)hy_st_fmt(hy_st_find(s, name)->dtype);
      if (e == 0 || f != rep->fmt[i])
        rep->fmt[i] = e == 0 ? f : HY_F32;
    }
}

int
hy_hf_import(hy_params *p, const char *dir, const hy_grid *grid,
             hy_hf_report *rep)
{
  hy_st *s = NULL;
  hy_progress bar;
  hy_host host;
  int err = hy_st_open(&s, dir);

  if (rep)
    *rep = (hy_hf_report){0};
  err = err ? err : hy_hf_check(s, p->plan, dir);
  err = hy_agree(&grid->world, err);
  if (!err) {
    hy_progress_begin(&bar, "load", p->n, grid->world.rank == 0);
    hy_host_begin(&host, p, NULL, NULL);
    for (int i = 0; i < p->n; i++) {
      read_ref(s, &host, i);
      hy_progress_at(&bar, i);
    }
    hy_host_end(&host);
    hy_params_renew(p);
    hy_progress_end(&bar);
    if (rep)
      fill_report(rep, s, p->plan);
  }
  hy_st_close(s);
  return err;
}
