# HYMN_CMOCKA
# -----------
# The unit test library; without it `make check` leaves the unit tests out and
# says so. Sets CMOCKA_CFLAGS, CMOCKA_LIBS, HAVE_CMOCKA (conditional).
AC_DEFUN([HYMN_CMOCKA], [
PKG_CHECK_MODULES([CMOCKA], [cmocka], [hymn_have_cmocka=yes],
                  [hymn_have_cmocka=no])
AM_CONDITIONAL([HAVE_CMOCKA], [test $hymn_have_cmocka = yes])
])
