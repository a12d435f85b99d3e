/* tok_parts.c: reading the small parts of tokenizer.json: normalizer,
 * pre-tokenizers, decoder; and the checks that all readers share. */
#include "text/tok_json.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

int
hy_tok_unsupported(const hy_tok_json *l, const char *what, const char *value)
{
  return hy_fail(HY_EFILE,
                 "%s: %s \"%s\" is not supported; use a byte-level BPE "
                 "tokenizer without it",
                 l->path, what, value);
}

int
hy_tok_broken(const hy_tok_json *l, const char *what)
{
  return hy_fail(
      HY_EFILE,
      "%s: %s is missing or of the wrong type; give a tokenizer.json "
      "of the byte-level BPE kind",
      l->path, what);
}

/* Every key of o must be in `known`, a list in one text: " a b c ". */
int
hy_tok_only_keys(const hy_tok_json *l, const json_t *o, const char *what,
                 const char *known)
{
  const char *key;
  json_t *v;

  json_object_foreach((json_t *)o, key, v)
  {
    char *word = hy_asprintf(" %s ", key);
    int found = strstr(known, word) != NULL;

    free(word);
    if (!found)
      return hy_tok_unsupported(l, what, key);
  }
  return HY_OK;
}

int
hy_tok_flag(const hy_tok_json *l, const json_t *o, const char *key, int def,
            int *out)
{
  const json_t *v = json_object_get(o, key);

  *out = v ? json_is_true(v) : def;
  return !v || json_is_boolean(v) ? HY_OK : hy_tok_broken(l, key);
}

const char *
hy_tok_type(const json_t *o)
{
  const char *s = json_string_value(json_object_get(o, "type"));

  return s ? s : "(no type)";
}

int
hy_tok_load_normalizer(hy_tok_json *l, const json_t *o)
{
  const json_t *list = json_object_get(o, "normalizers"), *v;
  size_t i;
  int err;

  if (!o || json_is_null(o))
    return HY_OK;
  if (!strcmp(hy_tok_type(o), "Sequence") && json_is_array(list)) {
    json_array_foreach((json_t *)list, i, v)
    {
      if ((err = hy_tok_load_normalizer(l, v)))
        return err;
    }
    return HY_OK;
  }
  if (strcmp(hy_tok_type(o), "NFC"))
    return hy_tok_unsupported(l, "normalizer", hy_tok_type(o));
  l->t->nfc = 1; /* twice is the same as once */
  return HY_OK;
}

static int
behavior_of(const char *name)
{
  static const char *names[] = {
      [HY_TOK_ISOLATED] = "Isolated",
      [HY_TOK_REMOVED] = "Removed",
      [HY_TOK_CONTIGUOUS] = "Contiguous",
      [HY_TOK_PREVIOUS] = "MergedWithPrevious",
      [HY_TOK_NEXT] = "MergedWithNext",
  };

  for (int i = 0; i < (int)(sizeof names / sizeof names[0]); i++)
    if (!strcmp(name, names[i]))
      return i;
  return -1;
}

static int
load_split(hy_tok_json *l, const json_t *o, hy_tok_step *s)
{
  const json_t *p = json_object_get(o, "pattern");
  const char *behavior = json_string_value(json_object_get(o, "behavior"));
  const char *regex = json_string_value(json_object_get(p, "Regex"));
  const char *text = json_string_value(json_object_get(p, "String"));
  int invert, err;

  err = hy_tok_only_keys(l, o, "Split key", " type pattern behavior invert ");
  if (!err)
    err = hy_tok_flag(l, o, "invert", 0, &invert);
  if (err)
    return err;
  if (!behavior || (!regex && !text))
    return hy_tok_broken(l, "pattern or behavior of a Split");
  s->behavior = behavior_of(behavior);
  if (s->behavior < 0)
    return hy_tok_unsupported(l, "Split behavior", behavior);
  s->invert = invert;
  /* these patterns leave no gaps */
  if (regex &&
      (s->behavior == HY_TOK_REMOVED ? invert : s->behavior == HY_TOK_ISOLATED))
    s->scan = hy_tok_scan_of(regex);
  return hy_tok_compile(&s->re, regex ? regex : text, !regex, l->path);
}

static int
load_byte_level(hy_tok_json *l, const json_t *o, hy_tok_step *s)
{
  int regex, err;

  err = hy_tok_only_keys(l, o, "ByteLevel key",
                         " type add_prefix_space trim_offsets use_regex ");
  if (!err)
    err = hy_tok_flag(l, o, "add_prefix_space", 1, &s->prefix_space);
  if (!err)
    err = hy_tok_flag(l, o, "use_regex", 1, &regex);
  if (!err && regex) {
    s->scan = hy_tok_scan_of(hy_tok_gpt2);
    err = hy_tok_compile(&s->re, hy_tok_gpt2, 0, l->path);
  }
  return err;
}

/* Numbers in any script apart from the rest. */
static int
load_digits(hy_tok_json *l, const json_t *o, hy_tok_step *s)
{
  int each, err;

  err = hy_tok_only_keys(l, o, "Digits key", " type individual_digits ");
  if (!err)
    err = hy_tok_flag(l, o, "individual_digits", 0, &each);
  if (err)
    return err;
  s->behavior = each ? HY_TOK_ISOLATED : HY_TOK_CONTIGUOUS;
  return hy_tok_compile(&s->re, "\\p{N}", 0, l->path);
}

/* One pre-tokenizer, or a Sequence of them. ByteLevel comes last: it changes
 * the alphabet, and later patterns would see another text. */
int
hy_tok_load_pre(hy_tok_json *l, const json_t *o, int *have_bytes)
{
  const json_t *list = json_object_get(o, "pretokenizers");
  hy_tok *t = l->t;
  json_t *v;
  size_t i;
  int err = HY_OK;

  if (!o || json_is_null(o))
    return HY_OK; /* the caller misses ByteLevel then */
  if (!strcmp(hy_tok_type(o), "Sequence") && json_is_array(list)) {
    json_array_foreach((json_t *)list, i, v)
    {
      if ((err = hy_tok_load_pre(l, v, have_bytes)))
        return err;
    }
    return HY_OK;
  }
  if (*have_bytes)
    return hy_tok_unsupported(l, "pre_tokenizer after ByteLevel",
                              hy_tok_type(o));
  if (t->n_steps == HY_TOK_STEPS_MAX)
    return hy_tok_unsupported(l, "pre_tokenizer", "a Sequence of more than 16");
  if (!strcmp(hy_tok_type(o), "Split"))
    return load_split(l, o, &t->step[t->n_steps++]);
  if (!strcmp(hy_tok_type(o), "Digits"))
    return load_digits(l, o, &t->step[t->n_steps++]);
  if (strcmp(hy_tok_type(o), "ByteLevel"))
    return hy_tok_unsupported(l, "pre_tokenizer", hy_tok_type(o));
  *have_bytes = 1;
  err = load_byte_level(l, o, &t->step[t->n_steps]);
  /* one that neither cuts nor adds a space is no step */
  t->n_steps += t->step[t->n_steps].re || t->step[t->n_steps].prefix_space;
  return err;
}

int
hy_tok_load_decoder(hy_tok_json *l, const json_t *o)
{
  const json_t *list = json_object_get(o, "decoders");

  if (!strcmp(hy_tok_type(o), "Sequence") && json_array_size(list) == 1)
    o = json_array_get(list, 0);
  return strcmp(hy_tok_type(o), "ByteLevel")
             ? hy_tok_unsupported(l, "decoder", hy_tok_type(o))
             : HY_OK;
}
