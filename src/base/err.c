#include "base/err.h"

#include <mpi.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* The one mutable global of the program (thread-local: OpenMP workers that
 * fail do not race; they report through their own return value). */
static _Thread_local char err_text[HY_ERR_LEN];

/* And whom to tell of an end, set once after the start. */
static void (*die_call)(void *);
static void *die_arg;

int
hy_fail(int code, const char *fmt, ...)
{
  va_list ap;
  char *s;

  if (err_text[0])
    return code;
  va_start(ap, fmt);
  vsnprintf(err_text, sizeof err_text, fmt, ap);
  va_end(ap);
  /* a name out of a file may hold anything; a message is one line, and does
   * not speak to the terminal */
  for (s = err_text; *s; s++)
    if ((unsigned char)*s < ' ' || *s == 127)
      *s = '?';
  return code;
}

char *
hy_err_text(void)
{
  return err_text;
}

void
hy_err_clear(void)
{
  err_text[0] = '\0';
}

void
hy_die_tell(void (*call)(void *), void *arg)
{
  die_call = call;
  die_arg = arg;
}

void
hy_die(int code, const char *fmt, ...)
{
  char line[HY_ERR_LEN];
  va_list ap;
  int on = 0, off = 0;

  va_start(ap, fmt);
  vsnprintf(line, sizeof line, fmt, ap);
  va_end(ap);
  if (die_call)
    die_call(die_arg);
  fprintf(stderr, "hymn: error: %s\n", line);
  fflush(stderr);
  MPI_Initialized(&on);
  MPI_Finalized(&off);
  if (on && !off)
    MPI_Abort(MPI_COMM_WORLD, code);
  exit(code);
}
