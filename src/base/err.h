/* err.h: how hymn fails.
 *
 * Input errors (deck, file, memory) set a text and return a code; the ranks
 * agree on it (hy_agree in grid/comm.h) and main prints the text once. A
 * broken invariant ends all ranks at once through hy_die. */
#ifndef HYMN_BASE_ERR_H
#define HYMN_BASE_ERR_H

/** Return codes of every fallible function; also the exit codes. */
enum {
  HY_OK = 0,
  HY_EUSAGE = 1,    /* wrong command line */
  HY_EDECK = 2,     /* wrong key, value or layout */
  HY_EFILE = 3,     /* missing, unreadable, unwritable, wrong format */
  HY_EDATA = 4,     /* readable, but the content is wrong */
  HY_ERES = 5,      /* memory, disk space, devices */
  HY_EDIVERGED = 6, /* NaN or Inf in loss or gradients */
  HY_EBUG = 7,      /* broken invariant */
  HY_ESIGNAL = 8    /* saved on a signal: requeue */
};

#define HY_ERR_LEN 1024

#if defined(__GNUC__)
#define HY_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define HY_PRINTF(fmt, args)
#endif

/** Set the error text, "where: what; what to do", and return code.
 *  The first failure wins until hy_err_clear: callers up the stack may add
 *  nothing. Control characters become '?'. Not collective. */
int hy_fail(int code, const char *fmt, ...) HY_PRINTF(2, 3);

/** The text set by the last hy_fail of this rank, "" if none; writable for
 *  the broadcast in hy_agree, HY_ERR_LEN bytes. */
char *hy_err_text(void);

/** Forget the error text (tests, and jobs that try an alternative). */
void hy_err_clear(void);

/** Print one line on stderr and end every rank with code. For faults that no
 *  return path can carry: out of memory in the middle of a step, a broken
 *  invariant. */
_Noreturn void hy_die(int code, const char *fmt, ...) HY_PRINTF(2, 3);

/** hy_die calls this before it prints (NULL: nothing): who watches this rank
 *  learns that its end has been told. Not collective. */
void hy_die_tell(void (*call)(void *), void *arg);

#endif
