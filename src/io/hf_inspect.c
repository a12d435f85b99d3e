/* hf_inspect.c: what a weight folder holds, for people. */
#include "io/hf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/lineage.h"
#include "model/cfg.h"
#include "model/count.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void
print_tensors(FILE *out, const hy_st *s)
{
  int64_t n[HY_ST_N_DTYPE] = {0}, element[HY_ST_N_DTYPE] = {0}, total = 0;
  size_t bytes = 0;

  for (int64_t i = 0; i < hy_st_n(s); i++) {
    const hy_st_tensor *t = hy_st_at(s, i);

    n[t->dtype]++;
    element[t->dtype] += t->n;
    total += t->n;
    bytes += t->bytes;
  }
  fprintf(out,
          "files     %d\ntensors   %" PRId64 ", %" PRId64
          " elements, %zu bytes\n",
          hy_st_n_files(s), hy_st_n(s), total, bytes);
  for (int i = 0; i < HY_ST_N_DTYPE; i++)
    if (n[i])
      fprintf(out, "          %-8s %" PRId64 " tensors, %" PRId64 " elements\n",
              hy_st_dtype_name((hy_st_dtype)i), n[i], element[i]);
}

/* The configuration as a deck group, and whether the tensors belong to it. */
static int
print_model(FILE *out, const hy_st *s, const char *dir)
{
  hy_deck *d = hy_calloc(1, sizeof *d);
  hy_plan plan = {0};
  hy_buf text = {0};
  int err;

  hy_deck_init(d);
  err = hy_cfg_read(d, dir);
  if (!err)
    err = hy_plan_new(&plan, &d->model);
  if (!err) {
    hy_deck_print(d, &text, 0);
    fprintf(out, "model     %s: %" PRId64 " parameters, %" PRId64 " active\n%s",
            d->model.pattern, hy_plan_n_params(&plan), hy_plan_n_active(&plan),
            text.data);
    err = hy_hf_check(s, &plan, dir);
  }
  if (!err)
    fprintf(out, "complete  every tensor of the configuration is there, and no "
                 "other\n");
  free(text.data);
  hy_plan_free(&plan);
  hy_deck_free(d);
  free(d);
  return err;
}

static int
print_lineage(FILE *out, const char *dir)
{
  char *path = hy_path_join(dir, HY_HF_LINEAGE), content[HY_SHA_HEX];
  hy_buf lineage = {0};
  int err = hy_lineage_read(path, content, &lineage);

  if (!err && content[0]) {
    fprintf(out, "lineage   weight folder %s\n", content);
    hy_lineage_print(out, lineage.data, 10);
  } else if (!err)
    fprintf(out, "lineage   not known: no %s\n", HY_HF_LINEAGE);
  free(lineage.data);
  free(path);
  return err;
}

int
hy_hf_inspect(const char *dir, FILE *out)
{
  hy_st *s;
  int err = hy_st_open(&s, dir);

  if (err)
    return err;
  fprintf(out, "%s: weight folder\n", dir);
  print_tensors(out, s);
  err = print_model(out, s, dir);
  if (!err && hy_path_is_dir(dir))
    err = print_lineage(out, dir);
  hy_st_close(s);
  return err;
}
