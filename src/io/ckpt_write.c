/* ckpt_write.c: a checkpoint is written whole or not at all. */
#include "io/ckpt_impl.h"
#include "layer/piece.h"
#include "base/err.h"
#include "base/file.h"
#include "base/progress.h"
#include "base/version.h"
#include "model/cfg.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const group_name[3] = {"/model", "/optim/m", "/optim/v"};

/* Whether part k has a dataset for this spec. */
static int
stored(const hy_ckpt_job *w, int k, const hy_spec *spec)
{
  return w->host.flat[k] && (k == 0 || spec->kind == HY_WEIGHT);
}

/* What this rank has of it, and where. */
static const float *
numbers(hy_ckpt_job *w, int k, int i, hy_held *h)
{
  if (!w->copy)
    return hy_host_read(&w->host, k, i, h);
  *h = w->held[k][i];
  return w->copy;
}

static int64_t
data_bytes(const hy_ckpt_job *w, int *n)
{
  int64_t bytes = 0;

  *n = 0;
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < w->p->n; i++)
      if (stored(w, k, w->p->ref[i].spec)) {
        bytes += (int64_t)hy_bytes(HY_F32, hy_spec_size(w->p->ref[i].spec));
        ++*n;
      }
  return bytes;
}

void
hy_ckpt_sum_own(hy_ckpt_job *w)
{
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < w->p->n; i++)
      if (stored(w, k, w->p->ref[i].spec)) {
        hy_held h;
        const float *x = numbers(w, k, i, &h);

        w->sum[k][i] = hy_ckpt_part_sum(w->p->ref + i, &h, x);
      }
}

/* \param bytes  of a new file that is left empty; 0: the existing one is filled
 */
static int
check_room(const char *tmp, const char *dir, int64_t bytes)
{
  int why = hy_file_room(tmp, &bytes);

  if (!why)
    return HY_OK;
  return hy_fail(hy_file_is_full(why) ? HY_ERES : HY_EFILE,
                 "%s: no room for a checkpoint of %.3f GiB (%s); free some "
                 "space or lower ckpt.keep",
                 dir, (double)bytes / (1 << 30), strerror(why));
}

/* Create the dataset of one spec: its place in the file is fixed here. */
static void
create_set(hy_ckpt_job *w, hid_t group, int k, int i)
{
  const hy_spec *spec = w->p->ref[i].spec;
  char name[HY_NAME_LEN];
  hsize_t dim[4];
  hid_t space, how = hy_h5_timeless(H5P_DATASET_CREATE), set;

  hy_spec_stack_name(name, spec);
  for (int d = 0; d < spec->n_dim; d++)
    dim[d] = (hsize_t)spec->dim[d];
  space = H5Screate_simple(spec->n_dim, dim, NULL);
  H5Pset_layout(how, H5D_CONTIGUOUS);
  H5Pset_alloc_time(how, H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(how, H5D_FILL_TIME_NEVER);
  set = H5Dcreate2(group, name, H5T_IEEE_F32LE, space, H5P_DEFAULT, how,
                   H5P_DEFAULT);
  H5Pclose(how);
  H5Sclose(space);
  if (set < 0) {
    w->bad = 1;
    return;
  }
  w->bad |= hy_h5_put_u64(set, "checksum", w->sum[k][i]) != 0;
  if (spec->stacked) {
    w->bad |= hy_h5_put_text(set, "hub_name", spec->name) != 0;
    w->bad |= hy_h5_put_i64(set, "n_experts", spec->dim[0]) != 0;
  }
  if (k == 0)
    w->bad |=
        hy_h5_put_text(set, "source_dtype",
                       hy_fmt_name(w->st.fmt ? w->st.fmt[i] : HY_F32)) != 0;
  w->extent[w->n_extent++] =
      (hy_extent){H5Dget_offset(set), hy_bytes(HY_F32, hy_spec_size(spec))};
  w->bad |= H5Dclose(set) < 0;
}

static hid_t
new_group(hy_ckpt_job *w, hid_t file, const char *name)
{
  hid_t how = hy_h5_timeless(H5P_GROUP_CREATE);
  hid_t g = H5Gcreate2(file, name, H5P_DEFAULT, how, H5P_DEFAULT);

  H5Pclose(how);
  w->bad |= g < 0;
  return g;
}

static void
write_texts(hy_ckpt_job *w, hid_t file)
{
  char content[HY_SHA_HEX];

  hy_ckpt_content_of(w->p->plan, w->sum[0], content);
  w->bad |= hy_h5_put_text(file, "content", content) != 0;
  w->bad |= hy_h5_put_text(file, "code", hy_version()) != 0;
  w->bad |= hy_h5_put_text(file, "config", w->config.data) != 0;
  w->bad |= hy_h5_put_text(file, "deck", w->deck.data) != 0;
  w->bad |= hy_h5_put_text(file, "layout", w->layout.data) != 0;
  w->bad |= hy_h5_put_text(file, "lineage",
                           w->st.lineage ? w->st.lineage : "[]") != 0;
  w->bad |= hy_h5_put_text(file, "pattern", w->p->plan->cfg->pattern) != 0;
}

static void
create_groups(hy_ckpt_job *w, hid_t file)
{
  hid_t g;

  write_texts(w, file);
  g = new_group(w, file, "/state");
  if (g >= 0) {
    w->bad |= hy_ckpt_put_state(g, &w->st) != 0;
    H5Gclose(g);
  }
  if (w->host.flat[1] && (g = new_group(w, file, "/optim")) >= 0)
    H5Gclose(g);
  for (int k = 0; k < 3; k++) {
    if (!w->host.flat[k] || (g = new_group(w, file, group_name[k])) < 0)
      continue;
    for (int i = 0; i < w->p->n; i++)
      if (stored(w, k, w->p->ref[i].spec))
        create_set(w, g, k, i);
    H5Gclose(g);
  }
}

/* The file without its tensor data, by rank 0 alone; the room for the data is
 * reserved before the others join. */
static int
create_file(hy_ckpt_job *w)
{
  hid_t access = hy_h5_access();
  hid_t how = H5Pcreate(H5P_FILE_CREATE), file;

  H5Pset_userblock(how, w->block);
  H5Pset_obj_track_times(how, 0);
  H5Pset_alignment(access, 1 << 16, 4096);
  file = H5Fcreate(w->tmp, H5F_ACC_TRUNC, how, access);
  H5Pclose(access);
  H5Pclose(how);
  if (file < 0)
    return hy_fail(HY_EFILE, "%s: HDF5 cannot create this file", w->tmp);
  create_groups(w, file);
  w->bad |= H5Fclose(file) < 0;
  if (w->bad)
    return hy_fail(HY_ERES, "%s: writing failed; is the disk full?", w->tmp);
  return check_room(w->tmp, w->dir, 0);
}

int
hy_ckpt_write_data(hy_ckpt_job *w)
{
  int fd = open(w->tmp, O_WRONLY), why = fd < 0 ? errno : 0;
  hy_progress bar;

  hy_progress_begin(&bar, "save", 3 * w->p->n,
                    w->grid->world.rank == 0 && !w->copy);
  for (int k = 0, at = 0; k < 3; k++)
    for (int i = 0; i < w->p->n; i++) {
      const hy_param_ref *r = w->p->ref + i;

      if (!stored(w, k, r->spec))
        continue;
      if (!why) {
        hy_held h;
        const float *x = numbers(w, k, i, &h);

        why = hy_ckpt_move(fd, w->extent[at].at, r, &r->own, &h,
                           (float *)(uintptr_t)x, 1);
      }
      at++;
      hy_progress_at(&bar, k * w->p->n + i);
    }
  hy_progress_end(&bar);
  if (!why && fsync(fd))
    why = errno;
  if (fd >= 0 && close(fd) && !why)
    why = errno;
  if (why)
    return hy_fail(hy_file_is_full(why) ? HY_ERES : HY_EFILE,
                   "%s: cannot write: %s; earlier checkpoints are untouched",
                   w->tmp, strerror(why));
  return HY_OK;
}

/* What a killed save left behind. */
static void
remove_stale(const char *dir)
{
  DIR *d = opendir(dir);
  struct dirent *e;

  while (d && (e = readdir(d))) {
    size_t n = strlen(e->d_name);
    char *path;

    if ((n < 13 || strncmp(e->d_name, ".step_", 6) ||
         strcmp(e->d_name + n - 7, ".h5.tmp")) &&
        strncmp(e->d_name, "latest.tmp", 10))
      continue;
    path = hy_path_join(dir, e->d_name);
    unlink(path);
    free(path);
  }
  if (d)
    closedir(d);
}

/* Older checkpoints beyond the newest keep; later steps are left alone. */
static void
prune(const char *dir, int64_t step, int keep)
{
  int64_t *have = NULL;
  int n = hy_ckpt_list(dir, &have), older = 0;

  for (int i = 0; i < n; i++)
    older += have[i] < step;
  for (int i = 0; keep > 0 && i < older - (keep - 1); i++) {
    char *path = hy_ckpt_name(dir, have[i]);

    unlink(path);
    free(path);
  }
  free(have);
}

int
hy_ckpt_create(hy_ckpt_job *w)
{
  int err = hy_make_dirs(w->dir), n;
  int64_t bytes = data_bytes(w, &n);

  bytes += (int64_t)w->block + (1 << 18) + n * 6000LL; /* structures of HDF5 */
  hy_h5_quiet();
  remove_stale(w->dir);
  err = err ? err : check_room(w->tmp, w->dir, bytes);
  return err ? err : create_file(w);
}

int
hy_ckpt_finish(hy_ckpt_job *w)
{
  char *path = hy_ckpt_name(w->dir, w->st.step);
  char *latest = hy_path_join(w->dir, "latest");
  hy_buf line = {0};
  int err = hy_ckpt_seal(w->tmp, w->block, w->extent, w->n_extent);

  hy_buf_printf(&line, "%s\n", hy_path_name(path));
  err = err ? err : hy_file_commit(w->tmp, path);
  err = err ? err : hy_file_write(latest, line.data, line.len);
  if (!err)
    prune(w->dir, w->st.step, w->keep);
  free(line.data);
  free(latest);
  free(path);
  return err;
}

void
hy_ckpt_job_new(hy_ckpt_job *w, const hy_params *p, const float *m,
                const float *v)
{
  int n;

  w->p = p;
  hy_host_begin(&w->host, p, m, v);
  for (int k = 0; k < 3; k++) {
    w->sum[k] = hy_calloc((size_t)p->n, sizeof **w->sum);
    w->held[k] = hy_calloc((size_t)p->n, sizeof **w->held);
  }
  data_bytes(w, &n);
  w->n_set = n;
  w->block = hy_ckpt_block(n);
  w->extent = hy_calloc((size_t)n, sizeof *w->extent);
}

void
hy_ckpt_job_free(hy_ckpt_job *w)
{
  for (int k = 0; k < 3; k++) {
    free(w->sum[k]);
    free(w->held[k]);
  }
  hy_host_end(&w->host);
  free(w->copy);
  free(w->extent);
  free(w->config.data);
  free(w->deck.data);
  free(w->layout.data);
  free(w->dir);
  free(w->tmp);
}
