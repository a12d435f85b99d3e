# src/base: errors, memory, files, hashes, random numbers
src_libhymn_a_SOURCES += \
  src/base/err.c src/base/err.h \
  src/base/file.c src/base/file.h \
  src/base/hash.c src/base/hash.h \
  src/base/mem.c src/base/mem.h \
  src/base/rng.c src/base/rng.h \
  src/base/word.c src/base/word.h
