#include "base/progress.h"
#include "base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { WIDTH = 30 };

void
hy_progress_begin(hy_progress *p, const char *what, double total, int on)
{
  double t = hy_now();

  *p = (hy_progress){what, total > 0 ? total : 1, t, 0, on && isatty(2)};
  p->shown = t + 0.75; /* short work draws nothing */
}

void
hy_progress_at(hy_progress *p, double done)
{
  double t, part;
  char bar[WIDTH + 1];
  long left;

  if (!p->on || done <= 0)
    return;
  t = hy_now();
  if (t - p->shown < 0.25)
    return;
  p->shown = t;
  part = done < p->total ? done / p->total : 1;
  for (int i = 0; i < WIDTH; i++)
    bar[i] = i < part * WIDTH ? '#' : '.';
  bar[WIDTH] = '\0';
  left = (long)((t - p->begun) * (1 - part) / part + 0.5);
  fprintf(stderr, "\r%s [%s] %3.0f %%  %ld:%02ld:%02ld left ", p->what, bar,
          100 * part, left / 3600, left / 60 % 60, left % 60);
  fflush(stderr);
}

void
hy_progress_end(hy_progress *p)
{
  if (p->on && p->shown > p->begun + 0.75)
    fprintf(stderr, "\r%80s\r", "");
  p->on = 0;
}
