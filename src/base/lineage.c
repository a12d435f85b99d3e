#include "base/lineage.h"
#include "base/err.h"
#include "base/file.h"
#include "base/version.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

void
hy_lineage_add(hy_buf *b, const char *kind, const char *content,
               const char *lineage)
{
  json_t *list = b->len ? json_loadb(b->data, b->len, 0, NULL) : json_array();
  json_t *inner = lineage ? json_loads(lineage, 0, NULL) : NULL;
  json_t *e = json_object();
  char *text;

  if (!json_is_array(list)) {
    json_decref(list);
    list = json_array();
  }
  json_object_set_new(e, "kind", json_string(kind));
  json_object_set_new(e, "content", json_string(content));
  if (json_array_size(inner))
    json_object_set(e, "lineage", inner);
  json_decref(inner);
  json_array_append_new(list, e);
  text = json_dumps(list, JSON_COMPACT);
  b->len = 0;
  hy_buf_add(b, text, strlen(text));
  free(text);
  json_decref(list);
}

static void
print_list(FILE *out, json_t *list, int indent)
{
  json_t *e;
  size_t i;

  json_array_foreach(list, i, e)
  {
    const char *kind = json_string_value(json_object_get(e, "kind"));
    const char *hash = json_string_value(json_object_get(e, "content"));

    fprintf(out, "%*s<- %s %s\n", indent, "", kind ? kind : "?",
            hash ? hash : "?");
    print_list(out, json_object_get(e, "lineage"), indent + 3);
  }
}

void
hy_lineage_print(FILE *out, const char *lineage, int indent)
{
  json_t *list = json_loads(lineage, 0, NULL);

  print_list(out, list, indent);
  json_decref(list);
}

static int
find_in(json_t *list, const char *content, hy_buf *trail)
{
  json_t *e;
  size_t i, len = trail->len;

  json_array_foreach(list, i, e)
  {
    const char *kind = json_string_value(json_object_get(e, "kind"));
    const char *hash = json_string_value(json_object_get(e, "content"));

    trail->len = len;
    hy_buf_printf(trail, "%s%s", len ? " <- " : "", kind ? kind : "?");
    if ((hash && !strcmp(hash, content)) ||
        find_in(json_object_get(e, "lineage"), content, trail))
      return 1;
  }
  trail->len = len;
  if (trail->data)
    trail->data[len] = '\0';
  return 0;
}

int
hy_lineage_find(const char *lineage, const char *content, hy_buf *trail)
{
  json_t *list = json_loads(lineage, 0, NULL);
  int found = find_in(list, content, trail);

  json_decref(list);
  return found;
}

void
hy_lineage_of_kind(const char *lineage, const char *kind, char hash[HY_SHA_HEX])
{
  json_t *list = json_loads(lineage, 0, NULL), *e;
  size_t i;

  hash[0] = '\0';
  json_array_foreach(list, i, e)
  {
    const char *k = json_string_value(json_object_get(e, "kind"));
    const char *c = json_string_value(json_object_get(e, "content"));

    if (k && c && !strcmp(k, kind) && strlen(c) < HY_SHA_HEX) {
      memcpy(hash, c, strlen(c) + 1);
      break;
    }
  }
  json_decref(list);
}

/* ---- notes ---- */

static const char note_format[] = "hymn lineage";

int
hy_lineage_write(const char *path, const char *kind, const char *content,
                 const char *lineage)
{
  json_t *list = lineage ? json_loads(lineage, 0, NULL) : NULL;
  json_t *o = json_object();
  char *text;
  int err;

  json_object_set_new(o, "format", json_string(note_format));
  json_object_set_new(o, "version", json_integer(1));
  json_object_set_new(o, "kind", json_string(kind));
  json_object_set_new(o, "content", json_string(content));
  json_object_set_new(o, "code", json_string(hy_version()));
  json_object_set_new(o, "lineage", list ? list : json_array());
  text = json_dumps(o, JSON_INDENT(1));
  json_decref(o);
  err = hy_file_write(path, text, strlen(text));
  free(text);
  return err;
}

int
hy_lineage_read(const char *path, char content[HY_SHA_HEX], hy_buf *lineage)
{
  const char *format, *hash;
  json_t *o, *list;
  hy_buf text = {0};
  char *inner;
  int err;

  content[0] = '\0';
  if (!hy_path_exists(path))
    return HY_OK;
  err = hy_file_read(path, &text);
  if (err) {
    free(text.data);
    return err;
  }
  o = json_loadb(text.data, text.len, 0, NULL);
  free(text.data);
  format = json_string_value(json_object_get(o, "format"));
  hash = json_string_value(json_object_get(o, "content"));
  list = json_object_get(o, "lineage");
  if (!format || strcmp(format, note_format) || !hash ||
      strlen(hash) != HY_SHA_HEX - 1 || !json_is_array(list))
    err = hy_fail(HY_EDATA,
                  "%s: is no note of what these data were made from; remove it",
                  path);
  else {
    memcpy(content, hash, HY_SHA_HEX);
    inner = json_dumps(list, JSON_COMPACT);
    hy_buf_add(lineage, inner, strlen(inner));
    free(inner);
  }
  json_decref(o);
  return err;
}

int
hy_lineage_stale(const char *path)
{
  return hy_fail(HY_EDATA,
                 "%s: is of another content than what lies beside it; if that "
                 "was changed on purpose, remove this file",
                 path);
}
