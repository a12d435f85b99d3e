/* export.c: checkpoint (or weight folder) -> weight folder. */
#include "job/job.h"
#include "base/err.h"
#include "model/count.h"
#include "io/hf.h"
#include "io/source.h"

#include <stdio.h>
#include <stdlib.h>

static int
save(const hy_deck *d, const hy_params *p, const hy_grid *grid,
     const hy_source_info *info)
{
  hy_fmt *fmt = hy_calloc((size_t)p->plan->n_spec, sizeof *fmt);
  hy_hf_options opt = {.fmt = fmt,
                       .shard_bytes = d->convert.shard_bytes,
                       .source = info->folder,
                       .config = info->config,
                       .lineage = info->lineage};
  int64_t n = 0;
  int err;

  hy_hf_formats(fmt, p->plan, d->convert.dtype, info->fmt);
  err = hy_hf_export(p, d->job.dir, &opt, grid, &n);
  if (!err && grid->world.rank == 0)
    printf("exported %s: %lld tensors, %lld parameters\n"
           "source   %s\n"
           "wrote    %s\n",
           d->model.from, (long long)n, (long long)hy_plan_n_params(p->plan),
           info->content, d->job.dir);
  free(fmt);
  return err;
}

static int
export_run(hy_deck *deck, const hy_grid *grid)
{
  hy_stored s = {0};
  int err = HY_OK;

  if (!deck->model.from[0])
    err = hy_fail(HY_EDECK, "model.from: not set; name the checkpoint, run "
                            "directory or weight folder to export");
  err = hy_agree(&grid->world, err);
  if (!err)
    err = hy_stored_open(&s, deck, grid);
  if (!err)
    err = save(deck, &s.params, grid, &s.info);
  hy_stored_free(&s);
  return err;
}

const hy_job hy_job_export = {.name = "export",
                              .help = "checkpoint to weight folder",
                              .patient = 1,
                              .run = export_run};
