/* post_mortem.h: what a run leaves that has diverged. */
#ifndef HYMN_JOB_POST_MORTEM_H
#define HYMN_JOB_POST_MORTEM_H

#include "job/train_setup.h"

/** After HY_EDIVERGED: keep the state before the update that was not made in
 *  job.dir/diverged: a checkpoint, and a text of what is not finite on which
 *  rank. Nothing resumes from there by itself, `latest` and the checkpoints of
 *  the run stay as they are, and so does the error text; when it cannot be
 *  written a note on stderr says so. \param s  of the step. Collective. */
void hy_train_post_mortem(hy_train *r, const hy_step_result *s);

#endif
