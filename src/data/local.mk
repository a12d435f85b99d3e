# src/data: tokenizer, packed token files, batches
src_libhymn_a_SOURCES += \
  src/data/batch.c src/data/batch.h \
  src/data/cut.c src/data/cut.h \
  src/data/lines.c src/data/lines.h \
  src/data/mock.c src/data/mock.h \
  src/data/ngram.c src/data/ngram.h \
  src/data/packed.c src/data/packed.h \
  src/data/packed_impl.c src/data/packed_impl.h \
  src/data/packed_inspect.c src/data/packed_write.c \
  src/data/prepare.c src/data/prepare.h \
  src/data/tok.h src/data/tok_json.h \
  src/data/tok_added.c src/data/tok_bpe.c src/data/tok_load.c \
  src/data/tok_parts.c src/data/tok_split.c \
  src/data/tokenizer.c src/data/tokenizer.h \
  src/data/utf8.c src/data/utf8.h

# the jobs of this folder
src_libhymn_a_SOURCES += src/job/prepare.c src/job/tokenize.c

hymn_unit_tests += src/data/test_tokenizer
src_data_test_tokenizer_SOURCES = src/data/test_tokenizer.c
src_data_test_tokenizer_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_cut
src_data_test_cut_SOURCES = src/data/test_cut.c
src_data_test_cut_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_packed_mpi
src_data_test_packed_mpi_SOURCES = src/data/test_packed_mpi.c src/data/test_pack.h
src_data_test_packed_mpi_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/data/test_batch_mpi
src_data_test_batch_mpi_SOURCES = src/data/test_batch_mpi.c src/data/test_pack.h
src_data_test_batch_mpi_LDADD = $(HYMN_TEST_LIBS)

EXTRA_DIST += \
  regression/fixtures/tokenizer/README \
  regression/fixtures/tokenizer/added.jsonl \
  regression/fixtures/tokenizer/added_tokens.json \
  regression/fixtures/tokenizer/decode.jsonl \
  regression/fixtures/tokenizer/encode.jsonl \
  regression/fixtures/tokenizer/invalid_utf8.jsonl \
  regression/fixtures/tokenizer/tokenizer.json \
  regression/fixtures/tokenizer/tokenizer_config.json

dist_input_DATA += input/tokenize.nml
