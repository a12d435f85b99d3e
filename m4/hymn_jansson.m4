# HYMN_JANSSON
# ------------
# JSON reader: pkg-config, then -ljansson. Sets JANSSON_CFLAGS, JANSSON_LIBS.
AC_DEFUN([HYMN_JANSSON], [
PKG_CHECK_MODULES([JANSSON], [jansson >= 2.11], [],
  [AC_CHECK_HEADER([jansson.h], [], [AC_MSG_ERROR([jansson is required (Debian: libjansson-dev)])])
   AC_CHECK_LIB([jansson], [json_loads], [JANSSON_LIBS=-ljansson], [AC_MSG_ERROR([jansson is required (Debian: libjansson-dev)])])])
])
