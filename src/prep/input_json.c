#include "prep/input_impl.h"
#include "base/err.h"
#include "prep/json.h"
#include "prep/lines.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

struct hy_elements {
  char *path;
  hy_buf text;   /* valid UTF-8 */
  size_t pos;    /* of a list: behind the latest record */
  int64_t n_bad; /* not yet told with a record */
  int begun, ended;
  json_t *tree;       /* an object: parsed as a whole */
  const json_t *data; /* its list of records, NULL: it is the one record */
  size_t i, j, k;     /* record or article, paragraph, question to come */
};

static void
skip_blanks(hy_elements *e)
{
  e->pos += strspn(e->text.data + e->pos, " \t\r\n");
}

static int
parse_object(hy_elements *e)
{
  const char *s = e->text.data + e->pos, *hint = "correct it";
  size_t n = e->text.len - e->pos;
  json_error_t at;

  if (hy_json_parse(s, n, &e->tree)) {
    /* once more, to be told where */
    json_decref(json_loadb(s, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &at));
    if (json_error_code(&at) == json_error_end_of_input_expected)
      hint = "if it holds a record a line, name it .jsonl";
    return hy_fail(HY_EDATA, "%s:%d: broken JSON: %s; %s", e->path, at.line,
                   at.text, hint);
  }
  e->data = json_object_get(e->tree, "data");
  if (!json_is_array(e->data))
    e->data = NULL;
  return HY_OK;
}

static int
read_text(hy_elements *e)
{
  hy_buf raw = {0};
  size_t bom;
  int err = hy_text_read(e->path, &raw);

  if (!err) {
    bom = hy_text_bom(raw.data, raw.len);
    e->n_bad = hy_utf8_repair(raw.data + bom, raw.len - bom, &e->text);
  }
  free(raw.data);
  return err;
}

int
hy_elements_open(hy_elements **out, const char *path)
{
  hy_elements *e = hy_calloc(1, sizeof *e);
  int err;

  e->path = hy_strdup(path);
  err = read_text(e);
  if (!err) {
    hy_buf_add(&e->text, "", 0); /* a NUL behind it */
    skip_blanks(e);
    if (e->text.data[e->pos] == '{')
      err = parse_object(e);
    else if (e->text.data[e->pos] == '[')
      e->pos++;
    else
      err = hy_fail(HY_EDATA,
                    "%s: is neither a list nor an object; write JSON, or name "
                    "it by what it is",
                    path);
  }
  if (err) {
    hy_elements_close(e);
    e = NULL;
  }
  *out = e;
  return err;
}

void
hy_elements_close(hy_elements *e)
{
  if (!e)
    return;
  json_decref(e->tree);
  free(e->text.data);
  free(e->path);
  free(e);
}

/* ---- a list ---- */

/* Bytes of the element at s: to the comma or bracket behind it; n when there
 * is none. */
static size_t
element_len(const char *s, size_t n)
{
  int64_t depth = 0;
  int quoted = 0;

  for (size_t i = 0; i < n; i++) {
    char c = s[i];

    if (quoted) {
      i += c == '\\';
      quoted = c != '"';
    } else if (c == '"') {
      quoted = 1;
    } else if (c == '{' || c == '[') {
      depth++;
    } else if (depth == 0 && (c == ',' || c == ']')) {
      return i;
    } else if (c == '}' || c == ']') {
      depth -= depth > 0;
    }
  }
  return n;
}

static int
end_list(hy_elements *e)
{
  e->pos++;
  e->ended = 1;
  skip_blanks(e);
  if (e->pos < e->text.len)
    return hy_fail(HY_EDATA,
                   "%s: something follows the list of records; correct it",
                   e->path);
  return HY_OK;
}

static int
next_of_list(hy_elements *e, hy_record *rec, json_t **json, int *more)
{
  const char *s = e->text.data;
  size_t n;

  if (e->ended)
    return HY_OK;
  skip_blanks(e);
  if (s[e->pos] == ']')
    return end_list(e);
  if (e->begun && s[e->pos] == ',')
    e->pos++;
  skip_blanks(e);
  n = element_len(s + e->pos, e->text.len - e->pos);
  if (n == e->text.len - e->pos)
    return hy_fail(HY_EDATA,
                   "%s: breaks off: the list of records has no end; make the "
                   "file again",
                   e->path);
  rec->why = hy_input_parse(s + e->pos, n, json);
  e->pos += n;
  e->begun = *more = 1;
  return HY_OK;
}

/* ---- records in an object ---- */

/* A question of an article as a record of its own, as in the flat form of
 * SQuAD. */
static json_t *
question(const json_t *article, const json_t *paragraph, const json_t *qa)
{
  static const char *const of_qa[] = {"id", "question", "answers",
                                      "is_impossible"};
  json_t *o = json_object();

  json_object_set(o, "title", json_object_get(article, "title"));
  json_object_set(o, "context", json_object_get(paragraph, "context"));
  for (size_t i = 0; i < sizeof of_qa / sizeof *of_qa; i++)
    json_object_set(o, of_qa[i], json_object_get(qa, of_qa[i]));
  return o;
}

/* One step in the articles: a record, or none (*more stays 0). */
static void
step(hy_elements *e, hy_record *rec, json_t **json, int *more)
{
  json_t *article = json_array_get(e->data, e->i);
  const json_t *list = json_object_get(article, "paragraphs"), *p, *qas, *qa;

  p = json_array_get(list, e->j);
  qas = json_object_get(p, "qas");
  qa = json_array_get(qas, e->k);
  if (!json_is_array(list)) {
    *json = json_incref(article);
    rec->why = json_is_object(article) ? NULL : "no JSON object";
    *more = 1;
    e->i++;
  } else if (!p) {
    e->i++;
    e->j = 0;
  } else if (!json_is_array(qas)) {
    rec->why = "paragraph without a list of questions";
    *more = 1;
    e->j++;
  } else if (!qa) {
    e->j++;
    e->k = 0;
  } else {
    *json = question(article, p, qa);
    *more = 1;
    e->k++;
  }
}

int
hy_elements_next(hy_elements *e, hy_record *rec, json_t **json, int *more)
{
  int err = HY_OK;

  if (!e->tree) {
    err = next_of_list(e, rec, json, more);
  } else if (!e->data) {
    *more = !e->begun;
    e->begun = 1;
    if (*more)
      *json = json_incref(e->tree);
  } else {
    while (!*more && e->i < json_array_size(e->data))
      step(e, rec, json, more);
  }
  if (*more) {
    rec->n_bad = e->n_bad;
    e->n_bad = 0;
  }
  return err;
}

double
hy_elements_done(const hy_elements *e)
{
  if (e->data)
    return (double)e->i / (double)json_array_size(e->data);
  return e->tree ? e->begun : (double)e->pos / (double)e->text.len;
}
