# HYMN_ZSTD
# ---------
# Compressed text and Parquet files, optional: pkg-config, then -lzstd;
# --without-zstd leaves it out, --with-zstd insists. Without it a file that needs
# it is refused. Sets ZSTD_CFLAGS, ZSTD_LIBS, HAVE_ZSTD, hymn_have_zstd.
AC_DEFUN([HYMN_ZSTD], [
AC_ARG_WITH([zstd], [AS_HELP_STRING([--without-zstd],
  [do not read zstd-compressed files (default: if the library is there)])],
  [], [with_zstd=auto])
hymn_have_zstd=no
AS_IF([test "x$with_zstd" != xno], [
  PKG_CHECK_MODULES([ZSTD], [libzstd], [hymn_have_zstd=yes],
    [AC_CHECK_HEADER([zstd.h],
       [AC_CHECK_LIB([zstd], [ZSTD_decompressStream],
          [ZSTD_LIBS=-lzstd; hymn_have_zstd=yes])])])
  AS_IF([test "x$with_zstd" = xyes && test $hymn_have_zstd = no],
    [AC_MSG_ERROR([no zstd (Debian: libzstd-dev)])])])
AS_IF([test $hymn_have_zstd = yes],
  [AC_DEFINE([HAVE_ZSTD], [1], [zstd is there])])
])
