/* inspect.h: hymn --inspect. */
#ifndef HYMN_JOB_INSPECT_H
#define HYMN_JOB_INSPECT_H

/** Print on stdout what a checkpoint, packed data set, weight folder or pair of
 *  indexed data holds, with its lineage. What a file is follows from its content, not its name.
 *  Runs before MPI_Init and on one process: no MPI in it. Not collective.
 *  \return 0, HY_EFILE (missing or unreadable), HY_EDATA (damaged) */
int hy_inspect(const char *path);

/** The same, then hash all of it again, and find each input in the lineage: an
 *  output of hymn, a file that was read, a tokenizer, or a folder that has one.
 *  Not collective. \return as hy_inspect; HY_EDATA: not as it was written, or
 *  an input that it was not made from. */
int hy_inspect_verify(const char *path, char *const *input, int n);

#endif
