# HYMN_CUDA
# ---------
# --with-cuda[=DIR|no], --with-nccl[=DIR|no]: look the toolkit up and show it.
# This version runs on CPUs only: nothing is compiled with nvcc, and the
# summary says so. Sets hymn_have_cuda, hymn_have_nccl for the summary and
# HY_BUILT_CUDA, HY_BUILT_NCCL for hymn --version.
AC_DEFUN([HYMN_CUDA], [
AC_ARG_WITH([cuda], [AS_HELP_STRING([--with-cuda@<:@=DIR@:>@],
  [look for the CUDA toolkit in DIR (default: no; this version finds and
   reports it, it does not use it)])], [], [with_cuda=no])
AC_ARG_WITH([nccl], [AS_HELP_STRING([--with-nccl@<:@=DIR@:>@],
  [root of NCCL (default: that of CUDA)])], [], [with_nccl=auto])
AC_ARG_VAR([NVCC], [CUDA compiler])
hymn_have_cuda=no; hymn_have_nccl=no
AS_IF([test "x$with_cuda" != xno], [
  AS_CASE([$with_cuda],
    [yes], [AC_PATH_PROG([NVCC], [nvcc], [],
              [$PATH:${CUDA_HOME-/usr/local/cuda}/bin:/usr/local/cuda/bin])],
    [: "${NVCC=$with_cuda/bin/nvcc}"])
  AC_MSG_CHECKING([for CUDA])
  AS_IF([test -n "$NVCC" && "$NVCC" --version >/dev/null 2>&1],
    [hymn_have_cuda=`"$NVCC" --version | sed -n 's/.*release \(@<:@0-9.@:>@*\).*/\1/p'`
     hymn_cuda_root=`dirname "$NVCC"`
     hymn_cuda_root=`dirname "$hymn_cuda_root"`])
  AC_MSG_RESULT([$hymn_have_cuda])
  AS_IF([test "x$hymn_have_cuda" = xno],
    [AC_MSG_ERROR([--with-cuda: no nvcc found; give --with-cuda=DIR or leave the option out])])
  AC_MSG_CHECKING([for NCCL])
  AS_CASE([$with_nccl], [no], [hymn_nccl_dirs=],
    [auto|yes], [hymn_nccl_dirs="$hymn_cuda_root /usr"],
    [hymn_nccl_dirs=$with_nccl])
  for hymn_d in $hymn_nccl_dirs; do
    AS_IF([test -f "$hymn_d/include/nccl.h"], [hymn_have_nccl=$hymn_d; break])
  done
  AC_MSG_RESULT([$hymn_have_nccl])
  AS_CASE([$with_nccl], [no|auto], [],
    [AS_IF([test "x$hymn_have_nccl" = xno],
       [AC_MSG_ERROR([--with-nccl: no include/nccl.h in $hymn_nccl_dirs])])])])
hymn_cuda_note=$hymn_have_cuda
AS_IF([test "x$hymn_have_cuda" != xno],
  [hymn_cuda_note="$hymn_have_cuda found, not used by this version"])
AC_DEFINE_UNQUOTED([HY_BUILT_CUDA], ["$hymn_cuda_note"], [for hymn --version])
AC_DEFINE_UNQUOTED([HY_BUILT_NCCL], ["$hymn_have_nccl"], [for hymn --version])
])
