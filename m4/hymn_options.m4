# HYMN_OPTIONS
# ------------
# Options that decide the compiler flags; before AC_PROG_CC, which would set
# CFLAGS by itself.
#   --with-march=ARCH|no   -march=ARCH (default native)
#   --enable-sanitizers    AddressSanitizer and UBSan, -O1
#   --enable-werror        warnings are errors
AC_DEFUN([HYMN_OPTIONS], [
AC_ARG_WITH([march], [AS_HELP_STRING([--with-march=ARCH],
  [processor to compile for (default: native, the machine configure runs on;
   on a cluster with mixed nodes name the oldest, or no)])],
  [AS_CASE([$with_march], [yes], [with_march=native])], [with_march=native])
AC_ARG_ENABLE([sanitizers], [AS_HELP_STRING([--enable-sanitizers],
  [compile with AddressSanitizer and UBSan, -O1])], [], [enable_sanitizers=no])
AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror],
  [make compiler warnings errors])], [], [enable_werror=no])
AS_IF([test "x$enable_sanitizers" = xno],
      [: "${CFLAGS=-g -O3}"], [: "${CFLAGS=-g -O1}"])
])
