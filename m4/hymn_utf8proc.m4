# HYMN_UTF8PROC
# -------------
# Unicode normal forms and classes: pkg-config, then -lutf8proc. Sets UTF8PROC_CFLAGS, UTF8PROC_LIBS.
AC_DEFUN([HYMN_UTF8PROC], [
PKG_CHECK_MODULES([UTF8PROC], [libutf8proc], [],
  [AC_CHECK_HEADER([utf8proc.h], [], [AC_MSG_ERROR([utf8proc is required (Debian: libutf8proc-dev)])])
   AC_CHECK_LIB([utf8proc], [utf8proc_map], [UTF8PROC_LIBS=-lutf8proc], [AC_MSG_ERROR([utf8proc is required (Debian: libutf8proc-dev)])])])
])
