/* tok_post.c: the post-processor of tokenizer.json: which ids it puts before
 * and after a text. Several in a Sequence go around each other. */
#include "text/tok_json.h"
#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static int
add_id(const hy_tok_json *l, hy_ids *v, const json_t *id)
{
  json_int_t i = json_integer_value(id);

  if (!json_is_integer(id))
    return hy_tok_broken(l, "an id of the post_processor");
  if (i < 0 || i >= l->t->n || l->t->len[i] < 0)
    return hy_fail(HY_EDATA,
                   "%s: the post_processor adds the id %lld, which no token "
                   "has; correct one of them",
                   l->path, (long long)i);
  hy_ids_add(v, (int32_t)i);
  return HY_OK;
}

/* The ids that the special token of a template stands for. */
static int
add_special(const hy_tok_json *l, const json_t *all, const json_t *item,
            hy_ids *v)
{
  const char *name = json_string_value(json_object_get(item, "id"));
  const json_t *ids =
      json_object_get(name ? json_object_get(all, name) : NULL, "ids");
  const json_t *id;
  size_t i;
  int err = HY_OK;

  if (!json_is_array(ids))
    return hy_tok_broken(l, "a special token of the post_processor");
  json_array_foreach((json_t *)ids, i, id)
  {
    if (!err)
      err = add_id(l, v, id);
  }
  return err;
}

static int
load_template(const hy_tok_json *l, const json_t *o, hy_ids around[2])
{
  const json_t *single = json_object_get(o, "single");
  const json_t *all = json_object_get(o, "special_tokens"), *item;
  int n_text = 0, err;
  size_t i;

  err = hy_tok_only_keys(l, o, "TemplateProcessing key",
                         " type single pair special_tokens ");
  if (!err && !json_is_array(single))
    err = hy_tok_broken(l, "`single` of the post_processor");
  json_array_foreach((json_t *)single, i, item)
  {
    const json_t *special = json_object_get(item, "SpecialToken");
    const char *text = json_string_value(
        json_object_get(json_object_get(item, "Sequence"), "id"));

    if (err)
      break;
    if (special)
      err = add_special(l, all, special, &around[n_text]);
    else if (!text || strcmp(text, "A"))
      err = hy_tok_broken(l, "a part of `single` of the post_processor");
    else if (n_text++)
      err = hy_tok_unsupported(l, "post_processor",
                               "TemplateProcessing with the text twice");
  }
  if (!err && !n_text)
    err = hy_tok_unsupported(l, "post_processor",
                             "TemplateProcessing without the text");
  return err;
}

/* BertProcessing and RobertaProcessing: one token before, one after. */
static int
load_pair(const hy_tok_json *l, const json_t *o, hy_ids around[2])
{
  static const char *key[] = {"cls", "sep"};
  int err;

  err = hy_tok_only_keys(l, o, "post_processor key",
                         " type sep cls trim_offsets add_prefix_space ");
  for (int i = 0; i < 2 && !err; i++)
    err = add_id(l, &around[i], json_array_get(json_object_get(o, key[i]), 1));
  return err;
}

static void
join(hy_ids *to, const hy_ids *first, const hy_ids *then)
{
  for (size_t i = 0; i < first->n; i++)
    hy_ids_add(to, first->id[i]);
  for (size_t i = 0; i < then->n; i++)
    hy_ids_add(to, then->id[i]);
}

/* Put these ids around those that stand there already. */
static void
wrap(hy_tok *t, const hy_ids around[2])
{
  hy_ids before = {0}, after = {0};

  join(&before, &around[0], &t->before);
  join(&after, &t->after, &around[1]);
  free(t->before.id);
  free(t->after.id);
  t->before = before;
  t->after = after;
}

int
hy_tok_load_post(hy_tok_json *l, const json_t *o)
{
  const json_t *list = json_object_get(o, "processors"), *v;
  const char *type = hy_tok_type(o);
  hy_ids around[2] = {{0}, {0}};
  size_t i;
  int err = HY_OK;

  if (!o || json_is_null(o) || !strcmp(type, "ByteLevel"))
    return HY_OK; /* ByteLevel changes offsets only */
  if (!strcmp(type, "Sequence") && json_is_array(list)) {
    json_array_foreach((json_t *)list, i, v)
    {
      if ((err = hy_tok_load_post(l, v)))
        return err;
    }
    return HY_OK;
  }
  if (!strcmp(type, "TemplateProcessing"))
    err = load_template(l, o, around);
  else if (!strcmp(type, "BertProcessing") ||
           !strcmp(type, "RobertaProcessing"))
    err = load_pair(l, o, around);
  else
    err = hy_tok_unsupported(l, "post_processor", type);
  if (!err)
    wrap(l->t, around);
  free(around[0].id);
  free(around[1].id);
  return err;
}
