# HYMN_ZLIB
# ---------
# Compressed text files: pkg-config, then -lz. Sets ZLIB_CFLAGS, ZLIB_LIBS.
AC_DEFUN([HYMN_ZLIB], [
PKG_CHECK_MODULES([ZLIB], [zlib], [],
  [AC_CHECK_HEADER([zlib.h], [], [AC_MSG_ERROR([zlib is required (Debian: zlib1g-dev)])])
   AC_CHECK_LIB([z], [gzopen], [ZLIB_LIBS=-lz], [AC_MSG_ERROR([zlib is required (Debian: zlib1g-dev)])])])
])
