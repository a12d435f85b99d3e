/* version.h: what this executable is. */
#ifndef HYMN_BASE_VERSION_H
#define HYMN_BASE_VERSION_H

#include <stdio.h>

/** "0.1.0 (commit)": for checkpoints and reports. */
const char *hy_version(void);

/** hymn --version: version, commit, compiler and libraries as built. Needs no
 *  MPI_Init. Not collective. */
void hy_version_print(FILE *out);

#endif
