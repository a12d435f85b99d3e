/* Lines of prompts to ids. */
#include "gen/prompts.h"
#include "base/file.h"
#include "text/test_tok.h"

/* Id of the begin of text, and of the tokens that end a turn. */
enum { BOS = 1, IM_END = 11 };

typedef struct {
  char *folder, *lines; /* of the tokenizer; a file of prompts */
  hy_deck deck;
  hy_tok *tok; /* that of the tests, with a begin of text */
} rig;

static void
set_up(rig *t)
{
  static const char around[] =
      "{\"type\":\"TemplateProcessing\",\"single\":["
      "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
      "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
      "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],"
      "\"tokens\":[\"<s>\"]}}}";
  const char *top = getenv("HYMN_TESTDIR");
  json_t *o = load("tokenizer.json");

  *t = (rig){0};
  hy_deck_init(&t->deck);
  t->folder = fixture("");
  t->lines = hy_asprintf("%s/test_prompts.%d", top ? top : ".", (int)getpid());
  json_object_set_new(o, "post_processor", json_loads(around, 0, NULL));
  assert_int_equal(open_tree(&t->tok, o), HY_OK);
  json_decref(o);
  snprintf(t->deck.generate.input, sizeof t->deck.generate.input, "%s",
           t->lines);
}

static void
tear_down(rig *t)
{
  hy_tok_free(t->tok);
  hy_deck_free(&t->deck);
  unlink(t->lines);
  free(t->lines);
  free(t->folder);
}

static int
read_text(rig *t, hy_prompts *p, const char *text, size_t n)
{
  assert_int_equal(hy_file_write(t->lines, text, n), HY_OK);
  hy_err_clear();
  return hy_prompts_read(p, &t->deck.generate, t->tok, t->folder,
                         hy_tok_n(t->tok));
}

/* These lines are refused, in these words. */
static void
refused(rig *t, const char *text, size_t n, int code, const char *words)
{
  hy_prompts p;

  assert_int_equal(read_text(t, &p, text, n), code);
  if (!strstr(hy_err_text(), words))
    fail_msg("%s: not '%s'", hy_err_text(), words);
  hy_prompts_free(&p);
}

/* Prompts i and j of p have the same ids. */
static int
same(const hy_prompts *p, int i, int j)
{
  return p->id[i].n == p->id[j].n &&
         !memcmp(p->id[i].id, p->id[j].id, p->id[i].n * sizeof *p->id[i].id);
}

static void
test_lines(void **state)
{
  static const char text[] =
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}\r\n"
      "{\"ids\":[7,8]}\n"
      "{\"text\":\"<|im_start|>system\\n<|im_end|>\\n<|im_start|>user\\nHi"
      "<|im_end|>\\n<|im_start|>assistant\\n<think>\\n\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"\\u0000\"}],"
      "\"tools\":[]}";
  hy_prompts p;
  rig t;

  (void)state;
  set_up(&t);
  assert_int_equal(read_text(&t, &p, text, strlen(text)), HY_OK);
  assert_int_equal(p.n, 4);
  assert_int_equal(p.stop[0], IM_END);
  assert_int_equal(p.stop[1], -1);
  assert_int_equal(p.stop[2], -1);
  assert_int_equal(p.id[1].n, 2);
  assert_int_equal(p.id[2].id[0], BOS);
  assert_false(same(&p, 0, 2)); /* the template has a begin of its own */
  hy_prompts_free(&p);

  t.deck.generate.bos = 0;
  assert_int_equal(read_text(&t, &p, text, strlen(text)), HY_OK);
  assert_true(same(&p, 0, 2));
  hy_prompts_free(&p);
  tear_down(&t);
}

/* Options reach the template; plain has no tokens of its own. */
static void
test_options(void **state)
{
  static const char text[] =
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}\n"
      "{\"text\":\"<|im_start|>system\\n<|im_end|>\\n<|im_start|>user\\nHi"
      "\\n\\n{thinking token budget: 9}\\n\\n{reasoning effort: efficient}"
      "<|im_end|>\\n<|im_start|>assistant\\n<think></think>\"}\n"
      "{\"text\":\"User: Hi\\n\\nAssistant:\"}\n";
  hy_deck_generate *d;
  hy_prompts p;
  rig t;

  (void)state;
  set_up(&t);
  d = &t.deck.generate;
  d->bos = 0;
  d->reasoning_budget = 9;
  d->low_effort = 1;
  strcpy(d->thinking, "off");
  assert_int_equal(read_text(&t, &p, text, strlen(text)), HY_OK);
  assert_true(same(&p, 0, 1));
  hy_prompts_free(&p);

  d->bos = 1;
  d->reasoning_budget = -1;
  d->low_effort = 0;
  strcpy(d->template, "plain");
  assert_int_equal(read_text(&t, &p, text, strlen(text)), HY_OK);
  assert_true(same(&p, 0, 2));
  assert_int_equal(p.id[0].id[0], BOS);
  assert_int_equal(p.stop[0], -1);
  hy_prompts_free(&p);
  tear_down(&t);
}

static void
test_refused(void **state)
{
  static const char nul[] = "{\"ids\":[1]}\n\0{\"ids\":[2]}\n";
  static const char say[] =
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}\n";
  rig t;

  (void)state;
  set_up(&t);
#define REFUSED(text, code, words) refused(&t, text, strlen(text), code, words)
  REFUSED("", HY_EDATA, "no prompts");
  REFUSED("{\"ids\":[1]}\n\n", HY_EDATA, ":2: not JSON");
  refused(&t, nul, sizeof nul - 1, HY_EDATA, ":2: not JSON");
  REFUSED("[1]", HY_EDATA, "neither");
  REFUSED("{\"text\":\"a\",\"text\":\"b\"}", HY_EDATA, "duplicate");
  REFUSED("{\"ids\":[-1]}", HY_EDATA, "ids[0] is not");
  REFUSED("{\"messages\":[]}", HY_EDATA, "no messages");
  REFUSED("{\"messages\":{}}", HY_EDATA, "not a list");
  strcpy(t.deck.generate.template, "llama3");
  REFUSED(say, HY_EDECK, "<|eot_id|>");
  strcpy(t.deck.generate.template, "plain");
  t.deck.generate.reasoning_budget = 9;
  REFUSED(say, HY_EDECK, "can name no budget");
  strcpy(t.deck.generate.template, "llama4");
  REFUSED(say, HY_EDECK, "there are: nemotron3");
  tear_down(&t);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines),
                                     cmocka_unit_test(test_options),
                                     cmocka_unit_test(test_refused)};

  return cmocka_run_group_tests(tests, NULL, NULL);
}
