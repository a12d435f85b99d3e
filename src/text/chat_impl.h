/* chat_impl.h: inside the chat templates; only chat*.c include it. */
#ifndef HYMN_TEXT_CHAT_IMPL_H
#define HYMN_TEXT_CHAT_IMPL_H

#include "text/chat.h"

/* A conversation on its way through a template. */
typedef struct {
  hy_chat_text *t;
  const hy_chat *c;
  const json_t *messages, *tools; /* tools: NULL or a list that is not empty */
  const hy_chat_options *o;
  size_t n;            /* messages */
  ptrdiff_t last_user; /* number of the last user turn, -1: none */
} hy_chat_run;

/* What distinguishes one use of ChatML from another. */
typedef struct {
  void (*tools)(hy_chat_run *r); /* their part of the system block */
  /* The turn of the assistant between its opening and its end. */
  void (*assistant)(hy_chat_run *r, const json_t *m, size_t turn);
  void (*argument)(hy_buf *b, const json_t *v); /* of a call */
  void (*answer)(hy_buf *b, const json_t *v);   /* of a tool */
  const char *close_thought;
  int keeps_space; /* before an answer whose thought is left out */
} hy_chat_style;

struct hy_chat {
  const char *name;
  const char *hash;          /* of what it writes; see test_chat.c */
  const char *end;           /* token that ends a turn, "": none */
  const char *const *tokens; /* others that a tokenizer must have; NULL: none */
  const char *effort; /* that it names in the last user turn, NULL: none */
  int budget;         /* 1: it can name a budget there */
  int tools;          /* 1: it has a form for tools and their calls */
  const hy_chat_style *style; /* of ChatML, else NULL */
  /* Write the conversation, which has passed hy_chat_check. */
  void (*write)(hy_chat_run *r);
};

extern const hy_chat hy_chat_nemotron3, hy_chat_nano, hy_chat_super,
    hy_chat_ultra, hy_chat_llama3, hy_chat_llama_v1, hy_chat_llama_v15,
    hy_chat_plain;

/** What is wrong with a conversation, whatever the template; NULL: nothing. */
const char *hy_chat_check(const json_t *messages, const json_t *tools);

/* chat.c: pieces that templates share. */
typedef struct {
  const char *s;
  size_t n;
} hy_chat_str;

/** Field of a message, or an empty string when it is no string. */
hy_chat_str hy_chat_field(const json_t *message, const char *name);
int hy_chat_is(const json_t *message, const char *role);
/** The system text, empty if there is none. */
hy_chat_str hy_chat_system(const hy_chat_run *r);
void hy_chat_put(hy_chat_run *r, const char *s);
void hy_chat_puts(hy_chat_run *r, hy_chat_str s);
/** Budget and effort after the text of the last user turn. */
void hy_chat_put_wishes(hy_chat_run *r, size_t turn);
/** Where the assistant's words of message `turn` begin, and where they end. */
void hy_chat_span_begin(hy_chat_run *r, size_t turn);
void hy_chat_span_end(hy_chat_run *r);
/** The thought of an assistant's message and what follows it: from
 *  reasoning_content, else from <think>...</think> in the content. */
void hy_chat_thought(const json_t *message, hy_chat_str *thought,
                     hy_chat_str *rest);
/** 1: the thought of message `turn` is written. */
int hy_chat_keeps_thought(const hy_chat_run *r, size_t turn);
/** Arguments of a call, which may be JSON in a string: a new reference to an
 *  object, NULL: they are something else. */
json_t *hy_chat_arguments(const json_t *call);
/** The part of a tool or a call that has name and parameters. */
const json_t *hy_chat_function(const json_t *tool);

/* chat_chatml.c */

/** Tokens of ChatML, for hy_chat.tokens. */
extern const char *const hy_chat_chatml_tokens[];
void hy_chat_write_chatml(hy_chat_run *r);
void hy_chat_open_turn(hy_chat_run *r, const char *role);
/** One call of a tool, without a line end after it. */
void hy_chat_call(hy_chat_run *r, const json_t *call);
/** <tag>v</tag> on a line of its own. */
void hy_chat_tag(hy_chat_run *r, const char *tag, const json_t *v,
                 void put(hy_buf *b, const json_t *v));
/** The same with str(v).strip(). */
void hy_chat_tag_text(hy_chat_run *r, const char *tag, const json_t *v);

/* chat_python.c: what Python's str, str.strip and json.dumps write. */

/** s without white space at its left, its right, both ends. */
hy_chat_str hy_chat_ltrim(hy_chat_str s);
hy_chat_str hy_chat_rtrim(hy_chat_str s);
hy_chat_str hy_chat_trim(hy_chat_str s);
/** First and last place of a word in s; NULL: not there. */
const char *hy_chat_first(hy_chat_str s, const char *word);
const char *hy_chat_last(hy_chat_str s, const char *word);
/** json.dumps(v, ensure_ascii=False). */
void hy_chat_json(hy_buf *b, const json_t *v);
/** str(v). */
void hy_chat_value(hy_buf *b, const json_t *v);

#endif
