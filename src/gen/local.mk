# src/gen: caches, sampling, prompts
src_libhymn_a_SOURCES += \
  src/gen/gen.c src/gen/gen.h \
  src/gen/prompts.c src/gen/prompts.h \
  src/gen/sample.c
