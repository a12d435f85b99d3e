/* chat.h: conversations to text, by templates that have a name.
 *
 *   nemotron3            ChatML with a system block that is always there,
 *                        thoughts, tools as XML, tool answers in a user turn;
 *                        the words of the template of hymn's own tokenizers
 *   nemotron3_nano, nemotron3_super, nemotron3_ultra
 *                        the same in the words of the published models
 *   llama3               header tokens
 *   llama_nemotron, llama_nemotron_v1.5
 *                        the same for Llama-Nemotron models, whose thinking is
 *                        switched by the system text
 *   plain                "User: ...\n\nAssistant: ..." for models without chat
 *                        tokens
 *
 * A Jinja template is never executed: that of a tokenizer's folder is matched
 * to one of these by its hash or by marks in it (hy_chat_of_folder). */
#ifndef HYMN_TEXT_CHAT_H
#define HYMN_TEXT_CHAT_H

#include "base/mem.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct hy_chat hy_chat; /* one template; fields in chat_impl.h */

/** What a caller may choose; hy_chat_defaults sets the template's own. */
typedef struct {
  int generation_prompt; /* end with the opening of an assistant turn */
  int thinking;          /* that turn: 1 with, 0 without a thought; < 0: as the
                            template does when nothing is said */
  int truncate_history;  /* leave out thoughts before the last user turn */
  int64_t budget;        /* tokens of thought named in the last user turn; < 0:
                            none */
  int low_effort;        /* ask for little thought there */
} hy_chat_options;

/** No generation prompt, history without thoughts, nothing else. */
void hy_chat_defaults(hy_chat_options *o);

/** The template of that name, NULL: none. Names: hy_chat_names(). */
const hy_chat *hy_chat_named(const char *name);
/** All names in one text, with blanks between. */
const char *hy_chat_names(void);
const char *hy_chat_name(const hy_chat *c);
/** The token that ends a turn of the assistant, "" if none has that task. */
const char *hy_chat_end(const hy_chat *c);
/** Changes whenever what the template writes changes; part of what a packed
 *  file remembers. */
const char *hy_chat_hash(const hy_chat *c);

/** Can the template say what the options ask for? hy_chat_render refuses every
 *  conversation if not.
 *  \return 0, HY_EDECK (the text names template and option). */
int hy_chat_can(const hy_chat *c, const hy_chat_options *o);

/** The template that a tokenizer's folder (or tokenizer.json in it) asks for:
 *  chat_template.jinja, else chat_template of tokenizer_config.json.
 *  Not collective. \return 0, HY_EFILE (no template there, or none of hymn's
 *  matches; the text says which key to set). */
int hy_chat_of_folder(const hy_chat **c, const char *path);

/** The template of that name, "": that of the tokenizer's folder. Its tokens
 *  must be the tokenizer's: else they would become text, letter by letter.
 *  \param key   of the deck, for messages
 *  \param tok   NULL: its tokens are not looked for
 *  \param path  where the tokenizer is from
 *  Not collective. \return 0, HY_EDECK, or as hy_chat_of_folder; on error *c is
 *  NULL. */
int hy_chat_open(const hy_chat **c, const char *key, const char *name,
                 const hy_tok *tok, const char *path);

/** Text of a conversation, and where in it the assistant's words stand. An id
 *  is the assistant's if it starts at or after `from` and ends at or before
 * `to` (hy_tok_encode_at). */
typedef struct {
  size_t from, to; /* bytes: from the end of the generation prompt to the end
                      of the token that ends the turn */
  int turn;        /* number of the message */
} hy_chat_span;

typedef struct {
  hy_buf text;
  hy_chat_span *span;
  int n_span, cap_span;
} hy_chat_text;

void hy_chat_text_free(hy_chat_text *t);

/** Render; *t is emptied first.
 *  \param messages  [{role, content, reasoning_content?, tool_calls?}, ...]: an
 *                   optional system text, then turns of user, assistant and
 *                   (after a call) tool; the last may be anyone's
 *  \param tools     list of functions in JSON schema, or NULL
 *  \param why       [out] a fixed phrase when the conversation is refused
 *                   ("roles out of order", "message without content", ...);
 *                   *t is not defined then
 *  Not collective. \return 0 or HY_EDATA; sets no error text. */
int hy_chat_render(hy_chat_text *t, const hy_chat *c, const json_t *messages,
                   const json_t *tools, const hy_chat_options *o,
                   const char **why);

#endif
