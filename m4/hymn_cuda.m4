# HYMN_CUDA
# ---------
# The module for NVIDIA GPUs, cuda/hymn-cuda.so: nvcc, cublasLt and, optionally,
# NCCL. Sets NVCC, NVCCFLAGS, CUDA_ARCH, CUDA_GENCODE, CUDA_CPPFLAGS, CUDA_LIBS,
# HAVE_NVCC (conditional), in config.h HAVE_NCCL, HY_BUILT_CUDA, HY_BUILT_NCCL.
#   --with-cuda[=DIR]   root of the toolkit
#   --with-cublas=DIR   root of cublasLt, where the toolkit has none
#   --with-nccl[=DIR]   root of NCCL
#   CUDA_ARCH           architectures

# HYMN_CUDA_WITHOUT(REASON): no module; an error if it was asked for.
AC_DEFUN([HYMN_CUDA_WITHOUT], [
  AS_IF([test "x$with_cuda" != xauto],
    [AC_MSG_ERROR([--with-cuda: $1; leave the option out for CPUs only])])
  hymn_have_cuda=no
  hymn_cuda_note="no ($1)"])

# HYMN_CUDA_LIB(NAME, HEADER, ROOTS, PROGRAM, FOUND, NOT-FOUND)
# Header in ROOT/include, library in ROOT/lib64 or lib, with or without the
# link libNAME.so (the Python packages have only libNAME.so.N).
AC_DEFUN([HYMN_CUDA_LIB], [
hymn_have_$1=no
for hymn_d in $3; do
  AS_IF([test ! -f "$hymn_d/include/$2"], [continue])
  for hymn_l in "$hymn_d/lib64" "$hymn_d/lib" "$hymn_d/lib/x86_64-linux-gnu" \
                "$hymn_d/lib/aarch64-linux-gnu"; do
    for hymn_f in "$hymn_l/lib$1.so" "$hymn_l/lib$1.so".@<:@0-9@:>@; do
      AS_IF([test $hymn_have_$1 != no || test ! -f "$hymn_f"], [continue])
      AS_CASE([$hymn_f], [*.so], [hymn_n=-l$1],
              [hymn_n=-l:`basename "$hymn_f"`])
      hymn_cuda_cpp="-I$hymn_d/include"
      hymn_cuda_lib="-L$hymn_l -Wl,-rpath,$hymn_l $hymn_n"
      CPPFLAGS="$hymn_save_CPPFLAGS $CUDA_CPPFLAGS $hymn_cuda_cpp"
      LIBS="$hymn_cuda_lib $CUDA_LIBS $hymn_save_LIBS"
      AC_LINK_IFELSE([$4], [hymn_have_$1=$hymn_d
        AS_CASE([" $CUDA_CPPFLAGS "], [*" $hymn_cuda_cpp "*], [],
          [CUDA_CPPFLAGS="$CUDA_CPPFLAGS $hymn_cuda_cpp"])
        CUDA_LIBS="$hymn_cuda_lib $CUDA_LIBS"])
    done
  done
done
CPPFLAGS=$hymn_save_CPPFLAGS; LIBS=$hymn_save_LIBS
])

# HYMN_CUDA_ARCHS: those of CUDA_ARCH that nvcc knows, as its options. Of the
# default list what an older nvcc lacks is left out. The last is kept as PTX
# too, which the driver compiles for GPUs that come later.
AC_DEFUN([HYMN_CUDA_ARCHS], [
AC_MSG_CHECKING([for the architectures of nvcc])
AS_IF([test -n "$CUDA_ARCH"], [hymn_archs=`AS_ECHO(["$CUDA_ARCH"]) | tr ',;' '  '`],
      [hymn_archs="80 90a 100"])
echo '__global__ void f(int *p) { *p = 1; }' >conftest.cu
CUDA_GENCODE=; hymn_built=; hymn_bad=; hymn_last=
for hymn_a in $hymn_archs; do
  hymn_g="-gencode arch=compute_$hymn_a,code=sm_$hymn_a"
  AS_IF([$NVCC $NVCCFLAGS $hymn_g -c -o conftest.cubin.o conftest.cu >conftest.log 2>&1],
    [CUDA_GENCODE="$CUDA_GENCODE $hymn_g"; hymn_built="$hymn_built $hymn_a"
     hymn_last=$hymn_a],
    [hymn_bad="$hymn_bad $hymn_a"; cat conftest.log >&AS_MESSAGE_LOG_FD])
done
rm -f conftest.cu conftest.cubin.o conftest.log
CUDA_GENCODE="$CUDA_GENCODE -gencode arch=compute_$hymn_last,code=compute_$hymn_last"
hymn_arch_asked=$CUDA_ARCH
CUDA_ARCH=`echo $hymn_built`
AC_MSG_RESULT([$CUDA_ARCH])
AS_IF([test -n "$hymn_arch_asked" && test -n "$hymn_bad"],
  [AC_MSG_ERROR([CUDA_ARCH: $NVCC cannot compile for$hymn_bad (see config.log)])])
])

AC_DEFUN([HYMN_CUDA], [
AC_ARG_WITH([cuda], [AS_HELP_STRING([--with-cuda@<:@=DIR@:>@],
  [build the module for NVIDIA GPUs with the CUDA toolkit in DIR (default: no)])],
  [], [with_cuda=no])
AC_ARG_WITH([cublas], [AS_HELP_STRING([--with-cublas=DIR],
  [root of cublasLt (default: that of CUDA)])], [], [with_cublas=auto])
AC_ARG_WITH([nccl], [AS_HELP_STRING([--with-nccl@<:@=DIR@:>@],
  [root of NCCL (default: that of CUDA, else /usr; no: GPUs talk through MPI)])],
  [], [with_nccl=auto])
AC_ARG_VAR([NVCC], [CUDA compiler])
AC_ARG_VAR([NVCCFLAGS], [its flags, after those of hymn (e.g. -ccbin g++-12)])
AC_ARG_VAR([CUDA_ARCH], [architectures of GPUs, e.g. "80 90a" (default: 80 90a
  100, those that nvcc knows)])
hymn_have_cuda=no; hymn_have_nccl=no; hymn_cuda_note=no
CUDA_CPPFLAGS=; CUDA_LIBS=; CUDA_GENCODE=
hymn_save_CPPFLAGS=$CPPFLAGS; hymn_save_LIBS=$LIBS
AS_IF([test "x$with_cuda" != xno], [HYMN_CUDA_FIND])
AS_IF([test $hymn_have_cuda != no], [HYMN_CUDA_LIBS])
AS_IF([test $hymn_have_cuda != no], [HYMN_CUDA_ARCHS
  hymn_cuda_note="$hymn_have_cuda, architectures $CUDA_ARCH (+ PTX)"])
AS_CASE([$with_nccl], [no|auto], [],
  [AS_IF([test $hymn_have_cuda != no && test $hymn_have_nccl = no],
     [AC_MSG_ERROR([--with-nccl: no include/nccl.h with a libnccl.so in $hymn_nccl_dirs])])])
hymn_nccl_note=no
AS_IF([test $hymn_have_nccl != no],
  [hymn_nccl_note=`sed -n 's/^#define NCCL_M@<:@AI@:>@@<:@JN@:>@OR *//p
     s/^#define NCCL_PATCH *//p' "$hymn_have_nccl/include/nccl.h" |
     tr '\n' . | sed 's/\.$//'`" ($hymn_have_nccl)"
   AC_DEFINE([HAVE_NCCL], [1], [the module for GPUs is linked with NCCL])])
AM_CONDITIONAL([HAVE_NVCC], [test $hymn_have_cuda != no])
AC_DEFINE_UNQUOTED([HY_BUILT_CUDA], ["$hymn_cuda_note"], [for hymn --version])
AC_DEFINE_UNQUOTED([HY_BUILT_NCCL], ["$hymn_nccl_note"], [for hymn --version])
AC_SUBST([CUDA_CPPFLAGS])
AC_SUBST([CUDA_LIBS])
AC_SUBST([CUDA_GENCODE])
])

# HYMN_CUDA_FIND: nvcc and the root of its toolkit.
AC_DEFUN([HYMN_CUDA_FIND], [
AS_CASE([$with_cuda],
  [yes|auto], [AC_PATH_PROG([NVCC], [nvcc], [],
                 [$PATH:${CUDA_HOME-/usr/local/cuda}/bin:/usr/local/cuda/bin])],
  [: "${NVCC=$with_cuda/bin/nvcc}"])
AC_MSG_CHECKING([for CUDA])
AS_IF([test -n "$NVCC" && $NVCC --version >/dev/null 2>&1],
  [hymn_have_cuda=`$NVCC --version | sed -n 's/.*release \(@<:@0-9.@:>@*\).*/\1/p'`
   dnl nvcc may be a link or a script elsewhere: it knows its own root.
   hymn_cuda_root=`$NVCC --dryrun -c -o /dev/null -x cu /dev/null 2>&1 |
     sed -n 's/^.*TOP=//p' | sed 1q`
   AS_IF([test -f "$hymn_cuda_root/include/cuda_runtime_api.h"], [],
     [hymn_cuda_root=`command -v $NVCC`
      hymn_cuda_root=`dirname "$hymn_cuda_root"`
      hymn_cuda_root=`dirname "$hymn_cuda_root"`])
   hymn_cuda_root=`cd "$hymn_cuda_root" && pwd`])
AC_MSG_RESULT([$hymn_have_cuda])
AS_IF([test $hymn_have_cuda = no],
  [HYMN_CUDA_WITHOUT([no nvcc found; name its folder by --with-cuda=DIR])])
])

# HYMN_CUDA_LIBS: cudart and cublasLt, which the module needs, and NCCL.
AC_DEFUN([HYMN_CUDA_LIBS], [
AC_MSG_CHECKING([for libcudart])
HYMN_CUDA_LIB([cudart], [cuda_runtime_api.h], [$hymn_cuda_root],
  [AC_LANG_PROGRAM([[#include <cuda_runtime_api.h>]],
                   [[int n; return cudaGetDeviceCount(&n);]])])
AC_MSG_RESULT([$hymn_have_cudart])
AC_MSG_CHECKING([for libcublasLt])
AS_CASE([$with_cublas], [auto|yes|no], [hymn_cublas_dirs="$hymn_cuda_root /usr"],
        [hymn_cublas_dirs=$with_cublas])
HYMN_CUDA_LIB([cublasLt], [cublasLt.h], [$hymn_cublas_dirs],
  [AC_LANG_PROGRAM([[#include <cublasLt.h>]],
                   [[cublasLtHandle_t h; return cublasLtCreate(&h);]])])
AC_MSG_RESULT([$hymn_have_cublasLt])
AS_IF([test $hymn_have_cudart = no], [HYMN_CUDA_WITHOUT([no libcudart in $hymn_cuda_root])],
      [test $hymn_have_cublasLt = no],
      [HYMN_CUDA_WITHOUT([no libcublasLt in $hymn_cublas_dirs])])
AC_MSG_CHECKING([for NCCL])
AS_CASE([$with_nccl], [no], [hymn_nccl_dirs=],
  [auto|yes], [hymn_nccl_dirs="$hymn_cuda_root /usr"],
  [hymn_nccl_dirs=$with_nccl])
HYMN_CUDA_LIB([nccl], [nccl.h], [$hymn_nccl_dirs],
  [AC_LANG_PROGRAM([[#include <nccl.h>]],
                   [[int n; return ncclGetVersion(&n);]])])
AC_MSG_RESULT([$hymn_have_nccl])
])
