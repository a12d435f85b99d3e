# HYMN_COMPILER_FLAGS
# -------------------
# Sets HYMN_CFLAGS (in AM_CFLAGS; the user's CFLAGS come after it and win).
# -ffast-math is not used: it would make the tests for NaN and Inf constant.

# HYMN_TRY_CFLAG(FLAG...): add FLAG to HYMN_CFLAGS if the compiler takes it
# without a warning.
AC_DEFUN([HYMN_TRY_CFLAG], [
AS_VAR_PUSHDEF([hymn_cv], [hymn_cv_cflag_$1])
hymn_save_CFLAGS=$CFLAGS
AC_CACHE_CHECK([whether $CC accepts $1], [hymn_cv],
  [CFLAGS="$CFLAGS -Werror $1"
   AC_LINK_IFELSE([AC_LANG_PROGRAM()],
                  [AS_VAR_SET([hymn_cv], [yes])], [AS_VAR_SET([hymn_cv], [no])])])
CFLAGS=$hymn_save_CFLAGS
AS_VAR_IF([hymn_cv], [yes], [HYMN_CFLAGS="$HYMN_CFLAGS $1"; $2], [$3])
AS_VAR_POPDEF([hymn_cv])
])

AC_DEFUN([HYMN_COMPILER_FLAGS], [
HYMN_CFLAGS=
dnl Not -std=c11: with it gcc stops contracting a*b+c to one instruction.
HYMN_TRY_CFLAG([-std=gnu11])
m4_foreach_w([hymn_f], [-Wall -Wextra -Wshadow -fno-math-errno
  -fno-trapping-math], [HYMN_TRY_CFLAG(hymn_f)])
dnl clang warns where it did not vectorise a loop that asked for it; gcc does
dnl not know the option.
hymn_save_HYMN_CFLAGS=$HYMN_CFLAGS
HYMN_TRY_CFLAG([-Wpass-failed],
  [HYMN_CFLAGS="$hymn_save_HYMN_CFLAGS -Wno-pass-failed"])
AS_CASE([$with_march],
  [no], [],
  [hymn_save_CFLAGS=$CFLAGS
   AC_MSG_CHECKING([whether $CC accepts -march=$with_march])
   CFLAGS="$CFLAGS -Werror -march=$with_march"
   AC_LINK_IFELSE([AC_LANG_PROGRAM()],
     [AC_MSG_RESULT([yes]); HYMN_CFLAGS="$HYMN_CFLAGS -march=$with_march"],
     [AC_MSG_RESULT([no])
      AS_IF([test "x$with_march" = xnative], [with_march=no],
            [AC_MSG_ERROR([--with-march=$with_march: the compiler does not know it])])])
   CFLAGS=$hymn_save_CFLAGS])
AS_IF([test "x$enable_sanitizers" != xno], [
  HYMN_TRY_CFLAG([-fsanitize=address], [],
    [AC_MSG_ERROR([--enable-sanitizers: the compiler has no -fsanitize=address])])
  HYMN_TRY_CFLAG([-fsanitize=undefined])
  HYMN_TRY_CFLAG([-fno-sanitize-recover=undefined])
  HYMN_TRY_CFLAG([-fno-omit-frame-pointer])])
AS_IF([test -z "$OPENMP_CFLAGS"], [HYMN_TRY_CFLAG([-Wno-unknown-pragmas])])
AS_IF([test "x$enable_werror" != xno], [HYMN_CFLAGS="$HYMN_CFLAGS -Werror"])
HYMN_CFLAGS=${HYMN_CFLAGS# }
AC_SUBST([HYMN_CFLAGS])
])
