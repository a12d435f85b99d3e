/* prepare_head.c: what the files of the job tell of themselves. */
#include "base/err.h"
#include "base/file.h"
#include "base/lineage.h"
#include "base/version.h"
#include "prep/prepare_impl.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>

/* ---- keys ---- */

/* Keys of &prepare without a say in what comes out; what they name is hashed
 * instead. */
static const char *const names_only[] = {
    "input",    "blend",    "output",      "format",    "tokenizer",
    "template", "on_error", "shard_bytes", "keep_parts"};
/* Those that have one, but not on parts. */
static const char *const after_parts[] = {"seq_len", "packing", "over_long",
                                          "split"};

typedef struct {
  json_t *keys;
  const char *group;
  int parts;
} key_list;

static int
is_in(const char *key, const char *const *list, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (!strcmp(key, list[i]))
      return 1;
  return 0;
}

#define IS_IN(key, list) is_in(key, list, sizeof list / sizeof *list)

static void
add_key(void *arg, const char *key, const char *value)
{
  const key_list *l = arg;
  char *name;

  if (IS_IN(key, names_only) || (l->parts && IS_IN(key, after_parts)) ||
      !strcmp(key, "decontaminate"))
    return;
  name = hy_asprintf("%s.%s", l->group, key);
  json_object_set_new(l->keys, name, json_string(value));
  free(name);
}

/* parts: those that parts depend on. */
static json_t *
keys_of(const hy_prep *p, int parts)
{
  key_list l = {json_object(), "prepare", parts};

  hy_deck_each(p->deck, l.group, add_key, &l);
  if (p->filters) {
    l.group = "curate";
    hy_deck_each(p->deck, l.group, add_key, &l);
    json_object_set_new(l.keys, "curate",
                        json_string(hy_curate_hash(p->curate)));
  }
  return l.keys;
}

static char *
text_of(json_t *o)
{
  char *text = json_dumps(o, JSON_COMPACT);

  json_decref(o);
  return text;
}

void
hy_prep_run_hash(hy_prep *p)
{
  char *keys = text_of(keys_of(p, 1));
  hy_buf b = {0};
  hy_sha256 s;

  hy_buf_printf(&b, "%s\n%s\n%s\n%s\n%d\n", hy_version(), keys,
                p->tok ? hy_tok_hash(p->tok) : "",
                p->chat ? hy_chat_hash(p->chat) : "", (int)p->eos);
  hy_sha256_init(&s);
  hy_sha256_add(&s, b.data, b.len);
  hy_sha256_hex(&s, p->run);
  free(b.data);
  free(keys);
}

void
hy_prep_whole_hash(const hy_prep *p, char hash[HY_SHA_HEX])
{
  char *keys = text_of(keys_of(p, 0));
  hy_buf b = {0};
  hy_sha256 s;

  hy_buf_printf(&b, "%s\n%s\n%s\n%lld\n", p->run, keys, p->d->format,
                (long long)p->deck->job.seed);
  for (int i = 0; i < p->n_src; i++)
    hy_buf_printf(&b, "%s\n", p->src[i].in.sha);
  hy_sha256_init(&s);
  hy_sha256_add(&s, b.data, b.len);
  hy_sha256_hex(&s, hash);
  free(b.data);
  free(keys);
}

/* ---- sources, lineage ---- */

/* The name without its folder, as UTF-8; the caller frees it. */
static char *
base_name(const char *path)
{
  hy_buf b = {0};

  path = hy_path_name(path);
  hy_utf8_repair(path, strlen(path), &b);
  return b.data;
}

static json_t *
sources_of(const hy_prep *p)
{
  json_t *list = json_array();

  for (int i = 0; i < p->n_src; i++) {
    const hy_prep_source *s = &p->src[i];
    char *name = base_name(s->in.path);

    json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}",
                                          "file", name, "sha256", s->in.sha,
                                          "bytes", (json_int_t)s->in.bytes,
                                          "documents", (json_int_t)s->n_docs,
                                          "tokens", (json_int_t)s->n_tokens,
                                          "bad_utf8", (json_int_t)s->n_bad));
    free(name);
  }
  return list;
}

/* As base/lineage.h has it. */
static json_t *
lineage_of(const hy_prep *p)
{
  json_t *list = json_array();

  for (int i = 0; i < p->n_src; i++)
    json_array_append_new(list, json_pack("{s:s, s:s}", "kind", "input",
                                          "content", p->src[i].in.sha));
  if (p->tok)
    json_array_append_new(list, json_pack("{s:s, s:s}", "kind", "tokenizer",
                                          "content", hy_tok_hash(p->tok)));
  if (p->chat)
    json_array_append_new(list, json_pack("{s:s, s:s}", "kind", "chat template",
                                          "content", hy_chat_hash(p->chat)));
  if (p->filters)
    json_array_append_new(list,
                          json_pack("{s:s, s:s}", "kind", "curation", "content",
                                    hy_curate_hash(p->curate)));
  return list;
}

static json_t *
notes_of(const hy_prep *p, int f)
{
  json_t *all = hy_tally_json(&p->notes), *own;

  own = hy_tally_json(&p->file[f].notes);
  json_object_update(all, own);
  json_decref(own);
  return all;
}

/* ---- heads ---- */

void
hy_prep_head(const hy_prep *p, int f, hy_packed_head *head)
{
  const hy_prep_file *file = &p->file[f];
  json_t *keys = keys_of(p, 0);

  if (p->n_files > 1)
    json_object_set_new(keys, "file", json_string(hy_split_name[f]));
  *head = (hy_packed_head){
      .n_tokens = file->n_tokens,
      .n_docs = file->n_docs,
      .n_rows = file->n_rows,
      .weights = p->weights,
      .seq_len = p->d->seq_len,
      .vocab = p->tok ? hy_tok_n(p->tok) : p->top + 1,
      .seed = p->deck->job.seed,
      .eos = p->eos,
      .packing = p->d->packing,
      .tok_hash = p->tok ? hy_tok_hash(p->tok) : "",
      .chat_hash = p->chat ? hy_chat_hash(p->chat) : "",
      .keys = text_of(keys),
      .sources = text_of(sources_of(p)),
      .dropped = text_of(hy_tally_json(&p->dropped)),
      .notes = text_of(notes_of(p, f)),
      .lineage = text_of(lineage_of(p)),
  };
}

void
hy_prep_head_free(hy_packed_head *head)
{
  free((char *)(uintptr_t)head->keys);
  free((char *)(uintptr_t)head->sources);
  free((char *)(uintptr_t)head->dropped);
  free((char *)(uintptr_t)head->notes);
  free((char *)(uintptr_t)head->lineage);
}

int
hy_prep_side_files(const hy_prep *p, int f, const hy_packed_head *head)
{
  const hy_prep_file *file = &p->file[f];
  json_t *o = json_pack(
      "{s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:s}",
      "format", "hymn prepared indexed data", "documents",
      (json_int_t)head->n_docs, "tokens", (json_int_t)head->n_tokens, "vocab",
      (json_int_t)head->vocab, "eos", (json_int_t)head->eos, "seed",
      (json_int_t)head->seed, "tokenizer", head->tok_hash, "template",
      head->chat_hash, "keys", keys_of(p, 0), "sources", sources_of(p),
      "dropped", hy_tally_json(&p->dropped), "notes", notes_of(p, f),
      "content_hash", file->hash, "code", hy_version());
  char *path = hy_asprintf("%s.prepared.json", file->path);
  char *note = hy_asprintf("%s.lineage.json", file->path);
  char *text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
  int err = hy_file_write(path, text, strlen(text));

  if (!err)
    err = hy_lineage_write(note, "indexed data", file->hash, head->lineage);
  json_decref(o);
  free(text);
  free(note);
  free(path);
  return err;
}
