# HYMN_VERSION
# ------------
# What hymn --version says about the build.
AC_DEFUN([HYMN_VERSION], [
hymn_cc_version=`$CC --version 2>/dev/null | sed 1q | tr -d '"\\\\'`
AC_DEFINE_UNQUOTED([HY_BUILT_CC], ["$CC: $hymn_cc_version"],
                   [for hymn --version])
AC_DEFINE_UNQUOTED([HY_BUILT_CFLAGS],
  ["`AS_ECHO(["$HYMN_CFLAGS $OPENMP_CFLAGS $CFLAGS"]) | tr -d '"\\\\'`"],
  [for hymn --version])
AC_DEFINE_UNQUOTED([HY_BUILT_BLAS], ["$BLAS_LIBS"], [for hymn --version])
])

# HYMN_SUMMARY
# ------------
# The table at the end of configure.
AC_DEFUN([HYMN_SUMMARY], [
AS_ECHO(["
  hymn $PACKAGE_VERSION
  compiler    $CC ($hymn_cc_version)
  flags       $HYMN_CFLAGS $CFLAGS
  OpenMP      ${OPENMP_CFLAGS:-no}
  MPI         $CC $MPI_LIBS; launcher $MPIRUN
  HDF5        $HDF5_LIBS
  BLAS        $BLAS_LIBS (OpenBLAS: $hymn_have_openblas)
  jansson     $JANSSON_LIBS
  PCRE2       $PCRE2_LIBS
  utf8proc    $UTF8PROC_LIBS
  zlib        $ZLIB_LIBS
  zstd        $hymn_have_zstd $ZSTD_LIBS
  Snappy      $hymn_have_snappy $SNAPPY_LIBS
  unit tests  $hymn_have_cmocka (cmocka); of kernels on the CPU: $hymn_have_cxx ($CXX)
  sanitizers  $enable_sanitizers
  CUDA        $hymn_cuda_note
  NCCL        $hymn_nccl_note
  gnuplot     $GNUPLOT (looked up again at run time)
  prefix      $prefix

  make -j; make check; make install
"])
])
