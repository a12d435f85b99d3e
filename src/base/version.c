#include "base/version.h"
#include "base/commit.h"
#include "config.h"

#include <hdf5.h>
#include <mpi.h>
#include <string.h>
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
char *openblas_get_config(void);
#endif

const char *
hy_version(void)
{
  return PACKAGE_VERSION " (" HY_COMMIT ")";
}

void
hy_version_print(FILE *out)
{
  char mpi[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int n = 0;

  /* allowed before MPI_Init; some libraries answer with several lines */
  MPI_Get_library_version(mpi, &n);
  mpi[strcspn(mpi, "\n,")] = '\0';
  fprintf(out, "hymn %s\n", PACKAGE_VERSION);
  fprintf(out, "commit    %s\n", HY_COMMIT);
  fprintf(out, "compiler  %s\n", HY_BUILT_CC);
  fprintf(out, "flags     %s\n", HY_BUILT_CFLAGS);
  fprintf(out, "MPI       %s (MPI %d.%d)\n", mpi, MPI_VERSION, MPI_SUBVERSION);
  fprintf(out, "HDF5      %s\n", H5_VERS_INFO);
#ifdef HAVE_OPENBLAS_SET_NUM_THREADS
  fprintf(out, "BLAS      %s\n", openblas_get_config());
#else
  fprintf(out, "BLAS      %s\n", HY_BUILT_BLAS);
#endif
#ifdef HAVE_ZSTD
  fprintf(out, "zstd      %s\n", ZSTD_versionString());
#else
  fprintf(out, "zstd      no\n");
#endif
#ifdef HAVE_SNAPPY
  fprintf(out, "Snappy    yes\n");
#else
  fprintf(out, "Snappy    no\n");
#endif
  fprintf(out, "CUDA      %s\n", HY_BUILT_CUDA);
  fprintf(out, "NCCL      %s\n", HY_BUILT_NCCL);
}
