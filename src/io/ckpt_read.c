/* ckpt_read.c: any layout reads any layout's checkpoint. */
#include "io/ckpt_impl.h"
#include "io/safetensors.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One dataset in the file. */
typedef struct {
  uint64_t at, sum; /* first byte; checksum it was saved with */
} place;

typedef struct {
  hy_params *p;
  hy_host host; /* weights, m, v */
  int has_optim;
  place *place[3];   /* by spec */
  uint64_t *have[3]; /* checksums of what was read */
  hy_ckpt_state state;
  const char *path;
  const hy_grid *grid;
} job;

static const char *const group_name[3] = {"/model", "/optim/m", "/optim/v"};

static int
stored(const job *r, int k, const hy_spec *spec)
{
  return r->host.flat[k] &&
         (k == 0 || (r->has_optim && spec->kind == HY_WEIGHT));
}

/* The dataset of a spec, with the shape that the model wants; < 0 after
 * hy_fail. */
static hid_t
open_set(const job *r, hid_t group, const hy_spec *spec)
{
  char name[HY_NAME_LEN], found[128], wanted[128];
  hsize_t dim[8] = {0};
  int64_t got[8];
  int n = -1, same;
  hid_t set, space;

  hy_spec_stack_name(name, spec);
  hy_st_shape_text(wanted, sizeof wanted, spec->n_dim, spec->dim);
  if (H5Lexists(group, name, H5P_DEFAULT) <= 0 ||
      (set = H5Dopen2(group, name, H5P_DEFAULT)) < 0) {
    hy_fail(HY_EDATA,
            "%s: of another model: it has no tensor %s %s; set the &model keys "
            "it was saved with",
            r->path, name, wanted);
    return -1;
  }
  space = H5Dget_space(set);
  if (H5Sget_simple_extent_ndims(space) <= 8)
    n = H5Sget_simple_extent_dims(space, dim, NULL);
  H5Sclose(space);
  same = n == spec->n_dim;
  for (int i = 0; i < n; i++) {
    got[i] = (int64_t)dim[i];
    same = same && got[i] == spec->dim[i];
  }
  if (same)
    return set;
  hy_st_shape_text(found, sizeof found, n < 0 ? 0 : n, got);
  hy_fail(HY_EDATA,
          "%s: of another model: tensor %s has shape %s, this model wants %s",
          r->path, name, found, wanted);
  H5Dclose(set);
  return -1;
}

/* Pattern, number of tensors and every shape, before anything is read. */
static int
check_model(job *r, hid_t file)
{
  const hy_plan *plan = r->p->plan;
  hid_t group = H5Gopen2(file, "/model", H5P_DEFAULT);
  H5G_info_t info = {0};
  hy_buf pattern = {0};
  int err = 0;

  if (group < 0 || hy_h5_get_text(file, "pattern", &pattern) ||
      H5Gget_info(group, &info) < 0)
    err = hy_fail(HY_EDATA, "%s: has no model in it", r->path);
  if (!err && strcmp(pattern.data, plan->cfg->pattern))
    err = hy_fail(HY_EDATA,
                  "%s: of another model: its pattern is %s, model.pattern is "
                  "%s",
                  r->path, pattern.data, plan->cfg->pattern);
  for (int i = 0; !err && i < plan->n_spec; i++) {
    hid_t set = open_set(r, group, plan->spec + i);

    if (set < 0)
      err = HY_EDATA;
    else
      H5Dclose(set);
  }
  if (!err && info.nlinks != (hsize_t)plan->n_spec)
    err = hy_fail(HY_EDATA,
                  "%s: of another model: it holds %lld tensors, this model "
                  "has %d",
                  r->path, (long long)info.nlinks, plan->n_spec);
  if (group >= 0)
    H5Gclose(group);
  free(pattern.data);
  return err;
}

/* Where the datasets of part k are. */
static int
find_part(job *r, hid_t file, int k)
{
  hid_t group = H5Gopen2(file, group_name[k], H5P_DEFAULT);
  int err = 0;

  if (group < 0)
    return hy_fail(HY_EDATA, "%s: has no %s", r->path, group_name[k]);
  for (int i = 0; !err && i < r->p->n; i++) {
    const hy_spec *spec = r->p->ref[i].spec;
    hid_t set;

    if (!stored(r, k, spec))
      continue;
    set = open_set(r, group, spec);
    if (set < 0)
      err = HY_EDATA;
    else {
      r->place[k][i].at = H5Dget_offset(set);
      if (r->place[k][i].at == HADDR_UNDEF ||
          hy_h5_get_u64(set, "checksum", &r->place[k][i].sum))
        err = hy_fail(HY_EDATA, "%s: %s/%s: no data or no checksum", r->path,
                      group_name[k], spec->name);
      H5Dclose(set);
    }
  }
  H5Gclose(group);
  return err;
}

/* All that HDF5 is needed for; rank 0 only. */
static int
read_structure(job *r)
{
  hid_t file, g;
  int err = hy_ckpt_open(&file, r->path);

  if (err)
    return err;
  g = H5Gopen2(file, "/state", H5P_DEFAULT);
  if (g < 0 || hy_ckpt_get_state(g, &r->state))
    err = hy_fail(HY_EDATA, "%s: /state is incomplete", r->path);
  if (g >= 0)
    H5Gclose(g);
  r->has_optim = H5Lexists(file, "/optim", H5P_DEFAULT) > 0;
  err = err ? err : check_model(r, file);
  for (int k = 0; k < 3 && !err; k++)
    if (r->host.flat[k] && (k == 0 || r->has_optim))
      err = find_part(r, file, k);
  H5Fclose(file);
  return err;
}

/* This rank's part of everything. Not collective. */
static int
read_data(job *r)
{
  int fd = open(r->path, O_RDONLY), why = fd < 0 ? errno : 0;

  for (int k = 0; k < 3; k++)
    for (int i = 0; i < r->p->n && !why; i++) {
      const hy_param_ref *ref = r->p->ref + i;
      hy_held h;
      float *x;

      if (!stored(r, k, ref->spec))
        continue;
      x = hy_host_open(&r->host, k, i, &h);
      why = hy_ckpt_move(fd, r->place[k][i].at, ref, &(hy_own){h.from, h.to, 0},
                         &h, x, 0);
      if (!why)
        r->have[k][i] = hy_ckpt_part_sum(ref, &h, x);
      hy_host_put(&r->host);
    }
  if (fd >= 0)
    close(fd);
  if (why)
    return hy_fail(HY_EFILE, "%s: cannot read: %s", r->path, strerror(why));
  return HY_OK;
}

static int
compare_sums(job *r)
{
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < r->p->n; i++) {
      const hy_spec *spec = r->p->ref[i].spec;
      char name[HY_NAME_LEN];

      hy_spec_stack_name(name, spec);
      if (stored(r, k, spec) && r->place[k][i].sum != r->have[k][i])
        return hy_fail(HY_EDATA,
                       "%s: damaged: tensor %s/%s does not have the checksum "
                       "it was saved with; copy the file again or use an "
                       "earlier checkpoint",
                       r->path, group_name[k], name);
    }
  return HY_OK;
}

static void
share_structure(job *r)
{
  const hy_comm *world = &r->grid->world;

  hy_bcast(world, &r->has_optim, sizeof r->has_optim, 0);
  hy_bcast(world, &r->state, sizeof r->state, 0);
  for (int k = 0; k < 3; k++)
    hy_bcast(world, r->place[k], (size_t)r->p->n * sizeof **r->place, 0);
}

int
hy_ckpt_read(hy_params *p, float *m, float *v, hy_ckpt_state *st,
             const char *path, const hy_grid *grid)
{
  job r = {.p = p, .path = path, .grid = grid};
  int err = 0;

  hy_host_begin(&r.host, p, m, v);
  for (int k = 0; k < 3; k++) {
    r.place[k] = hy_calloc((size_t)p->n, sizeof **r.place);
    r.have[k] = hy_calloc((size_t)p->n, sizeof **r.have);
    if (k > 0 && r.host.flat[k])
      hy_host_clear(&r.host, k);
  }
  if (grid->world.rank == 0)
    err = read_structure(&r);
  err = hy_agree(&grid->world, err);
  if (!err) {
    share_structure(&r);
    err = hy_agree(&grid->world, read_data(&r));
    for (int k = 0; k < 3; k++)
      hy_ckpt_sum(grid, r.have[k], p->n);
    err = err ? err : hy_agree(&grid->world, compare_sums(&r));
  }
  if (st && !err) {
    *st = r.state;
    st->has_optim = r.has_optim;
  }
  hy_host_end(&r.host);
  hy_params_renew(p);
  for (int k = 0; k < 3; k++) {
    free(r.place[k]);
    free(r.have[k]);
  }
  return err;
}
