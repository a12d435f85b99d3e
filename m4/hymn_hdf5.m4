# HYMN_HDF5
# ---------
# Parallel HDF5: --with-hdf5=DIR, else a pkg-config module, else h5pcc. Sets
# HDF5_CFLAGS, HDF5_LIBS. Serial HDF5 is refused: checkpoints are written by
# all ranks into one file.

# HYMN_HDF5_FROM(CFLAGS, LIBS): take these if they compile, link and are
# parallel.
AC_DEFUN([HYMN_HDF5_FROM], [
AS_IF([test $hymn_have_hdf5 = no], [
  HDF5_CFLAGS="$1"; HDF5_LIBS="$2"
  hymn_save_CPPFLAGS=$CPPFLAGS; hymn_save_LIBS=$LIBS
  CPPFLAGS="$CPPFLAGS $HDF5_CFLAGS $MPI_CFLAGS"
  LIBS="$HDF5_LIBS $MPI_LIBS $LIBS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>
#include <hdf5.h>
#ifndef H5_HAVE_PARALLEL
#error serial HDF5
#endif]], [[return H5Pset_fapl_mpio(0, MPI_COMM_SELF, MPI_INFO_NULL);]])],
    [hymn_have_hdf5=yes])
  CPPFLAGS=$hymn_save_CPPFLAGS; LIBS=$hymn_save_LIBS])
])

AC_DEFUN([HYMN_HDF5], [
AC_ARG_WITH([hdf5], [AS_HELP_STRING([--with-hdf5=DIR],
  [root of parallel HDF5 (default: pkg-config, then h5pcc)])],
  [], [with_hdf5=auto])
AC_ARG_VAR([H5PCC], [wrapper compiler of parallel HDF5])
hymn_have_hdf5=no
AC_MSG_CHECKING([for parallel HDF5])
AS_CASE([$with_hdf5],
  [no], [AC_MSG_ERROR([parallel HDF5 cannot be left out])],
  [auto|yes],
    [for hymn_m in hdf5-openmpi hdf5-mpi hdf5-mpich hdf5; do
       AS_IF([test -n "$PKG_CONFIG" && $PKG_CONFIG --exists $hymn_m],
         [HYMN_HDF5_FROM([`$PKG_CONFIG --cflags $hymn_m`],
                         [`$PKG_CONFIG --libs $hymn_m`])])
     done
     dnl -shlib, and -lhdf5 alone first: the other libraries that the wrapper
     dnl names are those of the static library and may be absent.
     for hymn_m in $H5PCC h5pcc h5pcc.openmpi h5pcc.mpich; do
       AS_IF([test $hymn_have_hdf5 = no && command -v $hymn_m >/dev/null],
         [hymn_h5c=; hymn_h5d=; hymn_h5l=
          for hymn_w in `$hymn_m -shlib -show 2>/dev/null`; do
            AS_CASE([$hymn_w], [-I*], [hymn_h5c="$hymn_h5c $hymn_w"],
              [-L*|-Wl,-rpath*], [hymn_h5d="$hymn_h5d $hymn_w"],
              [-l*], [hymn_h5l="$hymn_h5l $hymn_w"])
          done
          HYMN_HDF5_FROM([$hymn_h5c], [$hymn_h5d -lhdf5])
          HYMN_HDF5_FROM([$hymn_h5c], [$hymn_h5d $hymn_h5l])])
     done],
  [HYMN_HDF5_FROM([-I$with_hdf5/include],
     [-L$with_hdf5/lib -Wl,-rpath,$with_hdf5/lib -lhdf5])
   HYMN_HDF5_FROM([-I$with_hdf5/include],
     [-L$with_hdf5/lib64 -Wl,-rpath,$with_hdf5/lib64 -lhdf5])])
AC_MSG_RESULT([$hymn_have_hdf5])
AS_IF([test $hymn_have_hdf5 = no], [AC_MSG_ERROR([parallel HDF5 is required, built
  with the MPI of $CC (Debian: libhdf5-openmpi-dev); give --with-hdf5=DIR])])
AC_SUBST([HDF5_CFLAGS])
AC_SUBST([HDF5_LIBS])
])
