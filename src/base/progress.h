/* progress.h: a bar with the time left, for long silent work on a terminal. */
#ifndef HYMN_BASE_PROGRESS_H
#define HYMN_BASE_PROGRESS_H

typedef struct {
  const char *what;
  double total, begun, shown;
  int on;
} hy_progress;

/** Start a bar of `total` units on stderr. Silent unless on (rank 0) is set
 *  and stderr is a terminal. Not collective. */
void hy_progress_begin(hy_progress *p, const char *what, double total, int on);
/** `done` of them are done; redrawn at most four times a second, first after
 *  a second of work. */
void hy_progress_at(hy_progress *p, double done);
/** Wipe the bar. */
void hy_progress_end(hy_progress *p);

#endif
