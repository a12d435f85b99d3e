# HYMN_PCRE2
# ----------
# Regular expressions, 8-bit: pkg-config, then -lpcre2-8. Sets PCRE2_CFLAGS, PCRE2_LIBS.
AC_DEFUN([HYMN_PCRE2], [
PKG_CHECK_MODULES([PCRE2], [libpcre2-8], [],
  [AC_CHECK_HEADER([pcre2.h], [],
     [AC_MSG_ERROR([PCRE2 with 8-bit characters is required (Debian: libpcre2-dev)])],
     [[#define PCRE2_CODE_UNIT_WIDTH 8]])
   AC_CHECK_LIB([pcre2-8], [pcre2_match_8], [PCRE2_LIBS=-lpcre2-8], [AC_MSG_ERROR([PCRE2 with 8-bit characters is required (Debian: libpcre2-dev)])])])
])
