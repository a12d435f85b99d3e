#include "io/hf_plan.h"
#include "layer/piece.h"
#include "base/file.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
hy_hf_formats(hy_fmt *fmt, const hy_plan *plan, const char *dtype,
              const hy_fmt *source)
{
  for (int i = 0; i < plan->n_spec; i++) {
    fmt[i] = HY_F32;
    if (!strcmp(dtype, "source") && source)
      fmt[i] = source[i];
    else if (!strcmp(dtype, "bf16") && !plan->spec[i].keep_fp32)
      fmt[i] = HY_BF16;
  }
}

static void
add(hy_out_plan *o, const hy_plan *plan, int i, int64_t e, hy_fmt fmt)
{
  const hy_spec *spec = plan->spec + i;
  int skip = spec->stacked ? 1 : 0;
  hy_out *t = o->t + o->n++;

  *t = (hy_out){.spec = i, .expert = e, .fmt = fmt};
  hy_spec_tensor_name(t->name, spec, e);
  t->n_dim = spec->n_dim - skip;
  t->n = hy_spec_size(spec) / hy_spec_n_tensor(spec);
  for (int k = 0; k < t->n_dim; k++)
    t->dim[k] = spec->dim[k + skip];
}

/* All tensors in the order of the model: the matrices of one expert stand
 * together, as in the published files. */
static void
list_all(hy_out_plan *o, const hy_plan *plan, const hy_fmt *fmt)
{
  size_t n = 0;

  for (int i = 0; i < plan->n_spec; i++)
    n += (size_t)hy_spec_n_tensor(plan->spec + i);
  o->t = hy_calloc(n, sizeof *o->t);
  for (int i = 0, j; i < plan->n_spec; i = j) {
    j = i + 1;
    while (plan->spec[i].stacked && j < plan->n_spec && plan->spec[j].stacked &&
           plan->spec[j].layer == plan->spec[i].layer)
      j++;
    for (int64_t e = 0; e < hy_spec_n_tensor(plan->spec + i); e++)
      for (int k = i; k < j; k++)
        add(o, plan, k, e, fmt[k]);
  }
}

/* Number of a file name among those of the plan, adding it if new. */
static int
file_number(hy_out_plan *o, const char *name)
{
  for (int i = 0; i < o->n_file; i++)
    if (!strcmp(o->file[i], name))
      return i;
  o->file = hy_realloc(o->file, (size_t)(o->n_file + 1) * sizeof *o->file);
  o->file[o->n_file] = hy_strdup(name);
  return o->n_file++;
}

static void
forget_files(hy_out_plan *o)
{
  for (int i = 0; i < o->n_file; i++)
    free(o->file[i]);
  free(o->file);
  o->file = NULL;
  o->n_file = 0;
}

/* Does the index of the source tell the file of every tensor? */
static int
files_of_source(hy_out_plan *o, const char *source, int64_t limit)
{
  char *path = hy_path_join(source, "model.safetensors.index.json");
  hy_buf text = {0};
  json_t *root = NULL, *map;
  int64_t *size = NULL;
  int ok = 1;

  if (hy_path_exists(path) && !hy_file_read(path, &text))
    root = json_loadb(text.data, text.len, 0, NULL);
  map = json_object_get(root, "weight_map");
  ok = json_object_size(map) == (size_t)o->n;
  for (int64_t i = 0; ok && i < o->n; i++) {
    const char *f = json_string_value(json_object_get(map, o->t[i].name));
    int had = o->n_file;

    ok = f && !strchr(f, '/');
    if (!ok)
      break;
    o->t[i].file = file_number(o, f);
    if (o->n_file > had) {
      size = hy_realloc(size, (size_t)o->n_file * sizeof *size);
      size[had] = 0;
    }
    size[o->t[i].file] += (int64_t)hy_bytes(o->t[i].fmt, o->t[i].n);
    ok = size[o->t[i].file] <= limit;
  }
  if (!ok)
    forget_files(o);
  free(size);
  json_decref(root);
  free(text.data);
  free(path);
  return ok;
}

/* Fill one file after another. */
static void
files_by_size(hy_out_plan *o, int64_t limit)
{
  int64_t size = 0;
  int n = 0;

  for (int64_t i = 0; i < o->n; i++) {
    int64_t bytes = (int64_t)hy_bytes(o->t[i].fmt, o->t[i].n);

    if (size > 0 && size + bytes > limit) {
      n++;
      size = 0;
    }
    o->t[i].file = n;
    size += bytes;
  }
  for (int k = 0; k <= n; k++) {
    char *name =
        n == 0 ? hy_strdup("model.safetensors")
               : hy_asprintf("model-%05d-of-%05d.safetensors", k + 1, n + 1);

    file_number(o, name);
    free(name);
  }
}

static int
in_order(const void *a, const void *b)
{
  const hy_out *x = a, *y = b;
  hy_st_dtype dx = hy_st_dtype_of(x->fmt), dy = hy_st_dtype_of(y->fmt);

  if (x->file != y->file)
    return x->file < y->file ? -1 : 1;
  if (hy_st_before(dx, x->name, dy, y->name))
    return -1;
  return hy_st_before(dy, y->name, dx, x->name);
}

void
hy_out_plan_new(hy_out_plan *o, const hy_plan *plan, const hy_hf_options *opt)
{
  *o = (hy_out_plan){0};
  list_all(o, plan, opt->fmt);
  if (!opt->source || !files_of_source(o, opt->source, opt->shard_bytes))
    files_by_size(o, opt->shard_bytes);
  qsort(o->t, (size_t)o->n, sizeof *o->t, in_order);
}

void
hy_out_plan_share(hy_out_plan *o, const hy_comm *comm)
{
  hy_bcast(comm, &o->n, sizeof o->n, 0);
  if (comm->rank != 0)
    o->t = hy_calloc((size_t)o->n, sizeof *o->t);
  hy_bcast(comm, o->t, (size_t)o->n * sizeof *o->t, 0);
}

void
hy_out_plan_free(hy_out_plan *o)
{
  forget_files(o);
  free(o->t);
  *o = (hy_out_plan){0};
}

static int
by_name(const void *a, const void *b)
{
  const hy_out *const *x = a, *const *y = b;

  return strcmp((*x)->name, (*y)->name);
}

void
hy_out_index(const hy_out_plan *o, hy_buf *out)
{
  const hy_out **t = hy_malloc((size_t)o->n * sizeof *t);
  size_t total = 0;

  for (int64_t i = 0; i < o->n; i++) {
    t[i] = o->t + i;
    total += hy_bytes(t[i]->fmt, t[i]->n);
  }
  qsort(t, (size_t)o->n, sizeof *t, by_name);
  hy_buf_printf(out,
                "{\n  \"metadata\": {\n    \"total_size\": %zu\n  },\n"
                "  \"weight_map\": {\n",
                total);
  for (int64_t i = 0; i < o->n; i++)
    hy_buf_printf(out, "    \"%s\": \"%s\"%s\n", t[i]->name,
                  o->file[t[i]->file], i + 1 < o->n ? "," : "");
  hy_buf_printf(out, "  }\n}\n");
  free(t);
}
