/* import.c: weight folder -> checkpoint of step 0, without moments. */
#include "job/job.h"
#include "base/err.h"
#include "base/file.h"
#include "model/count.h"
#include "io/ckpt.h"
#include "io/source.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A run directory with checkpoints of a training is not to be overwritten. */
static int
check_target(const hy_deck *d)
{
  const char *dir = d->job.dir;
  DIR *o;
  struct dirent *e;
  int64_t step = 0;

  if (!d->model.from[0])
    return hy_fail(HY_EDECK, "model.from: not set; name the weight folder to "
                             "import");
  o = opendir(dir);
  while (o && step == 0 && (e = readdir(o)))
    if (!strncmp(e->d_name, "step_", 5))
      step = atoll(e->d_name + 5);
  if (o)
    closedir(o);
  if (step)
    return hy_fail(HY_EFILE,
                   "%s: holds the checkpoints of a run (step %lld); set "
                   "job.dir to another folder",
                   dir, (long long)step);
  return HY_OK;
}

static int
save(const hy_deck *d, const hy_params *p, const hy_grid *grid,
     const hy_source_info *info)
{
  hy_ckpt_state st = {.seed = d->job.seed};
  int err;

  st.config = info->config;
  st.lineage = info->lineage;
  st.fmt = info->fmt;
  err = hy_ckpt_write(d->job.dir, p, NULL, NULL, &st, d, grid, 0);
  if (!err && grid->world.rank == 0)
    err = hy_hf_copy_files(info->folder, d->job.dir);
  err = hy_agree(&grid->world, err);
  if (!err && grid->world.rank == 0)
    printf("imported %s: %lld tensors, %lld parameters\n"
           "content  %s\n"
           "wrote    %s/step_0000000.h5\n",
           d->model.from, (long long)info->n_tensor,
           (long long)hy_plan_n_params(p->plan), info->content, d->job.dir);
  return err;
}

static int
import_run(hy_deck *deck, const hy_grid *grid)
{
  hy_stored s = {0};
  int err = hy_agree(&grid->world, check_target(deck));

  if (!err)
    err = hy_stored_open(&s, deck, grid);
  if (!err)
    err = save(deck, &s.params, grid, &s.info);
  hy_stored_free(&s);
  return err;
}

const hy_job hy_job_import = {.name = "import",
                              .help = "weight folder to checkpoint",
                              .patient = 1,
                              .run = import_run};
