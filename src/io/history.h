/* history.h: the record of a run: history.csv, step lines, loss.png. */
#ifndef HYMN_IO_HISTORY_H
#define HYMN_IO_HISTORY_H

#include <stdint.h>
#include <stdio.h>

/* One line of history.csv. NAN: not measured, an empty field. */
typedef struct {
  int64_t step, tokens;
  double loss, valid_loss, lr, gnorm, tok_s, tflops;
  double mem;                /* GiB, the rank that uses most */
  double mtp_loss, aux_loss; /* mean over depths; with its coefficient */
  double max_vio;            /* largest max/mean - 1 of tokens per expert */
  double margin;             /* smallest of a router in this step */
} hy_history_row;

typedef struct hy_history hy_history; /* fields in history.c */

/** Open DIR/history.csv to append. A run that resumes behind `done` steps
 *  keeps the rows up to that step and drops later ones, so that every step
 *  stands there once; done = 0 starts the file. Not collective (rank 0).
 *  \return 0, HY_EFILE, HY_ERES; on error *h is NULL. */
int hy_history_open(hy_history **h, const char *dir, int64_t done);
/** 0, or HY_EFILE, HY_ERES (disk full). */
int hy_history_add(hy_history *h, const hy_history_row *r);
void hy_history_close(hy_history *h);

/** The line of a step on stdout. \param left  seconds to the end */
void hy_step_line(const hy_history_row *r, int64_t n_steps, double left);

/** Draw DIR/loss.png from DIR/history.csv with gnuplot; a note on stdout says
 *  so when gnuplot is missing or fails. */
void hy_history_plot(const char *dir, const char *title);

#endif
