# src/text: UTF-8, tokenizers, chat templates
src_libhymn_a_SOURCES += \
  src/text/tok.h src/text/tok_json.h \
  src/text/tok_added.c src/text/tok_bpe.c src/text/tok_cache.c \
  src/text/tok_load.c src/text/tok_nfc.c src/text/tok_parts.c \
  src/text/tok_post.c src/text/tok_regex.c src/text/tok_scan.c src/text/tok_split.c \
  src/text/tok_table.c \
  src/text/tokenizer.c src/text/tokenizer.h \
  src/text/utf8.c src/text/utf8.h

hymn_unit_tests += src/text/test_tokenizer
src_text_test_tokenizer_SOURCES = src/text/test_tokenizer.c src/text/test_tok.h
src_text_test_tokenizer_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/text/test_tok_more
src_text_test_tok_more_SOURCES = src/text/test_tok_more.c src/text/test_tok.h
src_text_test_tok_more_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/text/test_tok_scan
src_text_test_tok_scan_SOURCES = src/text/test_tok_scan.c src/text/test_tok.h
src_text_test_tok_scan_LDADD = $(HYMN_TEST_LIBS)

hymn_unit_tests += src/text/test_tok_at
src_text_test_tok_at_SOURCES = src/text/test_tok_at.c src/text/test_tok.h
src_text_test_tok_at_LDADD = $(HYMN_TEST_LIBS)

EXTRA_DIST += src/text/tok_table.awk

# --- chat templates -----------------------------------------------------------
src_libhymn_a_SOURCES += \
  src/text/chat.h src/text/chat_impl.h \
  src/text/chat.c src/text/chat_chatml.c src/text/chat_check.c \
  src/text/chat_folder.c src/text/chat_hub.c \
  src/text/chat_llama3.c src/text/chat_nemotron3.c src/text/chat_plain.c \
  src/text/chat_python.c

hymn_unit_tests += src/text/test_chat src/text/test_chat_folder \
  src/text/test_chat_rules
src_text_test_chat_SOURCES = src/text/test_chat.c src/text/test_chat.h
src_text_test_chat_LDADD = $(HYMN_TEST_LIBS)
src_text_test_chat_folder_SOURCES = src/text/test_chat_folder.c \
  src/text/test_chat.h
src_text_test_chat_folder_LDADD = $(HYMN_TEST_LIBS)
src_text_test_chat_rules_SOURCES = src/text/test_chat_rules.c \
  src/text/test_chat.h
src_text_test_chat_rules_LDADD = $(HYMN_TEST_LIBS)

# --- vectors of the tests -----------------------------------------------------
EXTRA_DIST += \
  regression/fixtures/chat/README \
  regression/fixtures/chat/chat_template.jinja \
  regression/fixtures/chat/mask.jsonl \
  regression/fixtures/chat/nemotron3.jsonl \
  regression/fixtures/chat/published.jsonl \
  regression/fixtures/tokenizer/README \
  regression/fixtures/tokenizer/added.jsonl \
  regression/fixtures/tokenizer/added_tokens.json \
  regression/fixtures/tokenizer/decode.jsonl \
  regression/fixtures/tokenizer/encode.jsonl \
  regression/fixtures/tokenizer/invalid_utf8.jsonl \
  regression/fixtures/tokenizer/places.jsonl \
  regression/fixtures/tokenizer/tokenizer.json \
  regression/fixtures/tokenizer/tokenizer_config.json \
  regression/fixtures/tokenizer/variants.jsonl
