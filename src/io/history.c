#include "io/history.h"
#include "base/err.h"
#include "base/file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const char header[] =
    "step,tokens,loss,valid_loss,lr,gnorm,tok_s,"
    "tflops,mem,mtp_loss,aux_loss,max_vio,router_margin\n";

struct hy_history {
  FILE *f;
  char *path;
};

/* Rows up to `done` of what is there, behind the header. */
static void
kept_rows(const hy_buf *old, int64_t done, hy_buf *out)
{
  const char *s = old->data ? strchr(old->data, '\n') : NULL;

  hy_buf_add(out, header, sizeof header - 1);
  while (s && *++s) {
    const char *end = strchr(s, '\n');

    if (!end) /* a line cut by a crash */
      break;
    if (strtoll(s, NULL, 10) <= done)
      hy_buf_add(out, s, (size_t)(end + 1 - s));
    s = end;
  }
}

int
hy_history_open(hy_history **h, const char *dir, int64_t done)
{
  char *path = hy_path_join(dir, "history.csv");
  hy_buf old = {0}, kept = {0};
  int err = HY_OK;

  *h = NULL;
  if (done > 0 && hy_path_exists(path))
    err = hy_file_read(path, &old);
  if (!err) {
    kept_rows(&old, done, &kept);
    err = hy_file_write(path, kept.data, kept.len);
  }
  if (!err) {
    *h = hy_malloc(sizeof **h);
    **h = (hy_history){fopen(path, "a"), hy_strdup(path)};
    if (!(*h)->f) {
      err = hy_fail(HY_EFILE, "%s: cannot write: %s", path, strerror(errno));
      hy_history_close(*h);
      *h = NULL;
    }
  }
  free(old.data);
  free(kept.data);
  free(path);
  return err;
}

static void
field(FILE *f, const char *format, double x)
{
  putc(',', f);
  if (!isnan(x))
    fprintf(f, format, x);
}

int
hy_history_add(hy_history *h, const hy_history_row *r)
{
  fprintf(h->f, "%lld,%lld", (long long)r->step, (long long)r->tokens);
  field(h->f, "%.10g", r->loss);
  field(h->f, "%.10g", r->valid_loss);
  field(h->f, "%.10g", r->lr);
  field(h->f, "%.10g", r->gnorm);
  field(h->f, "%.1f", r->tok_s);
  field(h->f, "%.6f", r->tflops);
  field(h->f, "%.3f", r->mem);
  field(h->f, "%.10g", r->mtp_loss);
  field(h->f, "%.10g", r->aux_loss);
  field(h->f, "%.4g", r->max_vio);
  field(h->f, "%.4g", isinf(r->margin) ? NAN : r->margin);
  putc('\n', h->f);
  if (fflush(h->f) == 0)
    return HY_OK;
  if (errno == ENOSPC)
    return hy_fail(HY_ERES, "%s: disk full; free some space and resume",
                   h->path);
  return hy_fail(HY_EFILE, "%s: cannot write: %s", h->path, strerror(errno));
}

void
hy_history_close(hy_history *h)
{
  if (!h)
    return;
  if (h->f)
    fclose(h->f);
  free(h->path);
  free(h);
}

void
hy_step_line(const hy_history_row *r, int64_t n_steps, double left)
{
  long s = (long)(left + 0.5);

  printf("step %lld/%lld  loss %.4f  lr %.2e  gnorm %.3f  tok/s %.0f  "
         "TFLOP/s %.3f  mem %.2f GiB  eta %ld:%02ld:%02ld",
         (long long)r->step, (long long)n_steps, r->loss, r->lr, r->gnorm,
         r->tok_s, r->tflops, r->mem, s / 3600, s / 60 % 60, s % 60);
  if (!isnan(r->valid_loss))
    printf("  valid %.4f", r->valid_loss);
  putchar('\n');
  fflush(stdout);
}

void
hy_history_plot(const char *dir, const char *title)
{
  FILE *p;
  char *name = hy_strdup(title);
  int rc;

  for (char *s = name; *s; s++) /* the title stands inside single quotes */
    if (*s == '\'' || *s == '\\' || (unsigned char)*s < ' ')
      *s = ' ';
  fflush(stdout);
  p = setenv("HYMN_PLOT_DIR", dir, 1)
          ? NULL
          : popen("cd \"$HYMN_PLOT_DIR\" && gnuplot 2>/dev/null", "w");
  if (p) {
    fprintf(p,
            "set terminal pngcairo size 900,540\n"
            "set output 'loss.png'\n"
            "set datafile separator ','\n"
            "set title '%s' noenhanced\n"
            "set xlabel 'step'\nset ylabel 'loss (nats per token)'\nset grid\n"
            "plot 'history.csv' every ::1 using 1:3 with lines title 'train', "
            "'' every ::1 using 1:4 with linespoints pt 7 title 'validation'\n",
            name);
    rc = pclose(p);
    if (WIFEXITED(rc) && WEXITSTATUS(rc) == 0)
      printf("plot: %s/loss.png\n", dir);
    else
      printf("plot: no loss.png (gnuplot is not installed or failed); install "
             "gnuplot to get one\n");
  }
  free(name);
}
