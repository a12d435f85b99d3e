#include "io/source.h"
#include "base/err.h"
#include "base/file.h"
#include "grid/share.h"
#include "io/ckpt.h"
#include "base/lineage.h"
#include "layer/piece.h"
#include "model/cfg.h"
#include "model/stage.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Folder of the hub cache; the caller frees it. */
static char *
hub_cache(void)
{
  const char *cache = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME");

  if (cache && cache[0])
    return hy_strdup(cache);
  if (home && home[0])
    return hy_asprintf("%s/hub", home);
  home = getenv("HOME");
  return hy_asprintf("%s/.cache/huggingface/hub", home ? home : "");
}

/* models--owner--name/snapshots/HASH, HASH from refs/main. */
static int
find_hub(const char *name, char **path)
{
  char *cache = hub_cache(), *repo = NULL, *refs = NULL;
  const char *slash = strchr(name, '/');
  hy_buf hash = {0};
  int err = HY_OK;

  if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/'))
    err =
        hy_fail(HY_EDECK, "model.from: hub:%s should be hub:owner/name", name);
  if (!err) {
    repo = hy_asprintf("%s/models--%.*s--%s", cache, (int)(slash - name), name,
                       slash + 1);
    refs = hy_asprintf("%s/refs/main", repo);
    if (!hy_path_exists(refs))
      err = hy_fail(HY_EFILE,
                    "model.from: hub:%s is not in the hub cache %s; download "
                    "it with the hub's own tool or name a folder",
                    name, cache);
  }
  if (!err)
    err = hy_file_read(refs, &hash);
  while (!err && hash.len && isspace((unsigned char)hash.data[hash.len - 1]))
    hash.data[--hash.len] = '\0';
  if (!err)
    *path = hy_asprintf("%s/snapshots/%s", repo, hash.data);
  free(hash.data);
  free(refs);
  free(repo);
  free(cache);
  return err;
}

/* What model.from is: *ckpt is the checkpoint, NULL for a weight folder. */
static int
find(const char *from, char **ckpt)
{
  char *config = hy_path_join(from, "config.json");
  int folder = hy_path_is_dir(from) && hy_path_exists(config), err = HY_OK;

  free(config);
  *ckpt = NULL;
  if (folder)
    return HY_OK;
  if (!hy_path_exists(from))
    return hy_fail(HY_EFILE, "model.from: %s does not exist", from);
  if (hy_path_is_dir(from)) {
    err = hy_ckpt_find(ckpt, from, 0);
    if (err == HY_EFILE) {
      hy_err_clear();
      err = hy_fail(HY_EFILE,
                    "model.from: %s has neither config.json (weight folder) "
                    "nor step_NNNNNNN.h5 (run directory)",
                    from);
    }
    return err;
  }
  if (!hy_ckpt_is(from))
    return hy_fail(HY_EFILE,
                   "model.from: %s is no checkpoint of hymn; name a weight "
                   "folder, a checkpoint or a run directory",
                   from);
  *ckpt = hy_strdup(from);
  return HY_OK;
}

/* One key of &model from the checkpoint's deck into d. */
static int
fill_int(hy_deck *d, const char *key, int64_t x, const char *where)
{
  char text[32];

  snprintf(text, sizeof text, "%lld", (long long)x);
  return hy_deck_fill(d, key, text, where);
}

static int
fill_real(hy_deck *d, const char *key, double x, const char *where)
{
  char text[32];

  snprintf(text, sizeof text, "%.17g", x);
  return hy_deck_fill(d, key, text, where);
}

static int
fill_str(hy_deck *d, const char *key, const char *x, const char *where)
{
  char *text = hy_asprintf("'%s'", x);
  int err = hy_deck_fill(d, key, text, where);

  free(text);
  return err;
}

/* All of &model but `from`, which stays what the user said. */
static int
fill_model(hy_deck *d, const hy_deck *old, const char *where)
{
  int err = HY_OK;

#define IN(g) (!err && !strcmp(#g, "model"))
#define HY_INT(g, k, def, lo, hi, unit, help)                                  \
  if (IN(g))                                                                   \
    err = fill_int(d, #g "." #k, old->g.k, where);
#define HY_REAL(g, k, def, lo, hi, unit, help)                                 \
  if (IN(g))                                                                   \
    err = fill_real(d, #g "." #k, old->g.k, where);
#define HY_BOOL(g, k, def, help)                                               \
  if (IN(g))                                                                   \
    err = hy_deck_fill(d, #g "." #k, old->g.k ? ".true." : ".false.", where);
#define HY_STR(g, k, def, unit, help)                                          \
  if (IN(g))                                                                   \
    err = fill_str(d, #g "." #k, old->g.k, where);
#include "deck/blank.h"
#include "deck/deck.def"
#include "deck/undef.h"
#undef IN
  return err;
}

static int
resolve_ckpt(hy_deck *d, const char *path)
{
  hy_deck old;
  hy_buf text = {0};
  int err = hy_ckpt_deck(&text, path);

  if (err) {
    free(text.data);
    return err;
  }
  hy_deck_init(&old);
  err = hy_deck_parse(&old, text.data, path, NULL);
  if (!err)
    err = fill_model(d, &old, path);
  hy_deck_free(&old);
  free(text.data);
  return err;
}

int
hy_source_find(hy_deck *d)
{
  char *path = NULL, *ckpt = NULL;
  int err = HY_OK;

  if (!d->model.from[0])
    return HY_OK;
  if (!strncmp(d->model.from, "hub:", 4)) {
    err = find_hub(d->model.from + 4, &path);
    if (!err && strlen(path) >= sizeof d->model.from)
      err = hy_fail(HY_EFILE, "model.from: %.200s...: too long a path", path);
    if (!err)
      strcpy(d->model.from, path);
    free(path);
  }
  if (!err)
    err = find(d->model.from, &ckpt);
  if (!err)
    err = ckpt ? resolve_ckpt(d, ckpt) : hy_cfg_read(d, d->model.from);
  free(ckpt);
  return err;
}

int
hy_source_resolve(hy_deck *d, const hy_comm *world)
{
  int err = HY_OK;

  if (!d->model.from[0])
    return HY_OK;
  if (world->rank == 0)
    err = hy_source_find(d);
  err = hy_agree(world, err);
  return err ? err : hy_deck_share(d, world);
}

/* Plan and parameters without gradients. Any layout that cuts the tensors
 * evenly will do: no layer runs. */
static int
make_room(hy_plan *plan, hy_params *p, const hy_deck *d, const hy_grid *grid)
{
  int err = hy_plan_new(plan, &d->model);

  *p = (hy_params){0};
  if (!err)
    err = hy_stage_cut(plan, grid);
  if (!err)
    err = hy_pieces_check(plan, grid);
  if (!err)
    err = hy_params_new(p, plan, grid, 0);
  return err;
}

/* Rank 0 finds, everybody knows; *ckpt stays NULL for a weight folder. */
static int
find_shared(const char *from, const hy_comm *world, char **ckpt)
{
  hy_str path = "";
  int err = HY_OK;

  *ckpt = NULL;
  if (world->rank == 0)
    err = find(from, ckpt);
  if (!err && *ckpt)
    snprintf(path, sizeof path, "%s", *ckpt);
  err = hy_agree(world, err);
  hy_bcast(world, path, sizeof path, 0);
  if (!err && world->rank != 0 && path[0])
    *ckpt = hy_strdup(path);
  return err;
}

/* Text of rank 0 to all; the caller frees it. */
static char *
share_text(const hy_comm *world, char *text)
{
  size_t n = world->rank == 0 && text ? strlen(text) + 1 : 0;

  hy_bcast(world, &n, sizeof n, 0);
  if (world->rank != 0)
    text = n ? hy_malloc(n) : NULL;
  if (n)
    hy_bcast(world, text, n, 0);
  return text;
}

/* Rank 0: config and lineage of the source. */
static int
read_about(hy_source_info *info, const char *from, const char *ckpt)
{
  hy_buf config = {0}, inner = {0}, list = {0};
  int err;

  if (ckpt) {
    err = hy_ckpt_text(&config, ckpt, "config");
    err = err ? err : hy_ckpt_text(&inner, ckpt, "lineage");
  } else {
    char *path = hy_path_join(from, "config.json");

    err = hy_file_read(path, &config);
    free(path);
    if (!err && hy_path_is_dir(from))
      err = hy_hf_lineage(from, info->content, &inner);
  }
  hy_lineage_add(&list, info->kind, info->content, inner.data);
  free(inner.data);
  info->config = config.data;
  info->lineage = list.data;
  return err;
}

static int
fill_info(hy_source_info *info, const hy_params *p, const hy_deck *d,
          const char *ckpt, const hy_grid *grid)
{
  const hy_comm *world = &grid->world;
  int err = HY_OK;

  snprintf(info->kind, sizeof info->kind, "%s",
           ckpt ? "checkpoint" : "weight folder");
  info->folder = ckpt ? hy_path_dir(ckpt) : hy_strdup(d->model.from);
  hy_ckpt_content(p, grid, info->content);
  if (!info->fmt)
    info->fmt = hy_calloc((size_t)p->n, sizeof *info->fmt);
  if (world->rank == 0) {
    err = read_about(info, d->model.from, ckpt);
    if (!err && ckpt)
      err = hy_ckpt_formats(info->fmt, p->plan, ckpt);
  }
  err = hy_agree(world, err);
  info->config = share_text(world, info->config);
  info->lineage = share_text(world, info->lineage);
  hy_bcast(world, info->fmt, (size_t)p->n * sizeof *info->fmt, 0);
  return err;
}

int
hy_source_load_info(hy_params *p, const hy_deck *d, const hy_grid *grid,
                    hy_source_info *info)
{
  char *ckpt = NULL;
  hy_hf_report rep = {0};
  int err = find_shared(d->model.from, &grid->world, &ckpt);

  if (info)
    *info = (hy_source_info){0};
  if (!err && ckpt)
    err = hy_ckpt_read(p, NULL, NULL, NULL, ckpt, grid);
  else if (!err)
    err = hy_hf_import(p, d->model.from, grid, &rep);
  if (!err && info) {
    info->fmt = rep.fmt;
    info->n_tensor = rep.n_tensor;
    for (int i = 0; ckpt && i < p->plan->n_spec; i++)
      info->n_tensor += hy_spec_n_tensor(p->plan->spec + i);
    rep.fmt = NULL;
    err = fill_info(info, p, d, ckpt, grid);
  }
  if (err && info)
    hy_source_info_free(info);
  hy_hf_report_free(&rep);
  free(ckpt);
  return err;
}

int
hy_source_load(hy_params *p, const hy_deck *d, const hy_grid *grid)
{
  return hy_source_load_info(p, d, grid, NULL);
}

void
hy_source_info_free(hy_source_info *info)
{
  free(info->config);
  free(info->lineage);
  free(info->folder);
  free(info->fmt);
  *info = (hy_source_info){0};
}

int
hy_stored_open(hy_stored *s, hy_deck *d, const hy_grid *grid)
{
  int err;

  *s = (hy_stored){0};
  err = hy_source_resolve(d, &grid->world);
  if (!err)
    err = hy_agree(&grid->world, make_room(&s->plan, &s->params, d, grid));
  if (!err)
    err = hy_source_load_info(&s->params, d, grid, &s->info);
  return err;
}

void
hy_stored_free(hy_stored *s)
{
  hy_source_info_free(&s->info);
  hy_params_free(&s->params);
  hy_plan_free(&s->plan);
}
