/* reader_qa.c: records of questions with an answer. */
#include "prep/reader_impl.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

/* One side of a pair, made of fields. */
typedef struct {
  hy_buf prompt, answer;
} pair;

static void
pair_free(pair *p)
{
  free(p->prompt.data);
  free(p->answer.data);
}

static void
put(hy_buf *b, const char *s)
{
  hy_buf_add(b, s, strlen(s));
}

/* A string without the characters of `strip` at its ends. */
static void
put_stripped(hy_buf *b, const json_t *string, const char *strip)
{
  const char *s = json_string_value(string);
  size_t n = json_string_length(string);

  while (n > 0 && *s && strchr(strip, *s)) {
    s++;
    n--;
  }
  while (n > 0 && s[n - 1] && strchr(strip, s[n - 1]))
    n--;
  hy_buf_add(b, s, n);
}

/* "NAME: {question} NAME:" and the answer after a space, each tokenized alone.
 * Source: NVIDIA-NeMo/Megatron-Bridge, data/sources/hf_adapters.py, and the
 * separator of its recipes, which also take spaces off the answer. */
static int
bridge(hy_reader *r, pair *p, const json_t *answer, const char **why)
{
  if (hy_reader_is_blank(json_string_value(answer), json_string_length(answer)))
    *why = "empty answer";
  if (*why)
    return HY_OK;
  if (!r->keys.templated)
    put(&p->answer, " ");
  put_stripped(&p->answer, answer, " ");
  return hy_reader_answer(r, &p->prompt, &p->answer, 0, 1, why);
}

int
hy_read_gsm8k(hy_reader *r, const json_t *o, const char **why)
{
  const json_t *question, *answer;
  pair p = {0};
  int err = HY_OK;

  *why = hy_reader_string(o, "question", &question, "no field `question`",
                          "`question` that is no string");
  if (!*why)
    *why = hy_reader_string(o, "answer", &answer, "no field `answer`",
                            "`answer` that is no string");
  if (!*why) {
    put(&p.prompt, "Question: ");
    hy_reader_put(&p.prompt, question);
    put(&p.prompt, " Answer:");
    err = bridge(r, &p, answer, why);
  }
  pair_free(&p);
  return err;
}

int
hy_read_openmath(hy_reader *r, const json_t *o, const char **why)
{
  const json_t *problem, *solution;
  pair p = {0};
  int err = HY_OK;

  *why = hy_reader_string(o, "problem", &problem, "no field `problem`",
                          "`problem` that is no string");
  if (!*why)
    *why = hy_reader_string(o, "generated_solution", &solution,
                            "no field `generated_solution`",
                            "`generated_solution` that is no string");
  if (!*why) {
    put(&p.prompt, "Problem: ");
    hy_reader_put(&p.prompt, problem);
    put(&p.prompt, " Solution:");
    err = bridge(r, &p, solution, why);
  }
  pair_free(&p);
  return err;
}

/* ---- SQuAD ---- */

/* The first answer: {"text": [...]}, or [{"text": ...}, ...]. */
static const char *
first_answer(const json_t *o, const json_t **answer)
{
  const json_t *answers = json_object_get(o, "answers");
  const json_t *list = json_is_array(answers)
                           ? answers
                           : json_object_get(answers, "text"),
               *first = json_array_get(list, 0);

  *answer = json_is_object(first) ? json_object_get(first, "text") : first;
  if (!json_is_array(list))
    return "no list of answers";
  if (!first)
    return hy_why_unanswerable;
  return json_is_string(*answer) ? NULL : "answer that is no string";
}

static int
squad(hy_reader *r, const json_t *o, int automodel, const char **why)
{
  static const char blanks[] = " \t\r\n\v\f";
  const json_t *context, *question, *answer;
  pair p = {0};
  int err = HY_OK;

  *why = hy_reader_string(o, "context", &context, "no field `context`",
                          "`context` that is no string");
  if (!*why)
    *why = hy_reader_string(o, "question", &question, "no field `question`",
                            "`question` that is no string");
  if (!*why)
    *why = first_answer(o, &answer);
  if (!*why) {
    put(&p.prompt, "Context: ");
    hy_reader_put(&p.prompt, context);
    put(&p.prompt, " Question: ");
    hy_reader_put(&p.prompt, question);
    put(&p.prompt, automodel ? " Answer: " : " Answer:");
    if (automodel)
      put_stripped(&p.answer, answer, blanks);
    if (automodel && p.answer.len == 0)
      *why = "empty answer";
    if (!automodel)
      err = bridge(r, &p, answer, why);
    else if (!*why)
      err = hy_reader_answer(r, &p.prompt, &p.answer, 1, 1, why);
  }
  pair_free(&p);
  return err;
}

int
hy_read_squad(hy_reader *r, const json_t *o, const char **why)
{
  return squad(r, o, r->keys.templated, why);
}

/* Source: NVIDIA-NeMo/Automodel, components/datasets/llm/squad.py. */
int
hy_read_squad_automodel(hy_reader *r, const json_t *o, const char **why)
{
  return squad(r, o, 1, why);
}

/* ---- HellaSwag ---- */

/* label: a number, or a number in a string. \return -1: none */
static int64_t
label_of(const json_t *o)
{
  const json_t *v = json_object_get(o, "label");
  const char *s = json_string_value(v);
  char *end;
  long long n;

  if (json_is_integer(v))
    return json_integer_value(v);
  if (!s || !*s || strlen(s) > 9)
    return -1;
  n = strtoll(s, &end, 10);
  return *end ? -1 : n;
}

/* Context and ending, each tokenized alone with nothing between, no end token.
 * Source: NVIDIA-NeMo/Automodel, components/datasets/llm/hellaswag.py and
 * SFTSingleTurnPreprocessor. */
int
hy_read_hellaswag(hy_reader *r, const json_t *o, const char **why)
{
  const json_t *ctx, *endings = json_object_get(o, "endings"), *ending;
  int64_t label = label_of(o);
  pair p = {0};
  int err = HY_OK;

  *why = hy_reader_string(o, "ctx", &ctx, "no field `ctx`",
                          "`ctx` that is no string");
  ending = label >= 0 ? json_array_get(endings, (size_t)label) : NULL;
  if (!*why && !json_is_array(endings))
    *why = "no list `endings`";
  else if (!*why && !ending)
    *why = "`label` that names no ending";
  else if (!*why && !json_is_string(ending))
    *why = "ending that is no string";
  else if (!*why && json_string_length(ending) == 0)
    *why = "empty answer";
  if (!*why) {
    hy_reader_put(&p.prompt, ctx);
    hy_reader_put(&p.answer, ending);
    err = hy_reader_answer(r, &p.prompt, &p.answer, 0, 0, why);
  }
  pair_free(&p);
  return err;
}
