/* targets_text.c: decks, records and their readers, prompts, tokenizers. */
#include "fuzz.h"
#include "base/err.h"
#include "base/mem.h"
#include "deck/deck.h"
#include "gen/prompts.h"
#include "prep/reader.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* A deck that is accepted reads back what it prints. */
void
hy_fuzz_deck(const uint8_t *data, size_t n)
{
  hy_deck a, b;
  hy_buf first = {0}, again = {0};
  char *path = hy_fuzz_put("a.nml", data, n);
  int err;

  hy_deck_init(&a);
  err = hy_deck_read(&a, path);
  hy_fuzz_judge(err);
  if (!err) {
    hy_deck_init(&b);
    hy_deck_print(&a, &first, 1);
    hy_fuzz_demand(!hy_deck_parse(&b, first.data, "again", NULL));
    hy_deck_print(&b, &again, 1);
    hy_fuzz_demand(!strcmp(first.data, again.data));
    hy_deck_free(&b);
  }
  hy_deck_free(&a);
  free(first.data);
  free(again.data);
  hy_fuzz_drop(path);
}

/* ---- records ---- */

/* Word i, modulo their number, of words with blanks between; the caller frees
 * it. */
static char *
word_of(const char *words, unsigned i)
{
  const char *w, *end;
  unsigned n = 0;

  for (w = words; *w; w = end + strspn(end, " "), n++)
    end = w + strcspn(w, " ");
  for (w = words, i %= n; i > 0; i--) {
    w += strcspn(w, " ");
    w += strspn(w, " ");
  }
  return hy_strndup(w, strcspn(w, " "));
}

/* The tokenizer of the fixtures, read once. */
static hy_tok *tok;

static void
free_tokenizer(void)
{
  hy_tok_free(tok);
}

static hy_tok *
tokenizer(void)
{
  const char *src = getenv("HYMN_SRCDIR");
  char *path;

  if (!tok) {
    path = hy_asprintf("%s/regression/fixtures/tokenizer", src ? src : ".");
    if (hy_tok_open(&tok, path))
      hy_die(HY_EFILE, "%s", hy_err_text());
    free(path);
    atexit(free_tokenizer);
  }
  return tok;
}

static int
take_doc(void *arg, const hy_doc *d)
{
  hy_ids ids = {0};
  hy_weights w = {0};
  const char *why;
  int64_t n_bad = 0;
  int err = hy_doc_encode(d, tokenizer(), 0, &ids, &w, &n_bad, &why);

  (void)arg;
  hy_fuzz_demand(err || ids.n == w.n);
  hy_fuzz_demand(err || (ids.n == 0) == (why != NULL));
  free(ids.id);
  free(w.v);
  return err;
}

static int
read_shard(const hy_input *in, int64_t shard, hy_reader *reader)
{
  hy_records *r;
  hy_record rec;
  const char *why;
  int more = 1, err = hy_records_open(&r, in, shard);

  while (!err && more) {
    err = hy_records_next(r, &rec, &more);
    if (!err && more) {
      free(hy_records_where(r));
      err = hy_reader_record(reader, &rec, &why, take_doc, NULL);
      hy_fuzz_demand(err || !rec.why || why == rec.why);
    }
  }
  hy_records_close(r);
  return err;
}

/* Three letters choose reader, template and kind of file; the rest is it. */
void
hy_fuzz_records(const uint8_t *data, size_t n)
{
  static const char kinds[] = "jsonl json txt jsonl.gz json.zst parquet";
  hy_reader_keys keys = {.field = "text",
                         .prompt = "",
                         .answer = "",
                         .loss = "auto",
                         .turns = "auto",
                         .preference = "chosen"};
  char *name, *kind, *chat, *file, *path;
  hy_reader *reader = NULL;
  hy_input in = {0};
  int64_t i;
  int err;

  if (n < 3)
    return;
  name = word_of(hy_reader_names(), data[0] - 'a');
  chat = word_of(hy_chat_names(), data[1] - 'a');
  kind = word_of(kinds, data[2] - 'a');
  file = hy_asprintf("a.%s", kind);
  path = hy_fuzz_put(file, data + 3, n - 3);
  keys.name = name;
  keys.chat = hy_chat_named(chat);
  keys.templated = data[1] >= 'i';
  hy_chat_defaults(&keys.options);
  err = hy_reader_new(&reader, &keys);
  if (!err)
    err = hy_input_measure(&in, path, 50);
  for (i = 0; !err && i < in.n_shards && i < 100; i++)
    err = read_shard(&in, i, reader);
  hy_fuzz_judge(err);
  hy_input_free(&in);
  hy_reader_free(reader);
  hy_fuzz_drop(path);
  free(file);
  free(name);
  free(chat);
  free(kind);
}

/* A letter chooses the template, the rest is generate.input. */
void
hy_fuzz_prompts(const uint8_t *data, size_t n)
{
  char *path, *chat;
  hy_prompts p = {0};
  hy_deck d;
  int64_t i;
  size_t k;
  int err;

  if (n < 1)
    return;
  path = hy_fuzz_put("a.jsonl", data + 1, n - 1);
  chat = word_of(hy_chat_names(), data[0] - 'a');
  hy_deck_init(&d);
  hy_fuzz_demand(!hy_deck_fill(&d, "generate.template", chat, "fuzz"));
  hy_fuzz_demand(!hy_deck_fill(&d, "generate.input", path, "fuzz"));
  err = hy_prompts_read(&p, &d.generate, tokenizer(), path, 4096);
  hy_fuzz_judge(err);
  for (i = 0; !err && i < p.n; i++)
    for (k = 0; k < p.id[i].n; k++)
      hy_fuzz_demand(p.id[i].id[k] >= 0 && p.id[i].id[k] < 4096);
  hy_prompts_free(&p);
  hy_deck_free(&d);
  hy_fuzz_drop(path);
  free(chat);
}

/* ---- tokenizer.json ---- */

/* Ids of a text have places in order, and give text again. */
static void
encode(hy_tok *t, const char *text, size_t n)
{
  hy_ids ids = {0}, same = {0};
  hy_tok_places at = {0};
  hy_buf out = {0};
  int err = hy_tok_encode(t, text, n, 0, &ids, NULL);
  size_t i;

  hy_fuzz_judge(err);
  for (i = 0; i < ids.n; i++)
    hy_fuzz_demand(ids.id[i] >= 0 && ids.id[i] < hy_tok_n(t));
  if (!err) {
    hy_fuzz_judge(hy_tok_decode(t, ids.id, ids.n, 0, &out));
    hy_fuzz_demand(hy_utf8_ok(out.data ? out.data : "", out.len));
  }
  if (!err && hy_utf8_ok(text, n)) {
    hy_fuzz_judge(hy_tok_encode_at(t, text, n, 0, &same, &at));
    hy_fuzz_demand(same.n == at.n && same.n == ids.n);
    for (i = 0; i < at.n; i++)
      hy_fuzz_demand(same.id[i] == ids.id[i] && at.v[i].from >= 0 &&
                     at.v[i].from <= at.v[i].to && (size_t)at.v[i].to <= n);
  }
  free(ids.id);
  free(same.id);
  free(at.v);
  free(out.data);
}

/* Append the 256 entries that a vocabulary needs, ids 0 .. 255: printable
 * characters of Latin-1 are their bytes, the others U+0100 and after. */
static void
add_bytes(hy_buf *out)
{
  uint32_t next = 256, c;
  char s[5];

  for (unsigned b = 0; b < 256; b++) {
    c = (b > 32 && b < 127) || (b > 160 && b != 173) ? b : next++;
    s[hy_utf8_put(c, s)] = '\0';
    hy_buf_printf(out, "%s\"%s%s\":%u", b ? "," : "",
                  b == '"' || b == '\\' ? "\\" : "", s, b);
  }
}

/* In the file "*":0 stands for the 256 bytes. */
void
hy_fuzz_tokenizer(const uint8_t *data, size_t n)
{
  static const char mark[] = "\"*\":0";
  static const char text[] =
      "Hello  it's 12345 \t\n\n caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC <s>ab</s> "
      "e\xCC\x81 <|endoftext|>\xFF x";
  const uint8_t *all = memmem(data, n, mark, sizeof mark - 1);
  const int32_t *a, *b;
  int n_a, n_b, err;
  hy_buf file = {0};
  char *path;
  hy_tok *t;

  hy_buf_add(&file, data, all ? (size_t)(all - data) : n);
  if (all) {
    add_bytes(&file);
    all += sizeof mark - 1;
    hy_buf_add(&file, all, n - (size_t)(all - data));
  }
  path = hy_fuzz_put("tokenizer.json", file.data, file.len);
  err = hy_tok_open(&t, path);
  hy_fuzz_judge(err);
  hy_fuzz_demand((err != 0) == (t == NULL));
  if (t) {
    encode(t, text, sizeof text - 1);
    encode(t, text, 30); /* is UTF-8 */
    encode(t, (const char *)data, n < 500 ? n : 500);
    hy_tok_around(t, &a, &n_a, &b, &n_b);
    hy_fuzz_demand(hy_tok_eos(t) < hy_tok_n(t) && hy_tok_bos(t) < hy_tok_n(t));
  }
  hy_tok_free(t);
  hy_fuzz_drop(path);
  free(file.data);
}
