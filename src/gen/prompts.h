/* prompts.h: prompts in, texts out, as JSON lines. */
#ifndef HYMN_GEN_PROMPTS_H
#define HYMN_GEN_PROMPTS_H

#include "text/tokenizer.h"
#include "deck/deck.h"

typedef struct {
  int64_t n;
  hy_ids *id;    /* (n) */
  int32_t *stop; /* (n): the id that ends a turn of the prompt's template; -1:
                    none */
} hy_prompts;

/** generate.prompt, or the lines of generate.input: {"text": ...} through the
 *  tokenizer, {"messages": [...], "tools": [...]} through a chat template and
 *  it, or {"ids": [...]} as they are. A text gets the tokenizer's begin of text
 *  when generate.bos says so and no template has put its own.
 *  \param tok    may be NULL when no prompt needs it
 *  \param path   where tok is from: its folder may name the chat template
 *  \param vocab  of the model: ids must be below
 *  Not collective. \return 0, HY_EDECK, HY_EFILE, HY_EDATA (file:line). */
int hy_prompts_read(hy_prompts *p, const hy_deck_generate *d, hy_tok *tok,
                    const char *path, int64_t vocab);
void hy_prompts_free(hy_prompts *p);

/** One output line {"text": ..., "ids": [...]} for the new ids; without a
 *  tokenizer only ids. 0 or HY_EDATA. */
int hy_prompts_line(hy_buf *out, const hy_tok *tok, const int32_t *id,
                    size_t n);

#endif
