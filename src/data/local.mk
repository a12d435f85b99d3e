# src/data: tokenizer, packed token files, batches
src_libhymn_a_SOURCES += \
  src/data/tok.h src/data/tok_json.h \
  src/data/tok_added.c src/data/tok_bpe.c src/data/tok_load.c \
  src/data/tok_parts.c src/data/tok_split.c \
  src/data/tokenizer.c src/data/tokenizer.h \
  src/data/utf8.c src/data/utf8.h
