#include "model/decilm.h"

static int64_t
int_of(json_t *o, const char *key)
{
  return json_integer_value(json_object_get(o, key));
}

static int
is(json_t *o, const char *key)
{
  return json_is_true(json_object_get(o, key));
}

/* Weights of a part of a block with its norm; `whole` of the part as it is. */
static int64_t
part(json_t *p, int64_t h, int64_t whole)
{
  if (is(p, "no_op"))
    return 0;
  return h + (is(p, "replace_with_linear") ? h * h : whole);
}

static int64_t
ffn_width(json_t *ffn, int64_t h)
{
  double mult = json_number_value(json_object_get(ffn, "ffn_mult"));
  int64_t n = (int64_t)(2 * mult * (double)h / 3);

  return (n + 255) / 256 * 256;
}

int64_t
hy_decilm_count(json_t *root)
{
  json_t *blocks = json_object_get(root, "block_configs"), *b;
  int64_t h = int_of(root, "hidden_size"), v = int_of(root, "vocab_size");
  int64_t heads = int_of(root, "num_attention_heads"), n;
  int64_t width = int_of(root, "head_dim");
  size_t i;

  if (h <= 0 || v <= 0 || heads <= 0 || !json_array_size(blocks))
    return -1;
  width = width ? width : h / heads;
  n = (is(root, "tie_word_embeddings") ? 1 : 2) * v * h + h;
  json_array_foreach(blocks, i, b)
  {
    json_t *attention = json_object_get(b, "attention");
    json_t *ffn = json_object_get(b, "ffn");
    int64_t group = int_of(attention, "n_heads_in_group");
    int64_t kv = group > 0 ? heads / group : 0;

    n += part(attention, h, 2 * h * width * (heads + kv));
    n += part(ffn, h, 3 * h * ffn_width(ffn, h));
  }
  return n;
}
