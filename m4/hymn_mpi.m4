# HYMN_PROG_MPICC
# ---------------
# CC becomes the MPI wrapper compiler unless the user sets CC; MPICC names
# another wrapper. Calls AC_PROG_CC.
AC_DEFUN([HYMN_PROG_MPICC], [
AC_ARG_VAR([MPICC], [MPI C compiler wrapper (CC becomes this unless set)])
AC_ARG_VAR([OMPI_CC], [compiler behind Open MPI's wrapper])
AC_ARG_VAR([MPICH_CC], [compiler behind MPICH's wrapper])
AS_IF([test -z "$CC"],
  [AS_IF([test -z "$MPICC"], [AC_CHECK_PROGS([MPICC], [mpicc mpcc cc])])
   CC=$MPICC
   dnl The compiler behind the wrapper is an environment variable; keep the
   dnl one that was set now for the time of make.
   AS_IF([test -n "$OMPI_CC"], [CC="env OMPI_CC=$OMPI_CC $CC"])
   AS_IF([test -n "$MPICH_CC"], [CC="env MPICH_CC=$MPICH_CC $CC"])])
AC_PROG_CC
AS_IF([test "x$ac_cv_prog_cc_c11" = xno],
      [AC_MSG_ERROR([a compiler for C11 is required])])
])

# HYMN_MPI
# --------
# Compile and link one MPI call: as CC does it, else with the flags of a
# pkg-config module (CC=gcc). Sets MPI_CFLAGS, MPI_LIBS, MPIRUN.
AC_DEFUN([HYMN_MPI], [
MPI_CFLAGS=; MPI_LIBS=
hymn_have_mpi=no
hymn_save_CPPFLAGS=$CPPFLAGS; hymn_save_LIBS=$LIBS
AC_MSG_CHECKING([for MPI])
for hymn_m in "" ompi-c mpi-c mpich ompi; do
  AS_IF([test -n "$hymn_m"],
    [AS_IF([test -n "$PKG_CONFIG" && $PKG_CONFIG --exists $hymn_m],
       [MPI_CFLAGS=`$PKG_CONFIG --cflags $hymn_m`
        MPI_LIBS=`$PKG_CONFIG --libs $hymn_m`], [continue])])
  CPPFLAGS="$hymn_save_CPPFLAGS $MPI_CFLAGS"; LIBS="$MPI_LIBS $hymn_save_LIBS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>
#if MPI_VERSION < 3
#error MPI 3 is required
#endif]], [[MPI_Init(0, 0);]])], [hymn_have_mpi=yes; break])
done
CPPFLAGS=$hymn_save_CPPFLAGS; LIBS=$hymn_save_LIBS
AC_MSG_RESULT([$hymn_have_mpi])
AS_IF([test $hymn_have_mpi = no], [AC_MSG_ERROR([MPI 3 with a C compiler wrapper
  is required (Debian: libopenmpi-dev openmpi-bin); set MPICC=/path/to/mpicc])])
AC_ARG_VAR([MPIRUN], [launcher for the tests])
AC_CHECK_PROGS([MPIRUN], [mpirun mpiexec], [mpirun])
])
