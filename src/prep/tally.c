#include "prep/tally.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void
hy_tally_add(hy_tally *t, const char *phrase, int64_t n)
{
  int i = 0;

  while (i < t->n && strcmp(t->row[i].phrase, phrase) < 0)
    i++;
  if (i < t->n && !strcmp(t->row[i].phrase, phrase)) {
    t->row[i].n += n;
    return;
  }
  if (t->n == t->cap) {
    t->cap = t->cap ? 2 * t->cap : 16;
    t->row = hy_realloc(t->row, (size_t)t->cap * sizeof *t->row);
  }
  memmove(t->row + i + 1, t->row + i, (size_t)(t->n - i) * sizeof *t->row);
  t->row[i] = (hy_tally_row){hy_strdup(phrase), n};
  t->n++;
}

void
hy_tally_free(hy_tally *t)
{
  for (int i = 0; i < t->n; i++)
    free(t->row[i].phrase);
  free(t->row);
  *t = (hy_tally){0};
}

json_t *
hy_tally_json(const hy_tally *t)
{
  json_t *o = json_object();

  for (int i = 0; i < t->n; i++)
    json_object_set_new(o, t->row[i].phrase,
                        json_integer((json_int_t)t->row[i].n));
  return o;
}

int
hy_tally_read(hy_tally *t, const json_t *o)
{
  const char *phrase;
  json_t *n;

  if (!json_is_object(o))
    return -1;
  json_object_foreach((json_t *)(uintptr_t)o, phrase, n)
  {
    if (!json_is_integer(n) || json_integer_value(n) < 0)
      return -1;
    hy_tally_add(t, phrase, (int64_t)json_integer_value(n));
  }
  return 0;
}

void
hy_tally_share(hy_tally *t, const hy_comm *comm)
{
  json_t *mine = hy_tally_json(t);
  char *text = json_dumps(mine, JSON_COMPACT);
  hy_tally all = {0};

  json_decref(mine);
  for (int r = 0; r < comm->size; r++) {
    int64_t n = r == comm->rank ? (int64_t)strlen(text) : 0;
    char *part;

    hy_bcast(comm, &n, sizeof n, r);
    part = r == comm->rank ? hy_strdup(text) : hy_calloc((size_t)n + 1, 1);
    hy_bcast(comm, part, (size_t)n, r);
    mine = json_loadb(part, (size_t)n, 0, NULL);
    hy_tally_read(&all, mine);
    json_decref(mine);
    free(part);
  }
  free(text);
  hy_tally_free(t);
  *t = all;
}
