# HYMN_BLAS
# ---------
# CBLAS: OpenBLAS by pkg-config or -lopenblas, or any other with
# --with-blas="-L... -lfoo". Sets BLAS_CFLAGS, BLAS_LIBS and, in config.h,
# HAVE_OPENBLAS_SET_NUM_THREADS.
AC_DEFUN([HYMN_BLAS_FROM], [
AS_IF([test $hymn_have_blas = no], [
  BLAS_CFLAGS="$1"; BLAS_LIBS="$2"
  hymn_save_CPPFLAGS=$CPPFLAGS; hymn_save_LIBS=$LIBS
  CPPFLAGS="$CPPFLAGS $BLAS_CFLAGS"; LIBS="$BLAS_LIBS $LIBS"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <cblas.h>]],
    [[float a[4] = {0};
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 2, 2, 2, 1.0f,
                  a, 2, a, 2, 0.0f, a, 2);]])],
    [hymn_have_blas=yes
     AC_LINK_IFELSE([AC_LANG_PROGRAM([[void openblas_set_num_threads(int);]],
       [[openblas_set_num_threads(1);]])], [hymn_have_openblas=yes])])
  CPPFLAGS=$hymn_save_CPPFLAGS; LIBS=$hymn_save_LIBS])
])

AC_DEFUN([HYMN_BLAS], [
AC_ARG_WITH([blas], [AS_HELP_STRING([--with-blas=LIBS],
  [linker flags of a CBLAS, e.g. "-L/opt/lib -lblis" (default: OpenBLAS);
   its cblas.h by CPPFLAGS])], [], [with_blas=auto])
hymn_have_blas=no
hymn_have_openblas=no
AC_MSG_CHECKING([for CBLAS])
AS_CASE([$with_blas],
  [no], [AC_MSG_ERROR([a BLAS cannot be left out])],
  [auto|yes],
    [AS_IF([test -n "$PKG_CONFIG" && $PKG_CONFIG --exists openblas],
       [HYMN_BLAS_FROM([`$PKG_CONFIG --cflags openblas`],
                       [`$PKG_CONFIG --libs openblas`])])
     HYMN_BLAS_FROM([], [-lopenblas])
     HYMN_BLAS_FROM([-I/usr/include/openblas], [-lopenblas])
     HYMN_BLAS_FROM([], [-lcblas -lblas])],
  [-*|*/*.a|*/*.so*], [HYMN_BLAS_FROM([], [$with_blas])],
  [*/*], [HYMN_BLAS_FROM([-I$with_blas/include],
     [-L$with_blas/lib -Wl,-rpath,$with_blas/lib -lopenblas])],
  [HYMN_BLAS_FROM([], [-l$with_blas])])
AC_MSG_RESULT([$hymn_have_blas $BLAS_LIBS])
AS_IF([test $hymn_have_blas = no], [AC_MSG_ERROR([a BLAS with cblas.h is required
  (Debian: libopenblas-dev); give --with-blas="-L... -lfoo" and CPPFLAGS])])
AS_IF([test $hymn_have_openblas = yes],
  [AC_DEFINE([HAVE_OPENBLAS_SET_NUM_THREADS], [1],
     [the BLAS is OpenBLAS, whose thread count can be set])])
AC_SUBST([BLAS_CFLAGS])
AC_SUBST([BLAS_LIBS])
])
