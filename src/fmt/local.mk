# src/fmt: number formats
src_libhymn_a_SOURCES += src/fmt/fmt.c src/fmt/fmt.h

hymn_unit_tests += src/fmt/test_fmt
src_fmt_test_fmt_SOURCES = src/fmt/test_fmt.c
src_fmt_test_fmt_LDADD = $(HYMN_TEST_LIBS)
