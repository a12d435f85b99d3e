#include "prep/reader_impl.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static const hy_reader_row rows[] = {
#define HY_READER(name, needs_chat) {#name, hy_read_##name, needs_chat},
#include "prep/reader.def"
#undef HY_READER
};
#define N_ROWS (int)(sizeof rows / sizeof *rows)

const char *
hy_reader_names(void)
{
  static const char names[] =
#define HY_READER(name, needs_chat) " " #name
#include "prep/reader.def"
#undef HY_READER
      ;

  return names + 1;
}

int
hy_reader_new(hy_reader **out, const hy_reader_keys *keys)
{
  const hy_reader_row *row = NULL;
  hy_reader *r;

  *out = NULL;
  for (int i = 0; i < N_ROWS && !row; i++)
    if (!strcmp(rows[i].name, keys->name))
      row = &rows[i];
  if (!row)
    return hy_fail(HY_EDECK,
                   "prepare.reader: there is no reader '%s'; there are: %s",
                   keys->name, hy_reader_names());
  if (row->needs_chat && !keys->chat)
    return hy_fail(HY_EDECK,
                   "prepare.template: reader '%s' needs a chat template; set "
                   "one of: %s",
                   row->name, hy_chat_names());
  if (keys->chat && hy_chat_can(keys->chat, &keys->options))
    return HY_EDECK;
  r = hy_calloc(1, sizeof *r);
  r->keys = *keys;
  r->row = row;
  r->all = !strcmp(keys->loss, "all");
  *out = r;
  return HY_OK;
}

void
hy_reader_free(hy_reader *r)
{
  if (!r)
    return;
  hy_doc_free(&r->doc);
  hy_chat_text_free(&r->chat);
  free(r);
}

int
hy_reader_record(hy_reader *r, const hy_record *rec, const char **why,
                 hy_doc_fn *add, void *arg)
{
  *why = rec->why;
  if (*why)
    return HY_OK;
  r->add = add;
  r->arg = arg;
  hy_doc_clear(&r->doc);
  if (rec->text && r->row->read != hy_read_auto &&
      r->row->read != hy_read_text) {
    *why = "plain text, where this reader takes records";
    return HY_OK;
  }
  if (rec->text)
    return hy_reader_text(r, rec->text, rec->n, why);
  return r->row->read(r, rec->json, why);
}

int
hy_reader_add(hy_reader *r)
{
  int err;

  r->doc.note = r->note;
  err = r->add(r->arg, &r->doc);
  hy_doc_clear(&r->doc);
  return err;
}

/* ---- by the fields of a record ---- */

#define FIELDS 4

static int
has_all(const json_t *o, const char *const field[FIELDS])
{
  for (int i = 0; i < FIELDS && field[i]; i++)
    if (!json_object_get(o, field[i]))
      return 0;
  return 1;
}

int
hy_read_auto(hy_reader *r, const json_t *o, const char **why)
{
  const struct {
    const char *field[FIELDS];
    hy_read_fn *read;
  } kinds[] = {
      {{"ids"}, hy_read_ids},
      {{"messages"}, hy_read_chat},
      {{"input_ids", "loss_mask", "seq_start_id"}, hy_read_packed_sft},
      {{r->keys.prompt, r->keys.answer}, hy_read_pair},
      {{"context", "response1", "response2", "overall_preference"},
       hy_read_helpsteer3},
      {{"context", "question", "answers"}, hy_read_squad},
      {{"ctx", "endings", "label"}, hy_read_hellaswag},
      {{"problem", "generated_solution"}, hy_read_openmath},
      {{r->keys.field}, hy_read_text}, /* which says what is wrong with it */
  };

  if (json_is_string(json_object_get(o, r->keys.field)))
    return hy_read_text(r, o, why);
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (has_all(o, kinds[i].field))
      return kinds[i].read(r, o, why);
  *why = "no field that is known";
  return HY_OK;
}
