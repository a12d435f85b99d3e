/* test_reader.h: a tokenizer, and readers by a short name. */
#ifndef HYMN_PREP_TEST_READER_H
#define HYMN_PREP_TEST_READER_H

#include "base/err.h"
#include "prep/reader.h"
#include "test_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static hy_tok *tok;
static int32_t eos;

/* Keys for "NAME" or "NAME+what is changed". */
static inline hy_reader_keys
keys_for(const char *spec, char name[32])
{
  hy_reader_keys k = {.field = "text",
                      .prompt = "prompt",
                      .answer = "answer",
                      .loss = "auto",
                      .turns = "auto",
                      .preference = "chosen"};
  const char *plus = strchr(spec, '+');

  snprintf(name, 32, "%.*s", plus ? (int)(plus - spec) : 31, spec);
  k.name = name;
  k.chat = hy_chat_named("nemotron3");
  hy_chat_defaults(&k.options);
  if (!plus)
    return k;
  if (!strcmp(plus, "+template"))
    k.templated = 1;
  else if (!strcmp(plus, "+one") || !strcmp(plus, "+each"))
    k.turns = plus + 1;
  else if (!strcmp(plus, "+all") || !strcmp(plus, "+assistant"))
    k.loss = plus + 1;
  else if (!strcmp(plus, "+none"))
    k.chat = NULL;
  else if (!strcmp(plus, "+rejected"))
    k.preference = "rejected";
  else
    fail_msg("no such key: %s", spec);
  return k;
}

static inline hy_reader *
reader(const char *spec)
{
  char name[32];
  hy_reader_keys k = keys_for(spec, name);
  hy_reader *r;

  hy_err_clear();
  assert_int_equal(hy_reader_new(&r, &k), HY_OK);
  return r;
}

/* Documents of one record, encoded one after another. */
typedef struct {
  hy_ids ids;
  hy_weights weight;
  size_t end[64];
  int same_row[64];
  int n;
  const char *note;
} result;

static int
take(void *arg, const hy_doc *d)
{
  result *got = arg;
  const char *why;
  int64_t n_bad = 0;
  int err = hy_doc_encode(d, tok, eos, &got->ids, &got->weight, &n_bad, &why);

  assert_int_equal(err, HY_OK);
  assert_null(why);
  assert_true(got->n < 64);
  assert_int_equal(got->ids.n, got->weight.n);
  got->same_row[got->n] = d->same_row;
  got->end[got->n++] = got->ids.n;
  got->note = d->note;
  return HY_OK;
}

static void
result_clear(result *got)
{
  free(got->ids.id);
  free(got->weight.v);
  *got = (result){0};
}

static inline const char *
read_record(hy_reader *r, const hy_record *rec, result *got)
{
  const char *why;

  result_clear(got);
  assert_int_equal(hy_reader_record(r, rec, &why, take, got), HY_OK);
  assert_true(!why || got->n == 0);
  return why;
}

static inline json_t *
parse(const char *text, size_t n)
{
  json_error_t e;
  json_t *o = json_loadb(text, n, JSON_ALLOW_NUL, &e);

  if (!o)
    fail_msg("%s: %s", text, e.text);
  return o;
}

static inline void
docs_of(const char *spec, const char *text, result *got)
{
  hy_reader *r = reader(spec);
  json_t *o = parse(text, strlen(text));
  hy_record rec = {.json = o};

  assert_null(read_record(r, &rec, got));
  json_decref(o);
  hy_reader_free(r);
}

#define USER "{\"role\":\"user\",\"content\":\"u\"}"
#define SAYS "{\"role\":\"assistant\",\"content\":\"a\"}"
#define CALL                                                                   \
  "{\"role\":\"assistant\",\"content\":\"<tool_call>\\n</tool_call>\"}"
#define HELP "\"response1\":\"a\",\"response2\":\"b\""

static void
open_tokenizer(void)
{
  char *path = fixture("tokenizer/tokenizer.json");

  assert_int_equal(hy_tok_open(&tok, path), HY_OK);
  eos = hy_tok_find(tok, "<|endoftext|>");
  free(path);
}

static int
close_tokenizer(int failed)
{
  hy_tok_free(tok);
  return failed;
}

#endif
