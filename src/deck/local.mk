# src/deck: the table of keys, namelist text, the deck as a struct
src_libhymn_a_SOURCES += \
  src/deck/blank.h src/deck/undef.h \
  src/deck/deck.c src/deck/deck.h \
  src/deck/key.c src/deck/key.h \
  src/deck/keys.c \
  src/deck/namelist.c src/deck/namelist.h \
  src/deck/value.c
EXTRA_DIST += src/deck/deck.def
