#include "job/job.h"
#include "job/jobs.h"
#include "base/err.h"
#include "base/word.h"

#include <string.h>

/* A last NULL: the table may be empty. */
static const hy_job *const job_row[] = {
#define HY_JOB(name) &hy_job_##name,
#include "job/jobs.def"
#undef HY_JOB
    NULL};

const hy_job *
hy_job_find(const char *name)
{
  for (int i = 0; job_row[i]; i++)
    if (!strcmp(job_row[i]->name, name))
      return job_row[i];
  return NULL;
}

int
hy_job_unknown(const char *at, const char *name)
{
  const char *near = NULL;

  if (!*name)
    return hy_fail(HY_EDECK,
                   "%s: job.kind is not set; hymn --jobs lists what "
                   "it can be",
                   at);
  for (int i = 0; job_row[i]; i++)
    if (!near ||
        hy_word_distance(name, job_row[i]->name) < hy_word_distance(name, near))
      near = job_row[i]->name;
  if (!near)
    return hy_fail(HY_EDECK, "%s: unknown job.kind '%.64s'; see hymn --jobs",
                   at, name);
  return hy_fail(HY_EDECK,
                 "%s: unknown job.kind '%.64s'; did you mean '%s'? (hymn "
                 "--jobs)",
                 at, name, near);
}

void
hy_job_list(FILE *out)
{
  for (int i = 0; job_row[i]; i++)
    fprintf(out, "%-10s %s\n", job_row[i]->name, job_row[i]->help);
}
