/* cfg.c: config.json -> the &model group. */
#include "model/cfg.h"
#include "model/cfg_table.h"
#include "model/decilm.h"
#include "base/err.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* Keys that read_pattern and the other functions below take care of. */
static const char *const elsewhere[] = {
    "hybrid_override_pattern",
    "layers_block_type",
    "layer_types",
    "num_hidden_layers",
    "mtp_hybrid_override_pattern",
    "mtp_layers_block_type",
    "num_nextn_predict_layers",
    "mtp_use_repeated_layer",
    "time_step_limit",
    "mamba_dt_limit",
};

#define N(a) (sizeof(a) / sizeof *(a))

/* Value of a key as JSON text, for messages; the caller frees it. */
static char *
value_text(json_t *v)
{
  char *s = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

  return s ? s : hy_strdup("?");
}

static int
in_list(const char *key, const char *const *list, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (!strcmp(list[i], key))
      return 1;
  return 0;
}

static int
equal(json_t *a, json_t *b)
{
  if (json_is_number(a) && json_is_number(b))
    return json_number_value(a) == json_number_value(b);
  return json_equal(a, b);
}

static int
check_only(json_t *root, const char *where)
{
  int err = 0;

  for (size_t i = 0; !err && i < (size_t)hy_cfg_n_only; i++) {
    json_t *v = json_object_get(root, hy_cfg_only[i].key);
    json_t *want = json_loads(hy_cfg_only[i].value, JSON_DECODE_ANY, NULL);
    char *text = value_text(v);

    if (v && !equal(v, want)) {
      if (!strcmp(text, "\"nemotron-nas\""))
        err = hy_fail(HY_EDATA,
                      "%s: model_type %s: this version counts the %lld "
                      "parameters of the heterogeneous Llama; its layers "
                      "arrive with a later version of hymn",
                      where, text, (long long)hy_decilm_count(root));
      else if (!strcmp(hy_cfg_only[i].key, "quantization_config"))
        err = hy_fail(HY_EDATA,
                      "%s: quantization_config: this version reads no "
                      "quantized weights; take the BF16 or FP32 folder",
                      where);
      else
        err = hy_fail(HY_EDATA, "%s: %s is %.60s; hymn can only honour %s",
                      where, hy_cfg_only[i].key, text, hy_cfg_only[i].value);
    }
    free(text);
    json_decref(want);
  }
  return err;
}

/* (0, inf) in any of its spellings. */
static int
check_limit(json_t *root, const char *key, const char *where)
{
  json_t *v = json_object_get(root, key), *hi = json_array_get(v, 1);
  const char *s = json_string_value(hi);
  int ok;

  if (json_is_object(hi))
    s = json_string_value(json_object_get(hi, "__float__"));
  ok = !v || json_is_null(v) ||
       (json_array_size(v) == 2 &&
        json_number_value(json_array_get(v, 0)) == 0 && s &&
        strstr(s, "Infinity") && !strchr(s, '-'));
  if (!ok)
    return hy_fail(HY_EDATA,
                   "%s: %s is not (0, infinity); hymn does not limit time "
                   "steps",
                   where, key);
  return HY_OK;
}

static int
check_known(json_t *root, const char *where)
{
  const char *key;
  json_t *v;

  json_object_foreach(root, key, v)
  {
    int known = in_list(key, hy_cfg_no_effect, (size_t)hy_cfg_n_no_effect) ||
                in_list(key, elsewhere, N(elsewhere));

    for (int i = 0; !known && i < hy_cfg_n_rows; i++)
      known = !strcmp(key, hy_cfg_rows[i].key);
    for (size_t i = 0; !known && i < (size_t)hy_cfg_n_only; i++)
      known = !strcmp(key, hy_cfg_only[i].key);
    if (!known) {
      char *text = value_text(v);
      int err = hy_fail(HY_EDATA,
                        "%s: hymn does not know the key %s (%.80s); remove it "
                        "if the model does not depend on it",
                        where, key, text);

      free(text);
      return err;
    }
  }
  return HY_OK;
}

static int
fill(hy_deck *d, const char *key, const char *value, const char *where)
{
  char *full = hy_asprintf("model.%s", key);
  int err = hy_deck_fill(d, full, value, where);

  free(full);
  return err;
}

/* One row: the value as deck text, checked for its type. */
static int
fill_row(hy_deck *d, const hy_cfg_row *r, json_t *v, const char *where)
{
  char text[64] = "0";
  int ok = 1;

  if (r->kind == HY_CFG_INT && json_is_integer(v))
    snprintf(text, sizeof text, "%lld", (long long)json_integer_value(v));
  else if (r->kind == HY_CFG_REAL && json_is_number(v))
    snprintf(text, sizeof text, "%.17g", json_number_value(v));
  else if (r->kind == HY_CFG_BOOL && json_is_boolean(v))
    snprintf(text, sizeof text, "%s", json_is_true(v) ? ".true." : ".false.");
  else
    ok = 0;
  if (!ok) {
    char *got = value_text(v);
    int err = hy_fail(HY_EDATA, "%s: %s is %.80s; it should be %s", where,
                      r->key, got,
                      r->kind == HY_CFG_INT    ? "an integer"
                      : r->kind == HY_CFG_REAL ? "a number"
                                               : "true or false");

    free(got);
    return err;
  }
  return fill(d, r->deck, text, where);
}

/* null means "not set", as a missing key does. */
static json_t *
get(json_t *root, const char *key)
{
  json_t *v = json_object_get(root, key);

  return json_is_null(v) ? NULL : v;
}

/* What a file may leave to be derived from the number of heads. */
static int
fill_heads(hy_deck *d, json_t *root, const char *where)
{
  json_int_t h = json_integer_value(get(root, "num_attention_heads"));
  json_int_t width = json_integer_value(get(root, "hidden_size"));
  char text[32];
  int err = 0;

  if (h <= 0)
    return HY_OK;
  snprintf(text, sizeof text, "%lld", (long long)(width / h));
  if (!get(root, "head_dim") && !get(root, "attention_head_dim"))
    err = fill(d, "d_head", text, where);
  snprintf(text, sizeof text, "%lld", (long long)h);
  if (!err && !get(root, "num_key_value_heads") &&
      !get(root, "num_query_groups"))
    err = fill(d, "n_kv_heads", text, where);
  return err;
}

static int
fill_rows(hy_deck *d, json_t *root, const char *where)
{
  int err = 0;

  for (int i = 0; !err && i < hy_cfg_n_rows; i++) {
    const hy_cfg_row *r = hy_cfg_rows + i;
    json_t *v = get(root, r->key);

    for (int j = 0; v && !err && j < i; j++) {
      json_t *u = get(root, hy_cfg_rows[j].key);

      if (hy_cfg_rows[j].at == r->at && u && !equal(u, v))
        err = hy_fail(HY_EDATA,
                      "%s: %s and %s mean the same and differ; "
                      "remove the wrong one",
                      where, hy_cfg_rows[j].key, r->key);
    }
    if (v && !err)
      err = fill_row(d, r, v, where);
  }
  return err ? err : fill_heads(d, root, where);
}

/* Letters of a pattern string or of a list of types, appended to out;
 * pipeline cuts are dropped. */
static int
letters(json_t *v, const char *key, const char *where, hy_buf *out)
{
  const char *s = json_string_value(v);
  json_t *e;
  size_t i;

  hy_buf_add(out, "", 0);
  for (; s && *s; s++)
    if (strchr("M*-E", *s))
      hy_buf_add(out, s, 1);
    else if (*s != '|')
      return hy_fail(HY_EDATA, "%s: %s has the letter '%c'; M * - E are known",
                     where, key, *s);
  if (!json_is_string(v) && !json_is_array(v))
    return hy_fail(HY_EDATA, "%s: %s is neither a string nor a list", where,
                   key);
  json_array_foreach(v, i, e)
  {
    char c = hy_cfg_letter(json_string_value(e));

    if (!c)
      return hy_fail(HY_EDATA,
                     "%s: %s has a layer of type %s; mamba, attention, moe and "
                     "mlp are known",
                     where, key,
                     json_is_string(e) ? json_string_value(e) : "?");
    hy_buf_add(out, &c, 1);
  }
  return HY_OK;
}

/* The pattern under whichever of the keys is there; they have to agree.
 * out stays empty when none is. */
static int
one_pattern(json_t *root, const char *const *key, int n, const char *where,
            hy_buf *out)
{
  const char *first = NULL;
  int err = 0;

  for (int i = 0; !err && i < n; i++) {
    json_t *v = get(root, key[i]);
    hy_buf b = {0};

    if (!v)
      continue;
    err = letters(v, key[i], where, &b);
    if (!err && first && strcmp(b.data, out->data))
      err = hy_fail(HY_EDATA,
                    "%s: %s says %s, %s says %s; remove the wrong "
                    "one",
                    where, first, out->data, key[i], b.data);
    if (!err && !first) {
      hy_buf_add(out, b.data, b.len);
      first = key[i];
    }
    free(b.data);
  }
  return err;
}

static int
fill_mtp(hy_deck *d, json_t *root, const char *where, hy_buf *pattern)
{
  static const char *const keys[] = {"mtp_hybrid_override_pattern",
                                     "mtp_layers_block_type"};
  json_int_t n = json_integer_value(get(root, "num_nextn_predict_layers"));
  json_t *rep = get(root, "mtp_use_repeated_layer");
  int repeat = rep ? json_is_true(rep) : n == 1;
  char text[32];
  hy_buf b = {0};
  int err;

  if (n <= 0 || hy_deck_given(d, "model.pattern"))
    return HY_OK; /* a pattern of the deck brings its own blocks */
  err = one_pattern(root, keys, N(keys), where, &b);
  if (!err && !b.len)
    err = hy_fail(HY_EDATA,
                  "%s: num_nextn_predict_layers is %lld, but neither %s nor %s "
                  "is there",
                  where, (long long)n, keys[0], keys[1]);
  for (json_int_t i = 0; !err && i < (repeat ? 1 : n); i++)
    hy_buf_printf(pattern, "/%s", b.data);
  snprintf(text, sizeof text, "%lld", (long long)n);
  err = err ? err : fill(d, "mtp_depths", text, where);
  err = err ? err : fill(d, "mtp_repeat", repeat ? ".true." : ".false.", where);
  free(b.data);
  return err;
}

static int
fill_pattern(hy_deck *d, json_t *root, const char *where)
{
  static const char *const keys[] = {"hybrid_override_pattern",
                                     "layers_block_type", "layer_types"};
  json_t *n = get(root, "num_hidden_layers");
  hy_buf b = {0}, quoted = {0};
  int err = one_pattern(root, keys, N(keys), where, &b);

  if (!err && !b.len)
    err =
        hy_fail(HY_EDATA, "%s: has neither %s nor %s", where, keys[0], keys[1]);
  if (!err && n && json_integer_value(n) != (json_int_t)b.len)
    err = hy_fail(HY_EDATA,
                  "%s: num_hidden_layers is %lld, the pattern %s has %zu "
                  "layers; correct one of them",
                  where, (long long)json_integer_value(n), b.data, b.len);
  if (!err)
    err = fill_mtp(d, root, where, &b);
  if (!err) {
    hy_buf_printf(&quoted, "'%s'", b.data);
    err = fill(d, "pattern", quoted.data, where);
  }
  free(quoted.data);
  free(b.data);
  return err;
}

/* Python writes Infinity and NaN, which JSON lacks: put them in quotes. */
json_t *
hy_cfg_parse(const char *text, json_error_t *why)
{
  static const char *const word[] = {"-Infinity", "Infinity", "NaN"};
  hy_buf b = {0};
  json_t *root;
  int in_string = 0;

  for (const char *p = text; *p; p++) {
    size_t n = 0;

    if (in_string && *p == '\\' && p[1]) {
      hy_buf_add(&b, p++, 2);
      continue;
    }
    in_string ^= *p == '"';
    for (size_t i = 0; !in_string && !n && i < N(word); i++)
      if (!strncmp(p, word[i], strlen(word[i])))
        n = strlen(word[i]);
    if (n) {
      hy_buf_printf(&b, "\"\\u0001%.*s\"", (int)n, p);
      p += n - 1;
    } else
      hy_buf_add(&b, p, 1);
  }
  root = json_loadb(b.data ? b.data : "", b.len, JSON_REJECT_DUPLICATES, why);
  free(b.data);
  if (root && !json_is_object(root)) {
    snprintf(why->text, sizeof why->text, "no object");
    json_decref(root);
    return NULL;
  }
  return root;
}

int
hy_cfg_read(hy_deck *d, const char *dir)
{
  char *path = hy_path_join(dir, "config.json");
  json_error_t je;
  hy_buf text = {0};
  json_t *root = NULL;
  int err = hy_file_read(path, &text);

  if (!err && !(root = hy_cfg_parse(text.data, &je)))
    err =
        hy_fail(HY_EFILE, "%s: not JSON: line %d: %s", path, je.line, je.text);
  err = err ? err : check_only(root, path);
  err = err ? err : check_known(root, path);
  err = err ? err : check_limit(root, "time_step_limit", path);
  err = err ? err : check_limit(root, "mamba_dt_limit", path);
  err = err ? err : fill_rows(d, root, path);
  err = err ? err : fill_pattern(d, root, path);
  json_decref(root);
  free(text.data);
  free(path);
  return err;
}
