/* tok_load.c: tokenizer.json to tables. What would change ids and is not
 * covered is refused by name. */
#include "text/tok_json.h"
#include "base/err.h"
#include "base/file.h"
#include "text/utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- vocabulary and added tokens ---- */

static int
set_token(hy_tok_json *l, const char *content, json_int_t id)
{
  hy_tok *t = l->t;

  if (id < 0 || id >= HY_TOK_ID_MAX)
    return hy_fail(HY_EDATA, "%s: token \"%s\" has the id %lld; ids are 0..%d",
                   l->path, content, (long long)id, HY_TOK_ID_MAX - 1);
  if (t->len[id] >= 0)
    return hy_fail(HY_EDATA,
                   "%s: tokens \"%s\" and \"%.*s\" have the same id %lld; "
                   "correct one of them",
                   l->path, content, t->len[id], l->bytes.data + t->off[id],
                   (long long)id);
  t->off[id] = l->bytes.len;
  hy_tok_unmap(content, strlen(content), &l->bytes);
  t->len[id] = (int32_t)(l->bytes.len - t->off[id]);
  return HY_OK;
}

/* Largest id of vocabulary and added tokens; sizes the tables. */
static int
count_ids(hy_tok_json *l, const json_t *added)
{
  json_int_t top = -1;
  const char *key;
  json_t *v;
  size_t i;

  json_object_foreach((json_t *)l->vocab, key, v)
  {
    if (!json_is_integer(v))
      return hy_tok_broken(l, "an id of model.vocab");
    if (json_integer_value(v) > top)
      top = json_integer_value(v);
  }
  json_array_foreach((json_t *)added, i, v)
  {
    const json_t *id = json_object_get(v, "id");

    if (!json_is_integer(id))
      return hy_tok_broken(l, "the id of an added token");
    if (json_integer_value(id) > top)
      top = json_integer_value(id);
  }
  if (top >= HY_TOK_ID_MAX || top < 0)
    return hy_fail(HY_EDATA, "%s: the largest id is %lld; ids are 0..%d",
                   l->path, (long long)top, HY_TOK_ID_MAX - 1);
  l->t->n = (int32_t)top + 1;
  l->t->off = hy_calloc((size_t)l->t->n, sizeof *l->t->off);
  l->t->len = hy_malloc((size_t)l->t->n * sizeof *l->t->len);
  memset(l->t->len, -1, (size_t)l->t->n * sizeof *l->t->len);
  l->t->special = hy_calloc((size_t)l->t->n, 1);
  return HY_OK;
}

static int
load_added(hy_tok_json *l, const json_t *o, hy_tok_added *a)
{
  const json_t *c = json_object_get(o, "content");
  const char *content = json_string_value(c);
  const json_t *in_vocab = content ? json_object_get(l->vocab, content) : NULL;
  json_int_t id = json_integer_value(json_object_get(o, "id"));
  int special, lstrip, rstrip, word, normalized, err;
  hy_buf b = {0};

  if (!content)
    return hy_tok_broken(l, "the content of an added token");
  err = hy_tok_only_keys(
      l, o, "added token key",
      " id content single_word lstrip rstrip normalized special ");
  if (err || (err = hy_tok_flag(l, o, "special", 0, &special)) ||
      (err = hy_tok_flag(l, o, "lstrip", 0, &lstrip)) ||
      (err = hy_tok_flag(l, o, "rstrip", 0, &rstrip)) ||
      (err = hy_tok_flag(l, o, "single_word", 0, &word)) ||
      (err = hy_tok_flag(l, o, "normalized", !special, &normalized)))
    return err;
  if (in_vocab && json_integer_value(in_vocab) != id)
    return hy_fail(HY_EDATA,
                   "%s: added token \"%s\" has the id %lld, the vocabulary "
                   "says %lld; correct one of them",
                   l->path, content, (long long)id,
                   (long long)json_integer_value(in_vocab));
  if (normalized && l->t->nfc)
    err = hy_tok_nfc(content, strlen(content), &b, NULL);
  else
    hy_buf_add(&b, content, strlen(content));
  /* decoded in the form that is matched, as the package does */
  if (!err && !in_vocab)
    err = set_token(l, b.data, id);
  *a = (hy_tok_added){hy_strdup(content),
                      b.data,
                      b.len,
                      (int32_t)id,
                      (unsigned char)special,
                      (unsigned char)lstrip,
                      (unsigned char)rstrip,
                      (unsigned char)word,
                      (unsigned char)normalized};
  /* the package does not know one again that normalization has changed */
  if (!err)
    l->t->special[id] = special && !strcmp(content, b.data);
  return err;
}

static int
load_tokens(hy_tok_json *l)
{
  const json_t *added = json_object_get(l->root, "added_tokens");
  hy_tok *t = l->t;
  const char *key;
  json_t *v;
  size_t i;
  int err;

  if (added && !json_is_array(added))
    return hy_tok_broken(l, "added_tokens");
  err = count_ids(l, added);
  if (err)
    return err;
  hy_tok_entries_new(t, json_object_size(l->vocab));
  json_object_foreach((json_t *)l->vocab, key, v)
  {
    if ((err = set_token(l, key, json_integer_value(v))))
      return err;
  }
  t->added = hy_calloc(json_array_size(added), sizeof *t->added);
  json_array_foreach((json_t *)added, i, v)
  {
    hy_tok_added *a = &t->added[i];

    t->n_added++;
    if ((err = load_added(l, v, a)))
      return err;
    hy_tok_trie_add(a->normalized ? &t->normal : &t->raw, a->text, a->len,
                    (int32_t)i);
    if (a->single_word && (err = hy_tok_word_new(t)))
      return err;
  }
  return HY_OK;
}

/* Entries go into the hash table once the bytes lie still. */
static int
index_tokens(hy_tok_json *l)
{
  hy_tok *t = l->t;
  hy_buf b = {0};
  const char *key;
  json_t *v;

  hy_buf_add(&l->bytes, "", 0);
  t->bytes = l->bytes.data;
  l->bytes = (hy_buf){0};
  memset(t->byte_id, -1, sizeof t->byte_id);
  json_object_foreach((json_t *)l->vocab, key, v)
  {
    int32_t id = (int32_t)json_integer_value(v);

    b.len = 0;
    if (!hy_tok_unmap(key, strlen(key), &b))
      continue; /* no text leads there */
    hy_tok_entry_add(t, id);
    if (b.len == 1)
      t->byte_id[(unsigned char)b.data[0]] = id;
  }
  free(b.data);
  for (int c = 0; c < 0xF5; c++) {
    if (t->byte_id[c] >= 0 || c == 0xC0 || c == 0xC1)
      continue; /* those two are in no text, as are F5 and after */
    t->holes = 1;
    if (t->unk < 0)
      return hy_fail(HY_EDATA,
                     "%s: the vocabulary has no token for the byte 0x%02X and "
                     "no unk_token; text would be lost; use a byte-level "
                     "vocabulary with all bytes",
                     l->path, (unsigned)c);
  }
  return HY_OK;
}

/* ---- the model ---- */

/* In text that the vocabulary lacks bytes for, unk_token stands for one byte;
 * what it is merged to would stand for an unknown number of them. */
static int
is_unk(const hy_tok_json *l, const json_t *const id[3])
{
  return json_integer_value(id[0]) == l->t->unk ||
         json_integer_value(id[1]) == l->t->unk ||
         json_integer_value(id[2]) == l->t->unk;
}

static int
load_merge(hy_tok_json *l, const json_t *m, size_t i)
{
  const char *a = NULL, *b = NULL, *s = json_string_value(m), *space;
  char *left = NULL, *both;
  const json_t *id[3];
  int err = HY_OK;

  if (s && (space = strchr(s, ' ')) && !strchr(space + 1, ' ')) {
    a = left = hy_strndup(s, (size_t)(space - s));
    b = space + 1;
  } else if (json_array_size(m) == 2) {
    a = json_string_value(json_array_get(m, 0));
    b = json_string_value(json_array_get(m, 1));
  }
  if (!a || !b || !*a || !*b) {
    free(left);
    return hy_fail(HY_EDATA,
                   "%s: merge number %zu is no pair of tokens; correct it",
                   l->path, i + 1);
  }
  both = hy_asprintf("%s%s", a, b);
  id[0] = json_object_get(l->vocab, a);
  id[1] = json_object_get(l->vocab, b);
  id[2] = json_object_get(l->vocab, both);
  if (!id[0] || !id[1] || !id[2])
    err = hy_fail(HY_EDATA,
                  "%s: merge number %zu, \"%s\" + \"%s\": \"%s\" is not in the "
                  "vocabulary; vocabulary and merges must belong together",
                  l->path, i + 1, a, b,
                  !id[0]   ? a
                  : !id[1] ? b
                           : both);
  else if (l->t->holes && is_unk(l, id))
    err = hy_tok_unsupported(l, "a merge with unk_token", both);
  else
    hy_tok_merge_add(l->t, (int32_t)json_integer_value(id[0]),
                     (int32_t)json_integer_value(id[1]), (int32_t)i,
                     (int32_t)json_integer_value(id[2]));
  free(left);
  free(both);
  return err;
}

static int
load_model(hy_tok_json *l, const json_t *m)
{
  static const char *affix[] = {"continuing_subword_prefix",
                                "end_of_word_suffix"};
  const json_t *merges = json_object_get(m, "merges");
  const json_t *dropout = json_object_get(m, "dropout");
  int flag, err;

  if (!json_is_object(m))
    return hy_tok_broken(l, "model");
  if (json_object_get(m, "type") && strcmp(hy_tok_type(m), "BPE"))
    return hy_tok_unsupported(l, "model", hy_tok_type(m));
  err = hy_tok_only_keys(
      l, m, "model key",
      " type dropout unk_token continuing_subword_prefix "
      "end_of_word_suffix fuse_unk byte_fallback ignore_merges "
      "vocab merges ");
  if (err)
    return err;
  if (!json_is_object(l->vocab) || !json_is_array(merges))
    return hy_tok_broken(l, "model.vocab or model.merges");
  if (dropout && !json_is_null(dropout) && json_number_value(dropout) != 0)
    return hy_tok_unsupported(l, "model.dropout", "not null");
  for (int i = 0; i < 2; i++) {
    const json_t *v = json_object_get(m, affix[i]);

    if (v && !json_is_null(v) && json_string_length(v) != 0)
      return hy_tok_unsupported(l, affix[i], json_string_value(v));
  }
  if ((err = hy_tok_flag(l, m, "byte_fallback", 0, &flag)))
    return err;
  if (flag)
    return hy_tok_unsupported(l, "model.byte_fallback", "true");
  if ((err = hy_tok_flag(l, m, "fuse_unk", 0, &flag)))
    return err;
  if (flag)
    return hy_tok_unsupported(l, "model.fuse_unk", "true");
  return hy_tok_flag(l, m, "ignore_merges", 0, &l->t->ignore_merges);
}

static int
load_tables(hy_tok_json *l, const json_t *m)
{
  const json_t *merges = json_object_get(m, "merges");
  const json_t *unk = json_object_get(m, "unk_token");
  json_t *v;
  size_t i;
  int err = load_tokens(l);

  if (!err && unk && !json_is_null(unk)) {
    const char *s = json_string_value(unk);

    if (!s || !(v = json_object_get(l->vocab, s)))
      return hy_fail(HY_EDATA, "%s: unk_token is not in the vocabulary",
                     l->path);
    l->t->unk = (int32_t)json_integer_value(v);
  }
  if (!err)
    err = index_tokens(l);
  if (err)
    return err;
  hy_tok_merges_new(l->t, json_array_size(merges));
  json_array_foreach((json_t *)merges, i, v)
  {
    if ((err = load_merge(l, v, i)))
      return err;
  }
  return HY_OK;
}

static int
load_root(hy_tok_json *l)
{
  const json_t *m = json_object_get(l->root, "model");
  const char *off[] = {"truncation", "padding"};
  int have_bytes = 0, err;

  if (!json_is_object(l->root))
    return hy_tok_broken(l, "the outermost object");
  err = hy_tok_only_keys(l, l->root, "key",
                         " version truncation padding added_tokens normalizer "
                         "pre_tokenizer post_processor decoder model ");
  for (int i = 0; i < 2 && !err; i++) {
    const json_t *v = json_object_get(l->root, off[i]);

    if (v && !json_is_null(v))
      err = hy_tok_unsupported(l, off[i], "not null");
  }
  l->vocab = json_object_get(m, "vocab");
  if (err || (err = load_model(l, m)) ||
      (err =
           hy_tok_load_normalizer(l, json_object_get(l->root, "normalizer"))) ||
      (err = hy_tok_load_pre(l, json_object_get(l->root, "pre_tokenizer"),
                             &have_bytes)) ||
      (err = hy_tok_load_decoder(l, json_object_get(l->root, "decoder"))))
    return err;
  if (!have_bytes)
    return hy_tok_unsupported(l, "pre_tokenizer",
                              "(none of the kind ByteLevel)");
  err = load_tables(l, m);
  return err ? err
             : hy_tok_load_post(l, json_object_get(l->root, "post_processor"));
}

/* ---- begin and end of text ---- */

static int
config_token(hy_tok *t, const json_t *cfg, const char *path, const char *key,
             int32_t *id)
{
  const json_t *v = json_object_get(cfg, key);
  const char *s =
      json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);

  if (!s)
    return HY_OK;
  *id = hy_tok_find(t, s);
  if (*id < 0)
    return hy_fail(HY_EDATA,
                   "%s: %s \"%s\" is not in tokenizer.json; the two files must "
                   "belong together",
                   path, key, s);
  return HY_OK;
}

static int
load_config(hy_tok *t, const char *path)
{
  json_error_t e;
  json_t *cfg;
  int err;

  if (!hy_path_exists(path)) {
    t->eos = hy_tok_find(t, "<|endoftext|>");
    if (t->eos < 0)
      t->eos = hy_tok_find(t, "</s>");
    t->bos = hy_tok_find(t, "<s>");
    return HY_OK;
  }
  cfg = json_load_file(path, 0, &e);
  if (!cfg)
    return hy_fail(HY_EFILE, "%s:%d: %s; correct or remove the file", path,
                   e.line, e.text);
  err = config_token(t, cfg, path, "eos_token", &t->eos);
  if (!err)
    err = config_token(t, cfg, path, "bos_token", &t->bos);
  json_decref(cfg);
  return err;
}

int
hy_tok_load(hy_tok *t, const char *path)
{
  int is_dir = hy_path_is_dir(path);
  char *dir = is_dir ? hy_strdup(path) : hy_path_dir(path);
  char *file = is_dir ? hy_path_join(path, "tokenizer.json") : hy_strdup(path);
  char *config = hy_path_join(dir, "tokenizer_config.json");
  hy_buf text = {0};
  hy_tok_json l = {t, file, NULL, NULL, {0}};
  json_error_t e;
  int err = hy_file_read(file, &text);

  if (!err) {
    hy_sha256 h;
    json_t *root = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &e);

    hy_sha256_init(&h);
    hy_sha256_add(&h, text.data, text.len);
    hy_sha256_hex(&h, t->hash);
    l.root = root;
    err = root ? load_root(&l)
               : hy_fail(HY_EFILE, "%s:%d: %s; give a tokenizer.json", file,
                         e.line, e.text);
    json_decref(root);
  }
  if (!err)
    err = load_config(t, config);
  free(l.bytes.data);
  free(text.data);
  free(config);
  free(file);
  free(dir);
  return err;
}
