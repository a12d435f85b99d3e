# src/gen: caches, sampling
src_libhymn_a_SOURCES += src/gen/gen.c src/gen/gen.h src/gen/sample.c
