/* plain: names of the speakers in words, for models without chat tokens. */
#include "text/chat_impl.h"

static const char *
speaker(const json_t *m)
{
  return hy_chat_is(m, "system") ? "System:"
         : hy_chat_is(m, "user") ? "User:"
                                 : "Assistant:";
}

/* The space before the answer is the assistant's: in byte-level BPE it belongs
 * to the first word. */
static void
write(hy_chat_run *r)
{
  for (size_t i = 0; i < r->n; i++) {
    const json_t *m = json_array_get(r->messages, i);
    int assistant = hy_chat_is(m, "assistant");
    hy_chat_str thought, rest;

    hy_chat_put(r, i > 0 ? "\n\n" : "");
    hy_chat_put(r, speaker(m));
    if (assistant)
      hy_chat_span_begin(r, i);
    hy_chat_put(r, " ");
    hy_chat_thought(m, &thought, &rest);
    if (assistant && thought.n > 0 && hy_chat_keeps_thought(r, i)) {
      hy_chat_put(r, "<think>\n");
      hy_chat_puts(r, thought);
      hy_chat_put(r, "\n</think>\n\n");
    }
    hy_chat_puts(r, assistant ? rest : hy_chat_field(m, "content"));
    if (assistant)
      hy_chat_span_end(r);
  }
  if (r->o->generation_prompt)
    hy_chat_put(r, "\n\nAssistant:");
}

const hy_chat hy_chat_plain = {
    .name = "plain",
    .hash = "4076a395a0dc8bb28fb0e1a43b26f77ab4b6a43c3073f03a76e44c17a8051f6e",
    .end = "",
    .write = write};
