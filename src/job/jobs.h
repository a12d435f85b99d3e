/* jobs.h: the table of jobs as the command line sees it. */
#ifndef HYMN_JOB_JOBS_H
#define HYMN_JOB_JOBS_H

#include <stdio.h>

/** Set the text for a job.kind that is not in the table, with the nearest one
 *  that is, and return HY_EDECK. \param at  the deck */
int hy_job_unknown(const char *at, const char *name);

/** hymn --jobs: name and help, one line each. */
void hy_job_list(FILE *out);

#endif
