# src/prep: from files of text to packed data
src_libhymn_a_SOURCES += \
  src/prep/prepare.c src/prep/prepare.h

# --- inputs and readers -------------------------------------------------------
src_libhymn_a_SOURCES += \
  src/prep/lines.c src/prep/lines.h
EXTRA_DIST += src/prep/doc.h src/prep/input.h src/prep/reader.h

# --- packing and curation -----------------------------------------------------
EXTRA_DIST += src/prep/curate.h src/prep/pack.h

# --- the jobs of this folder --------------------------------------------------
src_libhymn_a_SOURCES += src/job/prepare.c src/job/tokenize.c
dist_input_DATA += input/tokenize.nml
