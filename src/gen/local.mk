# src/gen: caches, sampling, prompts
src_libhymn_a_SOURCES += \
  src/gen/gen.c src/gen/gen.h \
  src/gen/prompts.c src/gen/prompts.h \
  src/gen/sample.c

hymn_unit_tests += src/gen/test_gen
src_gen_test_gen_SOURCES = src/gen/test_gen.c src/model/test_tiny.h \
  src/cpu/test_op.h
src_gen_test_gen_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/gen/test_prompts
src_gen_test_prompts_SOURCES = src/gen/test_prompts.c src/text/test_tok.h
src_gen_test_prompts_LDADD = $(HYMN_TEST_LIBS)
