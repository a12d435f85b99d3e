# HYMN_CXX
# --------
# A C++17 compiler, for tests only: kernels for GPUs run on the CPU through
# cuda/shim. Without one they are left out and `make check` says so. Sets CXX,
# HYMN_CXXFLAGS (the sanitizers of the C part), HAVE_CXX (conditional).
AC_DEFUN([HYMN_CXX], [
AC_REQUIRE([AC_PROG_CXX])
AC_LANG_PUSH([C++])
AC_MSG_CHECKING([whether $CXX compiles C++17])
hymn_save_CXXFLAGS=$CXXFLAGS
CXXFLAGS="$CXXFLAGS -std=c++17"
AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <functional>
#include <type_traits>]], [[if constexpr (std::is_same_v<int, int>) return 0;]])],
  [hymn_have_cxx=yes], [hymn_have_cxx=no])
CXXFLAGS=$hymn_save_CXXFLAGS
AC_MSG_RESULT([$hymn_have_cxx])
AC_LANG_POP([C++])
HYMN_CXXFLAGS=
AS_IF([test "x$enable_sanitizers" != xno],
  [HYMN_CXXFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined"])
AS_IF([test "x$enable_werror" != xno], [HYMN_CXXFLAGS="$HYMN_CXXFLAGS -Werror"])
AC_SUBST([HYMN_CXXFLAGS])
AM_CONDITIONAL([HAVE_CXX], [test $hymn_have_cxx = yes])
])
