#include "base/lineage.h"

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
