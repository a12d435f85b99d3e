# src/base: errors, memory, files, hashes, random numbers
src_libhymn_a_SOURCES += \
  src/base/clock.h \
  src/base/err.c src/base/err.h \
  src/base/file.c src/base/file.h \
  src/base/h5.c src/base/h5.h \
  src/base/hash.c src/base/hash.h \
  src/base/lineage.c src/base/lineage.h \
  src/base/median.c src/base/median.h \
  src/base/mem.c src/base/mem.h \
  src/base/progress.c src/base/progress.h \
  src/base/rng.c src/base/rng.h \
  src/base/version.c src/base/version.h \
  src/base/word.c src/base/word.h

hymn_unit_tests += src/base/test_base
src_base_test_base_SOURCES = src/base/test_base.c
src_base_test_base_LDADD = $(HYMN_TEST_LIBS)
