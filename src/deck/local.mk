# src/deck: the table of keys, namelist text, the deck as a struct
src_libhymn_a_SOURCES += \
  src/deck/blank.h src/deck/undef.h \
  src/deck/deck.c src/deck/deck.h \
  src/deck/key.c src/deck/key.h \
  src/deck/keys.c src/deck/mix.c \
  src/deck/namelist.c src/deck/namelist.h \
  src/deck/value.c
EXTRA_DIST += src/deck/deck.def

hymn_unit_tests += src/deck/test_deck
src_deck_test_deck_SOURCES = src/deck/test_deck.c
src_deck_test_deck_LDADD = $(HYMN_TEST_LIBS)
