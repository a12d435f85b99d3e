/* pretrain: next-token training from first weights, a folder or a
 * checkpoint. */
#include "job/job.h"
#include "job/train_loop.h"

const hy_job hy_job_pretrain = {.name = "pretrain",
                                .help = "train a model on packed tokens",
                                .heeds = 1,
                                .computes = 1,
                                .run = hy_train_run};
