/* mix.c: paths with weights, the value of some keys. */
#include "deck/deck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void
hy_mix_add(hy_mix *m, double weight, const char *path)
{
  size_t n = (size_t)m->n + 1;

  m->weight = hy_realloc(m->weight, n * sizeof *m->weight);
  m->path = hy_realloc(m->path, n * sizeof *m->path);
  m->weight[m->n] = weight;
  m->path[m->n++] = hy_strdup(path);
}

void
hy_mix_clear(hy_mix *m)
{
  for (int i = 0; i < m->n; i++)
    free(m->path[i]);
  free(m->path);
  free(m->weight);
  *m = (hy_mix){0};
}

const char *
hy_mix_wrong(const hy_mix *m)
{
  double most = 0;

  for (int i = 0; i < m->n; i++) {
    if (!isfinite(m->weight[i]))
      return "a weight is not a number; give one";
    if (m->weight[i] < 0)
      return "a weight is negative; give 0 or more";
    most = m->weight[i] > most ? m->weight[i] : most;
    for (int j = 0; j < i; j++)
      if (!strcmp(m->path[i], m->path[j]))
        return "a path is there twice; give it once, with the sum of its "
               "weights";
  }
  if (m->n && most == 0)
    return "no weight is above 0; nothing would be read";
  return NULL;
}
