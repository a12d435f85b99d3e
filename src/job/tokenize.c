/* tokenize.c: JSON lines of text to ids and back, one line for one line. */
#include "job/job.h"
#include "base/err.h"
#include "base/file.h"
#include "prep/lines.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* What one run counts, and the place for messages. */
typedef struct {
  const hy_deck_tokenize *d;
  hy_tok *tok;
  int64_t line, n_ids, n_bad;
  const int32_t *before, *after; /* ids around the text */
  int n_before, n_after;
  hy_ids ids; /* of the line */
  hy_buf text, out;
} work;

static int
bad_line(const work *w, const char *what)
{
  return hy_fail(HY_EDATA, "%s:%lld: %s; correct the line", w->d->input,
                 (long long)w->line, what);
}

static int
line_to_ids(work *w, const json_t *o)
{
  const json_t *text = json_object_get(o, "text");
  int err;

  if (!json_is_string(text))
    return bad_line(w, "has no string `text`");
  w->ids.n = 0;
  for (int i = 0; i < w->n_before; i++)
    hy_ids_add(&w->ids, w->before[i]);
  err = hy_tok_encode(w->tok, json_string_value(text), json_string_length(text),
                      w->d->plain, &w->ids, NULL);
  if (err)
    return err;
  for (int i = 0; i < w->n_after; i++)
    hy_ids_add(&w->ids, w->after[i]);
  hy_buf_printf(&w->out, "{\"ids\":[");
  for (size_t i = 0; i < w->ids.n; i++)
    hy_buf_printf(&w->out, "%s%d", i ? "," : "", (int)w->ids.id[i]);
  hy_buf_printf(&w->out, "]}\n");
  w->n_ids += (int64_t)w->ids.n;
  return HY_OK;
}

static int
add_json(const char *s, size_t n, void *out)
{
  hy_buf_add(out, s, n);
  return 0;
}

static int
line_to_text(work *w, const json_t *o)
{
  const json_t *ids = json_object_get(o, "ids");
  json_t *v, *text;
  size_t i;

  if (!json_is_array(ids))
    return bad_line(w, "has no list `ids`");
  w->ids.n = 0;
  w->text.len = 0;
  json_array_foreach((json_t *)ids, i, v)
  {
    json_int_t id = json_integer_value(v);

    if (!json_is_integer(v))
      return bad_line(w, "`ids` holds something that is no integer");
    if (id < 0 || id >= hy_tok_n(w->tok))
      return hy_fail(HY_EDATA,
                     "%s:%lld: id %lld is not in the tokenizer (0..%lld); use "
                     "the tokenizer that made the ids",
                     w->d->input, (long long)w->line, (long long)id,
                     (long long)hy_tok_n(w->tok) - 1);
    hy_ids_add(&w->ids, (int32_t)id);
  }
  if (hy_tok_decode(w->tok, w->ids.id, w->ids.n, w->d->skip_special,
                    &w->text)) {
    hy_err_clear();
    return bad_line(w, "holds an id that no token has");
  }
  text = json_stringn(w->text.data, w->text.len);
  hy_buf_printf(&w->out, "{\"text\":");
  json_dump_callback(text, add_json, &w->out, JSON_ENCODE_ANY | JSON_COMPACT);
  hy_buf_printf(&w->out, "}\n");
  json_decref(text);
  w->n_ids += (int64_t)w->ids.n;
  return HY_OK;
}

static int
do_line(work *w, const char *line, size_t n)
{
  hy_buf fixed = {0};
  json_error_t e;
  json_t *o;
  int err;

  if (!hy_utf8_ok(line, n)) {
    w->n_bad += hy_utf8_repair(line, n, &fixed);
    line = fixed.data;
    n = fixed.len;
  }
  o = json_loadb(line, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e);
  if (!o)
    err = bad_line(w, e.text);
  else if (!json_is_object(o))
    err = bad_line(w, "is no JSON object");
  else
    err = w->d->decode ? line_to_text(w, o) : line_to_ids(w, o);
  json_decref(o);
  free(fixed.data);
  return err;
}

static int
do_lines(work *w)
{
  hy_lines *l = NULL;
  const char *line = "";
  int64_t start;
  size_t n;
  int err = hy_tok_open(&w->tok, w->d->tokenizer);

  if (!err && w->d->bos)
    hy_tok_around(w->tok, &w->before, &w->n_before, &w->after, &w->n_after);
  if (!err)
    err = hy_lines_open(&l, w->d->input, 0);
  hy_buf_add(&w->out, "", 0);
  while (!err && line) {
    err = hy_lines_next(l, &line, &n, &start);
    if (err || !line)
      break;
    w->line++;
    err = do_line(w, line, n);
  }
  hy_lines_close(l);
  if (!err)
    err = hy_file_write(w->d->output, w->out.data, w->out.len);
  if (!err)
    printf("tokenize: %lld lines, %lld ids, %lld invalid UTF-8 parts "
           "replaced -> %s\n",
           (long long)w->line, (long long)w->n_ids, (long long)w->n_bad,
           w->d->output);
  return err;
}

static int
tokenize_run(hy_deck *deck, const hy_grid *grid)
{
  work w = {.d = &deck->tokenize};
  const char *unset = !*w.d->tokenizer ? "tokenizer"
                      : !*w.d->input   ? "input"
                      : !*w.d->output  ? "output"
                                       : NULL;
  int err = HY_OK;

  if (unset)
    return hy_fail(HY_EDECK,
                   "tokenize.%s: not set; set it in the deck or on "
                   "the command line",
                   unset);
  if (grid->world.rank == 0) /* other ranks have nothing to add */
    err = do_lines(&w);
  hy_tok_free(w.tok);
  free(w.ids.id);
  free(w.text.data);
  free(w.out.data);
  return hy_agree(&grid->world, err);
}

const hy_job hy_job_tokenize = {.name = "tokenize",
                                .help =
                                    "text to token ids and back, line by line",
                                .patient = 1,
                                .run = tokenize_run};
