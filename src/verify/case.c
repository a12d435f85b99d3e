#include "verify/case.h"
#include "base/err.h"
#include "base/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void
add_bound(hy_case *k, const char *group, double bound)
{
  int n = 0;

  while (k->bound[n].group && strcmp(k->bound[n].group, group))
    n++;
  if (n == HY_CASE_MAX_BOUNDS)
    return;
  if (!k->bound[n].group)
    k->bound[n].group = hy_strdup(group);
  k->bound[n].bound = bound;
}

/* Bounds of groups that a case may leave out. */
static void
default_bounds(hy_case *k, double forward, double loss, double grad)
{
  static const char *const as_forward[] = {
      "hidden",     "ssm_out",       "router",           "logits",
      "mtp.hidden", "mtp.router",    "mtp.logits",       "step_logits",
      "prefill",    "batch.prefill", "batch.step_logits"};
  static const char *const as_loss[] = {"loss", "mtp.loss"};

  for (size_t i = 0; i < sizeof as_forward / sizeof *as_forward; i++)
    add_bound(k, as_forward[i], forward);
  for (size_t i = 0; i < sizeof as_loss / sizeof *as_loss; i++)
    add_bound(k, as_loss[i], loss);
  add_bound(k, "grad", grad);
  add_bound(k, "grad_norm", 2e-4);
  add_bound(k, "lr", 1e-6);
}

static double
number(const json_t *o, const char *key, double def)
{
  const json_t *v = json_object_get(o, key);

  return json_is_number(v) ? json_number_value(v) : def;
}

static int
read_files(hy_case *k, const json_t *root, const char *dir)
{
  const json_t *files = json_object_get(root, "files");
  const json_t *variants = json_object_get(root, "variants");
  const json_t *from = json_is_array(variants) ? variants : files;

  for (size_t i = 0; i < json_array_size(from); i++) {
    const json_t *f = json_array_get(from, i);
    const char *name =
        json_string_value(json_is_object(f) ? json_object_get(f, "file") : f);

    if (!name || k->n_file == HY_CASE_MAX_FILES)
      continue;
    k->file[k->n_file].path = hy_path_join(dir, name);
    k->file[k->n_file].depths = (int)number(f, "depths", 0);
    k->file[k->n_file].repeated =
        !json_is_false(json_object_get(f, "repeated"));
    k->n_file++;
  }
  if (k->n_file == 0)
    return hy_fail(HY_EDATA, "%s/case.json: no files; name the expected file",
                   dir);
  return HY_OK;
}

static void
read_bounds(hy_case *k, const json_t *root)
{
  json_t *table = json_object_get(root, "fp32_vs_fp64"), *row;
  const char *group;

  default_bounds(k, 2e-5, 3e-6, 8e-5);
  json_object_foreach(table, group, row)
      add_bound(k, group, number(row, "suggested_scaled", 2e-6));
  add_bound(k, "final", 1e-2); /* judged by the rms measure */
}

static void
read_optim(hy_case *k, const json_t *root)
{
  const json_t *o = json_object_get(root, "optimizer");
  const json_t *betas = json_object_get(o, "betas");
  hy_deck_optim *d = &k->optim;

  d->betas = (hy_reals){2, {0.9, 0.95}};
  d->eps = number(o, "eps", 1e-8);
  d->weight_decay = number(o, "weight_decay", 0.1);
  d->clip = number(o, "clip", 1.0);
  for (size_t i = 0; i < 2 && json_array_size(betas) == 2; i++)
    d->betas.v[i] = json_number_value(json_array_get(betas, i));
  if (!json_object_get(o, "warmup_steps") || !json_object_get(o, "decay_steps"))
    return;
  k->scheduled = 1; /* cases decay by 1 - sqrt to the end */
  d->n_steps = (int64_t)number(o, "steps", 0);
  d->lr = number(o, "lr", 0);
  d->lr_min = number(o, "min_lr", 0);
  d->warmup = (int64_t)number(o, "warmup_steps", 0);
  d->wsd_decay = (int64_t)number(o, "decay_steps", 0);
  strcpy(d->schedule, "wsd");
  strcpy(d->wsd_shape, "minus_sqrt");
  strcpy(d->unit, "steps");
}

int
hy_case_read(hy_case *k, const char *dir)
{
  char *path = hy_path_join(dir, "case.json");
  hy_buf text = {0};
  json_t *root = NULL;
  json_error_t why;
  const char *kind, *ckpt;
  int err = hy_file_read(path, &text);

  *k = (hy_case){0};
  if (!err && !(root = json_loadb(text.data, text.len, 0, &why)))
    err = hy_fail(HY_EFILE, "%s:%d: not JSON: %s", path, why.line, why.text);
  kind = json_string_value(json_object_get(root, "kind"));
  ckpt = json_string_value(json_object_get(root, "checkpoint"));
  if (!err && !kind)
    err =
        hy_fail(HY_EDATA, "%s: no kind; compare takes cases of weights", path);
  if (!err && !ckpt)
    err = hy_fail(HY_EDATA,
                  "%s: a case of kind '%s' without a checkpoint; this version "
                  "has forward, packed, mtp, train and decode",
                  path, kind);
  if (!err) {
    snprintf(k->kind, sizeof k->kind, "%s", kind);
    k->checkpoint = hy_path_join(dir, ckpt);
    read_bounds(k, root);
    read_optim(k, root);
    err = read_files(k, root, dir);
  }
  json_decref(root);
  free(text.data);
  free(path);
  return err;
}

static void
free_bounds(hy_case *k)
{
  for (int i = 0; i < HY_CASE_MAX_BOUNDS; i++) {
    free((char *)(uintptr_t)k->bound[i].group);
    k->bound[i] = (hy_bound){0};
  }
}

int
hy_case_from_deck(hy_case *k, const hy_deck *d)
{
  *k = (hy_case){.n_file = 1};
  k->file[0].path = hy_strdup(d->compare.expected);
  k->file[0].repeated = 1;
  hy_case_bounds(k, d);
  k->optim = d->optim;
  return HY_OK;
}

static double
chosen(double bound, double by_precision)
{
  return bound > 0 ? bound : by_precision;
}

void
hy_case_bounds(hy_case *k, const hy_deck *d)
{
  const hy_deck_compare *c = &d->compare;

  free_bounds(k);
  if (hy_case_is_low(d)) {
    default_bounds(k, chosen(c->bound_forward, 5e-2),
                   chosen(c->bound_loss, 1e-2), chosen(c->bound_grad, 1e-1));
    add_bound(k, "router.indices", 5e-2);
    add_bound(k, "mtp.router.indices", 5e-2);
    add_bound(k, "grad_norm", 5e-2);
    add_bound(k, "final", 2e-1);
  } else {
    default_bounds(k, chosen(c->bound_forward, 2e-5),
                   chosen(c->bound_loss, 3e-6), chosen(c->bound_grad, 8e-5));
    add_bound(k, "final", 1e-2);
  }
}

int
hy_case_is_low(const hy_deck *d)
{
  return !strcmp(d->job.precision, "bf16");
}

void
hy_case_free(hy_case *k)
{
  free(k->checkpoint);
  for (int i = 0; i < k->n_file; i++)
    free(k->file[i].path);
  free_bounds(k);
  *k = (hy_case){0};
}

const char *
hy_case_kind_of(const hy_st *expected)
{
  if (hy_st_find(expected, "generated_ids"))
    return "decode";
  if (hy_st_find(expected, "tokens") && hy_st_find(expected, "lr"))
    return "train";
  if (hy_st_find(expected, "mtp.loss.1"))
    return "mtp";
  if (hy_st_find(expected, "cu_seqlens"))
    return "packed";
  return "forward";
}
