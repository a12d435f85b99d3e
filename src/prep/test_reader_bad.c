/* Records and keys that readers refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "test_reader.h"

/* ---- refused ---- */

static const char *
why_of(const char *spec, const char *text)
{
  hy_reader *r = reader(spec);
  json_t *o = parse(text, strlen(text));
  hy_record rec = {.json = o};
  result got = {0};
  const char *why = read_record(r, &rec, &got);

  result_clear(&got);
  json_decref(o);
  hy_reader_free(r);
  return why ? why : "";
}

static const struct {
  const char *reader, *record, *why;
} refusals[] = {
    {"auto", "{}", "no field that is known"},
    {"auto", "{\"text\":1}", "text that is no string"},
    {"auto", "{\"question\":\"q\",\"answer\":\"a\"}", "no field that is known"},
    {"text", "{}", "no text field"},
    {"text+assistant", "{\"text\":\"a\"}",
     "text without roles, but the loss is the assistant's"},
    {"ids", "{\"ids\":3}", "`ids` that are no list"},
    {"ids", "{\"ids\":[1,2.0]}", "`ids` that are no integers"},
    {"ids", "{\"ids\":[-1]}", "id that is not in the vocabulary"},
    {"ids", "{\"ids\":[2147483648]}", "id that is not in the vocabulary"},
    {"pair", "{\"answer\":\"a\"}", "no prompt"},
    {"pair", "{\"prompt\":\"a\"}", "no answer"},
    {"pair", "{\"prompt\":\"a\",\"answer\":\" \\n\"}", "empty answer"},
    {"pair", "{\"prompt\":\"a\",\"answer\":[]}", "empty answer"},
    {"pair", "{\"prompt\":1,\"answer\":\"a\"}",
     "prompt that is neither a string nor a list of messages"},
    {"pair", "{\"prompt\":\"a\",\"answer\":1}",
     "answer that is neither a string nor a message"},
    {"pair", "{\"prompt\":[],\"answer\":\"a\"}", "roles out of order"},
    {"pair", "{\"prompt\":[" USER "],\"answer\":" USER "}",
     "last message is not the assistant's"},
    {"chat", "{}", "no field `messages`"},
    {"chat", "{\"messages\":[]}", "no messages"},
    {"chat", "{\"messages\":\"x\"}", "messages is not a list"},
    {"chat", "{\"messages\":[" USER "]}",
     "last message is not the assistant's"},
    {"chat", "{\"messages\":[" SAYS "]}", "roles out of order"},
    {"chat", "{\"messages\":[" USER "," SAYS "," SAYS "]}",
     "roles out of order"},
    {"chat", "{\"messages\":[" USER "," USER "," SAYS "]}",
     "roles out of order"},
    {"chat",
     "{\"messages\":[" USER ",{\"role\":\"assistant\",\"content\":\"\"}]}",
     "empty answer"},
    {"chat", "{\"messages\":[" USER "," CALL "]}",
     "call of a tool that is not offered"},
    {"tulu3", "{\"messages\":[" USER "]}",
     "last message is not the assistant's"},
    {"helpsteer3", "{" HELP ",\"overall_preference\":1}", "no field `context`"},
    {"helpsteer3", "{\"context\":1," HELP ",\"overall_preference\":1}",
     "`context` that is neither a list nor a string"},
    {"helpsteer3", "{\"context\":\"c\"," HELP "}",
     "no `overall_preference` from -3 to 3"},
    {"helpsteer3", "{\"context\":\"c\"," HELP ",\"overall_preference\":4}",
     "no `overall_preference` from -3 to 3"},
    {"helpsteer3",
     "{\"context\":\"c\",\"response2\":\"b\","
     "\"overall_preference\":0}",
     "no response that is a string"},
    {"helpsteer3", "{\"context\":[" SAYS "]," HELP ",\"overall_preference\":0}",
     "roles out of order"},
    {"hellaswag", "{\"endings\":[\"a\"],\"label\":0}", "no field `ctx`"},
    {"hellaswag", "{\"ctx\":\"c\",\"label\":0}", "no list `endings`"},
    {"hellaswag", "{\"ctx\":\"c\",\"endings\":[\"a\"],\"label\":1}",
     "`label` that names no ending"},
    {"hellaswag", "{\"ctx\":\"c\",\"endings\":[\"a\"],\"label\":\"\"}",
     "`label` that names no ending"},
    {"hellaswag", "{\"ctx\":\"c\",\"endings\":[\"a\"],\"label\":\"0x\"}",
     "`label` that names no ending"},
    {"hellaswag", "{\"ctx\":\"c\",\"endings\":[\"\"],\"label\":\"0\"}",
     "empty answer"},
    {"squad", "{\"question\":\"q\",\"answers\":[]}", "no field `context`"},
    {"squad", "{\"context\":\"c\",\"question\":\"q\",\"answers\":[]}",
     "question without an answer"},
    {"squad",
     "{\"context\":\"c\",\"question\":\"q\",\"answers\":{\"text\":[1]}}",
     "answer that is no string"},
    {"squad", "{\"context\":\"c\",\"question\":\"q\",\"answers\":\"a\"}",
     "no list of answers"},
    {"squad_automodel",
     "{\"context\":\"c\",\"question\":\"q\",\"answers\":{\"text\":[\" \"]}}",
     "empty answer"},
    {"gsm8k", "{\"question\":\"q\"}", "no field `answer`"},
    {"gsm8k", "{\"question\":\"q\",\"answer\":\" \"}", "empty answer"},
    {"openmath", "{\"problem\":\"q\",\"generated_solution\":2}",
     "`generated_solution` that is no string"},
    {"packed_sft", "{\"input_ids\":[1],\"loss_mask\":[0]}",
     "no lists `input_ids`, `loss_mask`, `seq_start_id`"},
    {"packed_sft", "{\"input_ids\":[],\"loss_mask\":[],\"seq_start_id\":[]}",
     "empty document"},
    {"packed_sft",
     "{\"input_ids\":[1,2],\"loss_mask\":[0],\"seq_start_id\":[0]}",
     "`loss_mask` of another length than `input_ids`"},
    {"packed_sft",
     "{\"input_ids\":[1,2],\"loss_mask\":[0,2],\"seq_start_id\":[0]}",
     "`loss_mask` that is neither 0 nor 1"},
    {"packed_sft",
     "{\"input_ids\":[1,2],\"loss_mask\":[0,0],\"seq_start_id\":[1]}",
     "`seq_start_id` that does not begin with 0"},
    {"packed_sft",
     "{\"input_ids\":[1,2],\"loss_mask\":[0,0],\"seq_start_id\":[0,2]}",
     "`seq_start_id` beyond the row"},
    {"packed_sft",
     "{\"input_ids\":[1,2],\"loss_mask\":[0,0],\"seq_start_id\":[0,1,0]}",
     "`seq_start_id` that decreases"},
    {"packed_sft",
     "{\"input_ids\":[1,2],\"loss_mask\":[0,0],"
     "\"seq_start_id\":[]}",
     "no `seq_start_id`"},
};

static void
test_refused(void **state)
{
  (void)state;
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
    assert_string_equal(why_of(refusals[i].reader, refusals[i].record),
                        refusals[i].why);
}

static void
test_keys(void **state)
{
  char name[32];
  hy_reader_keys k = keys_for("squat", name);
  hy_reader *r;
  hy_record rec = {.text = "a", .n = 1};
  json_t *o = parse("{\"messages\":[]}", 15);
  const char *why;

  (void)state;
  hy_err_clear();
  assert_int_equal(hy_reader_new(&r, &k), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "squat"));
  assert_null(r);
  k = keys_for("tulu3+none", name);
  hy_err_clear();
  assert_int_equal(hy_reader_new(&r, &k), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "prepare.template"));
  k = keys_for("chat", name);
  k.chat = hy_chat_named("plain");
  k.options.budget = 9;
  hy_err_clear();
  assert_int_equal(hy_reader_new(&r, &k), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "can name no budget"));
  r = reader("chat");
  assert_int_equal(hy_reader_record(r, &rec, &why, take, NULL), HY_OK);
  assert_string_equal(why, "plain text, where this reader takes records");
  hy_reader_free(r);
  r = reader("auto+none");
  rec = (hy_record){.json = o};
  assert_int_equal(hy_reader_record(r, &rec, &why, take, NULL), HY_EDECK);
  assert_non_null(strstr(hy_err_text(), "prepare.template"));
  hy_reader_free(r);
  json_decref(o);
}

int
main(void)
{
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_keys)};

  open_tokenizer();
  return close_tokenizer(cmocka_run_group_tests(tests, NULL, NULL));
}
