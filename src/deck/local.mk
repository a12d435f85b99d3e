# src/deck: the table of keys, namelist text, the deck as a struct
src_libhymn_a_SOURCES += \
  src/deck/blank.h src/deck/deck.h src/deck/undef.h
EXTRA_DIST += src/deck/deck.def
