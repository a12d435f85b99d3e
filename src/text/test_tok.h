/* test_tok.h: what tests of the tokenizer share. */
#ifndef HYMN_TEXT_TEST_TOK_H
#define HYMN_TEXT_TEST_TOK_H

#include "base/err.h"
#include "base/file.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static inline char *
fixture(const char *name)
{
  const char *dir = getenv("HYMN_SRCDIR");

  if (!dir)
    dir = getenv("srcdir");
  return hy_asprintf("%s/regression/fixtures/tokenizer/%s", dir ? dir : ".",
                     name);
}

static inline json_t *
load(const char *name)
{
  char *path = fixture(name);
  json_t *o = json_load_file(path, 0, NULL);

  assert_non_null(o);
  free(path);
  return o;
}

static inline hy_tok *
open_fixture(void)
{
  char *path = fixture("tokenizer.json");
  hy_tok *t;

  assert_int_equal(hy_tok_open(&t, path), HY_OK);
  free(path);
  return t;
}

/* Write a tree as a tokenizer.json of its own and open that. */
static inline int
open_tree(hy_tok **t, const json_t *o)
{
  const char *dir = getenv("HYMN_TESTDIR");
  char *path =
      hy_asprintf("%s/test_tok.%d.json", dir ? dir : ".", (int)getpid());
  int err;

  assert_int_equal(json_dump_file(o, path, 0), 0);
  hy_err_clear();
  err = hy_tok_open(t, path);
  unlink(path);
  free(path);
  return err;
}

static inline void
same_ids(const json_t *want, const hy_ids *got)
{
  assert_int_equal(json_array_size(want), got->n);
  for (size_t i = 0; i < got->n; i++)
    assert_int_equal(json_integer_value(json_array_get(want, i)), got->id[i]);
}

static inline void
same_text(const json_t *want, const hy_buf *got)
{
  assert_int_equal(json_string_length(want), got->len);
  assert_memory_equal(json_string_value(want), got->data, got->len);
}

static inline void
each_line_of(hy_tok *t, const char *path, void check(hy_tok *, const json_t *))
{
  FILE *f = fopen(path, "r");
  char *line = NULL;
  size_t cap = 0;
  ssize_t n;

  if (!f)
    fail_msg("%s: cannot be opened", path);
  while ((n = getline(&line, &cap, f)) > 0) {
    json_t *o = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);

    assert_non_null(o);
    check(t, o);
    json_decref(o);
  }
  fclose(f);
  free(line);
}

static inline void
each_line(hy_tok *t, const char *name, void check(hy_tok *, const json_t *))
{
  char *path = fixture(name);

  each_line_of(t, path, check);
  free(path);
}

#endif
