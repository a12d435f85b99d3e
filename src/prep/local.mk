# src/prep: from files of text to packed data
src_libhymn_a_SOURCES += \
  src/prep/prepare.c src/prep/prepare.h

# --- inputs and readers -------------------------------------------------------
src_libhymn_a_SOURCES += \
  src/prep/lines.c src/prep/lines.h
EXTRA_DIST += src/prep/doc.h src/prep/input.h src/prep/reader.h

# --- packing and curation -----------------------------------------------------
src_libhymn_a_SOURCES += \
  src/prep/pack.c src/prep/pack.h
EXTRA_DIST += src/prep/curate.h

hymn_unit_tests += src/prep/test_pack_rows
src_prep_test_pack_rows_SOURCES = src/prep/test_pack_rows.c
src_prep_test_pack_rows_LDADD = $(HYMN_TEST_LIBS)

# --- the jobs of this folder --------------------------------------------------
src_libhymn_a_SOURCES += src/job/prepare.c src/job/tokenize.c
dist_input_DATA += input/tokenize.nml
