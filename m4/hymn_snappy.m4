# HYMN_SNAPPY
# -----------
# Snappy, which many Parquet files are compressed with, optional: its C
# interface by pkg-config, then -lsnappy; --without-snappy leaves it out,
# --with-snappy insists. Without it a file that needs it is refused. Sets
# SNAPPY_CFLAGS, SNAPPY_LIBS, HAVE_SNAPPY, hymn_have_snappy.
AC_DEFUN([HYMN_SNAPPY], [
AC_ARG_WITH([snappy], [AS_HELP_STRING([--without-snappy],
  [do not read Snappy-compressed Parquet (default: if the library is there)])],
  [], [with_snappy=auto])
hymn_have_snappy=no
AS_IF([test "x$with_snappy" != xno], [
  PKG_CHECK_MODULES([SNAPPY], [snappy], [hymn_have_snappy=yes],
    [AC_CHECK_HEADER([snappy-c.h],
       [AC_CHECK_LIB([snappy], [snappy_uncompress],
          [SNAPPY_LIBS=-lsnappy; hymn_have_snappy=yes])])])
  AS_IF([test "x$with_snappy" = xyes && test $hymn_have_snappy = no],
    [AC_MSG_ERROR([no Snappy (Debian: libsnappy-dev)])])])
AS_IF([test $hymn_have_snappy = yes],
  [AC_DEFINE([HAVE_SNAPPY], [1], [Snappy is there])])
])
