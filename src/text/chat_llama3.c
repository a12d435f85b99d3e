/* llama3: one header for each turn. llama_nemotron and llama_nemotron_v1.5:
 * the same for the Llama-Nemotron models, whose thinking is switched by the
 * system text: "detailed thinking on" or "off", later "/think" or "/no_think".
 * Source: trl/chat_templates/llama3.jinja of huggingface/trl; model card and
 * template of Llama-3_3-Nemotron-Super-49B-v1; models/templates/
 * nvidia-Llama-3_3-Nemotron-Super-49B-v1_5.jinja of ggml-org/llama.cpp. */
#include "text/chat_impl.h"

#include <string.h>

static void
open_turn(hy_chat_run *r, const char *role)
{
  hy_chat_put(r, "<|start_header_id|>");
  hy_chat_put(r, role);
  hy_chat_put(r, "<|end_header_id|>\n\n");
}

static void
shut_turn(hy_chat_run *r)
{
  hy_chat_put(r, "<|eot_id|>");
}

/* The published templates show no thought at all; what is to be learned, and
 * history that the caller wants whole, has to keep it. */
static int
keeps(const hy_chat_run *r, size_t turn)
{
  return hy_chat_keeps_thought(r, turn) &&
         !(r->o->generation_prompt && r->o->truncate_history);
}

/* The words of the assistant without or with thoughts. */
static hy_chat_str
words(hy_chat_run *r, const json_t *m, size_t turn, int cut)
{
  static const char shut[] = "</think>";
  hy_chat_str own = hy_chat_trim(hy_chat_field(m, "reasoning_content"));
  hy_chat_str all = hy_chat_field(m, "content");
  const char *p;

  if (keeps(r, turn)) {
    if (own.n > 0) {
      hy_chat_put(r, "<think>\n");
      hy_chat_puts(r, own);
      hy_chat_put(r, "\n</think>\n\n");
    }
    return all;
  }
  p = cut ? hy_chat_last(all, shut) : NULL;
  if (!p)
    return all;
  p += strlen(shut);
  return hy_chat_ltrim((hy_chat_str){p, (size_t)(all.s + all.n - p)});
}

/* Turns after the system text, each with its content trimmed. */
static void
put_turns(hy_chat_run *r, int cut)
{
  for (size_t i = 0; i < r->n; i++) {
    const json_t *m = json_array_get(r->messages, i);

    if (hy_chat_is(m, "system"))
      continue;
    open_turn(r, hy_chat_field(m, "role").s);
    if (hy_chat_is(m, "assistant")) {
      hy_chat_span_begin(r, i);
      hy_chat_puts(r, hy_chat_trim(words(r, m, i, cut)));
      shut_turn(r);
      hy_chat_span_end(r);
    } else {
      hy_chat_puts(r, hy_chat_trim(hy_chat_field(m, "content")));
      shut_turn(r);
    }
  }
  if (r->o->generation_prompt)
    open_turn(r, "assistant");
}

/* The text with every `from` put as `to`. */
static void
put_replaced(hy_chat_run *r, hy_chat_str s, const char *from, const char *to)
{
  for (const char *p = hy_chat_first(s, from); p; p = hy_chat_first(s, from)) {
    hy_chat_puts(r, (hy_chat_str){s.s, (size_t)(p - s.s)});
    hy_chat_put(r, to);
    s.n -= (size_t)(p - s.s) + strlen(from);
    s.s = p + strlen(from);
  }
  hy_chat_puts(r, s);
}

/* The system block. A switch that the conversation has is set as the caller
 * says, else it is put at the head. */
static void
put_system(hy_chat_run *r, int always)
{
  static const char on[] = "detailed thinking on";
  static const char off[] = "detailed thinking off";
  hy_chat_str text = hy_chat_trim(hy_chat_system(r));
  int there = hy_chat_is(json_array_get(r->messages, 0), "system");
  int want = r->o->thinking;
  int set = hy_chat_first(text, on) || hy_chat_first(text, off);

  hy_chat_put(r, "<|begin_of_text|>");
  if (!always && !there && want < 0)
    return;
  open_turn(r, "system");
  if (want >= 0 && !set) {
    hy_chat_put(r, want ? on : off);
    hy_chat_put(r, text.n > 0 ? "\n\n" : "");
  }
  if (want >= 0)
    put_replaced(r, text, want ? off : on, want ? on : off);
  else
    hy_chat_puts(r, text);
  shut_turn(r);
}

static void
write_llama3(hy_chat_run *r)
{
  put_system(r, 0);
  put_turns(r, 0);
}

static void
write_v1(hy_chat_run *r)
{
  put_system(r, 1);
  put_turns(r, 1);
}

/* The switch of v1.5 is taken out of the system text; without thoughts the
 * prompt closes one at once. \return 1: with thoughts */
static int
put_system_v15(hy_chat_run *r)
{
  hy_chat_str text = hy_chat_system(r);
  const char *word = hy_chat_first(text, "/no_think") ? "/no_think"
                     : hy_chat_first(text, "/think")  ? "/think"
                                                      : NULL;
  int think = !(word && word[1] == 'n');
  hy_buf *b = &r->t->text;
  size_t start = b->len;
  hy_chat_str left;

  if (word) {
    put_replaced(r, text, word, "");
    left = hy_chat_trim((hy_chat_str){b->data + start, b->len - start});
    memmove(b->data + start, left.s, left.n);
    b->len = start + left.n;
  } else {
    hy_chat_puts(r, text);
  }
  hy_chat_put(r, text.n > 0 ? "\n\n" : "");
  return r->o->thinking < 0 ? think : r->o->thinking;
}

static void
put_tools_v15(hy_chat_run *r)
{
  const json_t *tool;
  size_t i;

  hy_chat_put(r, "You can use the following tools to assist the user if "
                 "required:\n<AVAILABLE_TOOLS>[");
  json_array_foreach(r->tools, i, tool)
  {
    hy_chat_put(r, i > 0 ? ", " : "");
    hy_chat_json(&r->t->text, hy_chat_function(tool));
  }
  hy_chat_put(
      r, "]</AVAILABLE_TOOLS>\n\nIf you decide to call any tool(s), use the "
         "following format:\n<TOOLCALL>[{{\"name\": \"tool_name1\", "
         "\"arguments\": \"tool_args1\"}}, {{\"name\": \"tool_name2\", "
         "\"arguments\": \"tool_args2\"}}]</TOOLCALL>\n\nResponse from "
         "tool(s) will be returned in this format:\n"
         "<TOOL_RESPONSE>[{{\"response\": \"tool_response1\"}}, "
         "{{\"response\": \"tool_response2\"}}]</TOOL_RESPONSE>\n\n"
         "Based on the results returned by the tool(s), you can call "
         "additional tools if needed, correct tool calls if any errors are "
         "found, or just respond with the answer to the user.");
}

static void
put_calls_v15(hy_chat_run *r, const json_t *calls)
{
  const json_t *call;
  size_t i;

  if (json_array_size(calls) == 0)
    return;
  hy_chat_put(r, "<TOOLCALL>[");
  json_array_foreach(calls, i, call)
  {
    const json_t *f = hy_chat_function(call);
    const json_t *arguments = json_object_get(f, "arguments");

    hy_chat_put(r, i > 0 ? ", {\"name\": \"" : "{\"name\": \"");
    hy_chat_puts(r, hy_chat_field(f, "name"));
    hy_chat_put(r, "\", \"arguments\": ");
    if (json_is_string(arguments))
      hy_chat_value(&r->t->text, arguments);
    else if (arguments)
      hy_chat_json(&r->t->text, arguments);
    else
      hy_chat_put(r, "{}");
    hy_chat_put(r, "}");
  }
  hy_chat_put(r, "]</TOOLCALL>");
}

static void
put_answer_v15(hy_chat_run *r, const json_t *m, size_t turn)
{
  if (hy_chat_is(json_array_get(r->messages, turn - 1), "tool")) {
    hy_chat_put(r, ", ");
  } else {
    open_turn(r, "tool");
    hy_chat_put(r, "<TOOL_RESPONSE>[");
  }
  hy_chat_value(&r->t->text, json_object_get(m, "content"));
  if (!hy_chat_is(json_array_get(r->messages, turn + 1), "tool")) {
    hy_chat_put(r, "]</TOOL_RESPONSE>");
    shut_turn(r);
  }
}

static void
put_turn_v15(hy_chat_run *r, const json_t *m, size_t turn)
{
  if (hy_chat_is(m, "tool")) {
    put_answer_v15(r, m, turn);
  } else if (hy_chat_is(m, "assistant")) {
    open_turn(r, "assistant");
    hy_chat_span_begin(r, turn);
    hy_chat_puts(r, words(r, m, turn, 1));
    put_calls_v15(r, json_object_get(m, "tool_calls"));
    shut_turn(r);
    hy_chat_span_end(r);
  } else if (hy_chat_is(m, "user")) {
    open_turn(r, "user");
    hy_chat_puts(r, hy_chat_field(m, "content"));
    shut_turn(r);
  }
}

static void
write_v15(hy_chat_run *r)
{
  int think;

  hy_chat_put(r, "<|begin_of_text|>");
  open_turn(r, "system");
  think = put_system_v15(r);
  if (r->tools)
    put_tools_v15(r);
  shut_turn(r);
  for (size_t i = 0; i < r->n; i++)
    put_turn_v15(r, json_array_get(r->messages, i), i);
  if (!r->o->generation_prompt)
    return;
  open_turn(r, "assistant");
  hy_chat_put(r, think ? "" : "<think>\n\n</think>\n\n");
}

static const char *const tokens[] = {"<|begin_of_text|>", "<|start_header_id|>",
                                     "<|end_header_id|>", NULL};

const hy_chat hy_chat_llama3 = {
    .name = "llama3",
    .hash = "641d90fa5e7e1853b15ba36af73d271b3fb8de9b35d6fc82a08e194ce326a261",
    .end = "<|eot_id|>",
    .tokens = tokens,
    .write = write_llama3};

const hy_chat hy_chat_llama_v1 = {
    .name = "llama_nemotron",
    .hash = "6ef3a9bae00b69ac05c0020a5fac192200200de7fdebcd4e0ac79c990264dc65",
    .end = "<|eot_id|>",
    .tokens = tokens,
    .write = write_v1};

const hy_chat hy_chat_llama_v15 = {
    .name = "llama_nemotron_v1.5",
    .hash = "bccb2504ad033097fb0f51c32dfd83632c9b10122c41bffd000519fa9989063d",
    .end = "<|eot_id|>",
    .tokens = tokens,
    .tools = 1,
    .write = write_v15};
