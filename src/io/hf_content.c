/* hf_content.c: the identity of the model in a weight folder, and what the
 * folder was made from. */
#include "io/hf.h"
#include "io/ckpt_impl.h"
#include "base/err.h"
#include "base/file.h"
#include "base/lineage.h"
#include "layer/piece.h"
#include "model/cfg.h"

#include <stdlib.h>
#include <string.h>

/* Checksum of a spec's fp32 values, in the numbering of the stacked tensor. */
static uint64_t
sum_spec(const hy_st *s, const hy_spec *spec)
{
  enum { N = 8192 };
  int64_t each = hy_spec_size(spec) / hy_spec_n_tensor(spec);
  char name[HY_NAME_LEN];
  union {
    float f[N];
    uint32_t w[N];
  } part;
  uint64_t sum = 0;

  for (int64_t e = 0; e < hy_spec_n_tensor(spec); e++) {
    const hy_st_tensor *t;
    hy_fmt f;

    hy_spec_tensor_name(name, spec, e);
    t = hy_st_find(s, name);
    f = (hy_fmt)hy_st_fmt(t->dtype);
    for (int64_t at = 0; at < each; at += N) {
      int64_t n = each - at < N ? each - at : N;

      hy_to_f32(part.f, (const char *)t->data + hy_bytes(f, at), f, n);
      sum += hy_checksum(part.w, (size_t)n, (uint64_t)(e * each + at));
    }
  }
  return sum;
}

static int
content_of(const hy_st *s, const hy_plan *plan, const char *dir,
           char hash[HY_SHA_HEX])
{
  uint64_t *sum;
  int err = hy_hf_check(s, plan, dir);

  if (err)
    return err;
  sum = hy_calloc((size_t)plan->n_spec, sizeof *sum);
  for (int i = 0; i < plan->n_spec; i++)
    sum[i] = sum_spec(s, plan->spec + i);
  hy_ckpt_content_of(plan, sum, hash);
  free(sum);
  return HY_OK;
}

int
hy_hf_content(const char *dir, char hash[HY_SHA_HEX])
{
  hy_deck *d = hy_malloc(sizeof *d);
  hy_plan plan = {0};
  hy_st *s = NULL;
  int err;

  hy_deck_init(d);
  err = hy_cfg_read(d, dir);
  if (!err)
    err = hy_plan_new(&plan, &d->model);
  if (!err)
    err = hy_st_open(&s, dir);
  if (!err)
    err = content_of(s, &plan, dir, hash);
  hy_st_close(s);
  hy_plan_free(&plan);
  hy_deck_free(d);
  free(d);
  return err;
}

int
hy_hf_seal(const char *dir, const hy_plan *plan, const char *lineage)
{
  char *path = hy_path_join(dir, HY_HF_LINEAGE), hash[HY_SHA_HEX];
  hy_st *s = NULL;
  int err = hy_st_open(&s, dir);

  if (!err)
    err = content_of(s, plan, dir, hash);
  hy_st_close(s);
  if (!err)
    err = hy_lineage_write(path, "weight folder", hash, lineage);
  free(path);
  return err;
}

int
hy_hf_lineage(const char *dir, const char *content, hy_buf *lineage)
{
  char *path = hy_path_join(dir, HY_HF_LINEAGE);
  char said[HY_SHA_HEX], found[HY_SHA_HEX];
  int err = hy_lineage_read(path, said, lineage);

  /* keys of the deck may have made another model of the same tensors */
  if (!err && said[0] && strcmp(said, content)) {
    err = hy_hf_content(dir, found);
    if (!err && strcmp(said, found))
      err = hy_lineage_stale(path);
  }
  free(path);
  return err;
}
