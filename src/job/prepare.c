/* prepare.c: the job that packs text for training. */
#include "job/job.h"
#include "prep/prepare.h"

static int
prepare_run(hy_deck *deck, const hy_grid *grid)
{
  return hy_prepare(deck, &grid->world, stdout);
}

const hy_job hy_job_prepare = {.name = "prepare",
                               .help = "text to packed token files",
                               .patient = 1,
                               .run = prepare_run};
