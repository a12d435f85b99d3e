# src/prep: from files of text to packed data
src_libhymn_a_SOURCES += \
  src/prep/part.c src/prep/part.h \
  src/prep/prepare.c src/prep/prepare.h src/prep/prepare_impl.h \
  src/prep/prepare_blend.c src/prep/prepare_done.c \
  src/prep/raw_blend.c src/prep/raw_blend.h \
  src/prep/prepare_head.c src/prep/prepare_report.c \
  src/prep/prepare_setup.c src/prep/prepare_shards.c \
  src/prep/prepare_units.c src/prep/prepare_window.c \
  src/prep/prepare_write.c \
  src/prep/tally.c src/prep/tally.h

hymn_unit_tests += src/prep/test_raw_blend
src_prep_test_raw_blend_SOURCES = src/prep/test_raw_blend.c
src_prep_test_raw_blend_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_prepare_mpi
src_prep_test_prepare_mpi_SOURCES = src/prep/test_prepare_mpi.c \
  src/prep/test_prepare.h
src_prep_test_prepare_mpi_LDADD = $(HYMN_TEST_LIBS)

# --- inputs and readers -------------------------------------------------------
src_libhymn_a_SOURCES += \
  src/prep/doc.c src/prep/doc.h \
  src/prep/input.c src/prep/input.h src/prep/input_impl.h \
  src/prep/input_find.c src/prep/input_indexed.c src/prep/input_json.c \
  src/prep/input_parquet.c \
  src/prep/json.c src/prep/json.h \
  src/prep/lines.c src/prep/lines.h \
  src/prep/reader.c src/prep/reader.def src/prep/reader.h \
  src/prep/reader_impl.h src/prep/reader_chat.c src/prep/reader_packed.c \
  src/prep/reader_qa.c src/prep/reader_text.c \
  src/prep/stream.c src/prep/stream.h

hymn_unit_tests += src/prep/test_doc
src_prep_test_doc_SOURCES = src/prep/test_doc.c src/prep/test_fixture.h \
  src/prep/test_reader.h
src_prep_test_doc_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_input
src_prep_test_input_SOURCES = src/prep/test_input.c src/prep/test_files.h \
  src/prep/test_records.h
src_prep_test_input_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_json
src_prep_test_json_SOURCES = src/prep/test_json.c src/prep/test_fixture.h
src_prep_test_json_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_reader
src_prep_test_reader_SOURCES = src/prep/test_reader.c src/prep/test_fixture.h \
  src/prep/test_reader.h
src_prep_test_reader_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_reader_bad
src_prep_test_reader_bad_SOURCES = src/prep/test_reader_bad.c \
  src/prep/test_fixture.h src/prep/test_reader.h
src_prep_test_reader_bad_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_stream
src_prep_test_stream_SOURCES = src/prep/test_stream.c src/prep/test_files.h
src_prep_test_stream_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/prep/test_tables
src_prep_test_tables_SOURCES = src/prep/test_tables.c src/prep/test_fixture.h \
  src/prep/test_records.h
src_prep_test_tables_LDADD = $(HYMN_TEST_LIBS)

EXTRA_DIST += \
  regression/fixtures/data/README \
  regression/fixtures/data/chat.jsonl \
  regression/fixtures/data/expected.jsonl \
  regression/fixtures/data/gsm8k.jsonl \
  regression/fixtures/data/hellaswag.jsonl \
  regression/fixtures/data/helpsteer3.jsonl \
  regression/fixtures/data/make.py \
  regression/fixtures/data/openmath.jsonl \
  regression/fixtures/data/pair.jsonl \
  regression/fixtures/data/squad.json \
  regression/fixtures/data/totals.jsonl \
  regression/fixtures/data/turns.jsonl

# --- packing and curation -----------------------------------------------------
src_libhymn_a_SOURCES += \
  src/prep/curate.c src/prep/curate.h src/prep/curate_impl.h \
  src/prep/curate_eval.c src/prep/curate_signs.c src/prep/curate_unique.c \
  src/prep/curate_words.c \
  src/prep/pack.c src/prep/pack.h

dist_input_DATA += input/prepare-pretrain.nml input/prepare-sft.nml
blendsdir = $(inputdir)/blends
dist_blends_DATA = \
  input/blends/README input/blends/nano.json input/blends/nano-sft.json \
  input/blends/super.json input/blends/super-long.json \
  input/blends/super-sft.json input/blends/ultra.json

hymn_unit_tests += src/prep/test_pack_rows
src_prep_test_pack_rows_SOURCES = src/prep/test_pack_rows.c
src_prep_test_pack_rows_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_curate
src_prep_test_curate_SOURCES = src/prep/test_curate.c
src_prep_test_curate_LDADD = $(HYMN_TEST_LIBS)
hymn_unit_tests += src/prep/test_curate_mpi
src_prep_test_curate_mpi_SOURCES = src/prep/test_curate_mpi.c
src_prep_test_curate_mpi_LDADD = $(HYMN_TEST_LIBS)

# --- the jobs of this folder --------------------------------------------------
src_libhymn_a_SOURCES += src/job/prepare.c src/job/tokenize.c
dist_input_DATA += input/tokenize.nml
