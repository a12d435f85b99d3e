/* inspect.h: hymn --inspect. */
#ifndef HYMN_JOB_INSPECT_H
#define HYMN_JOB_INSPECT_H

/** Print on stdout what a checkpoint, packed data set or weight folder holds,
 *  with its lineage. What a file is follows from its content, not its name.
 *  Runs before MPI_Init and on one process: no MPI in it. Not collective.
 *  \return 0, HY_EFILE (missing or unreadable), HY_EDATA (damaged) */
int hy_inspect(const char *path);

#endif
