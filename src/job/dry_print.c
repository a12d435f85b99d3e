#include "job/dry_print.h"
#include "base/err.h"
#include "base/file.h"
#include "layer/layer.h"
#include "model/count.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

const char *
hy_dry_amount(double bytes, char out[32])
{
  static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int i = 0;

  for (; bytes >= 1024 && i < 5; i++)
    bytes /= 1024;
  snprintf(out, 32, "%.4g %s", bytes, unit[i]);
  return out;
}

void
hy_dry_row(const char *what, double bytes)
{
  char text[32];

  printf("  %-34s %14.0f  %s\n", what, bytes, hy_dry_amount(bytes, text));
}

void
hy_dry_model(const hy_plan *p)
{
  const char *pattern = p->cfg->pattern;
  hy_count_of c = hy_plan_count(p);

  printf("model  pattern %s\n", pattern);
  for (const char *s = "M*-E"; *s; s++) {
    int n = 0;

    for (int i = 0; i < p->n_layer; i++)
      n += pattern[i] == *s;
    if (n)
      printf("  %-10s %4d layers '%c'\n", hy_layer_find(*s)->name, n, *s);
  }
  if (p->n_mtp_block)
    printf("  %-10s %4d stored block(s) of %d layers, %d depths\n", "MTP",
           p->n_mtp_block, p->n_mtp_layer, p->n_depth);
  printf("  parameters %lld, active %lld (top_k experts and output head, "
         "without the embedding table and MTP)\n",
         (long long)c.total, (long long)(c.body + c.head));
  printf("  backbone %lld, MTP %lld, %lld tensors\n",
         (long long)(c.total - c.mtp), (long long)c.mtp, (long long)c.n_tensor);
  printf("  active body %lld, + head %lld, + embedding %lld\n",
         (long long)c.body, (long long)(c.body + c.head),
         (long long)(c.body + c.head + c.embed));
}

void
hy_dry_memory(const hy_dry *r)
{
  const hy_forecast *f = &r->stage[r->largest];
  char text[32];

  printf("memory per rank (bytes; the libraries' own base is apart: a run "
         "prints it)\n");
  for (int i = 0; i < HY_N_NEED; i++)
    hy_dry_row(hy_need_name(f, i), f->need[i]);
  hy_dry_row("sum", f->sum);
  if (f->host > 0)
    hy_dry_row("beside it on the host", f->host);
  if (r->deck->grid.pp == 1)
    return;
  printf("  that is stage %d, which needs most (%d micro-batches in flight); "
         "sums of all stages:\n ",
         f->stage, f->n_ctx);
  for (int s = 0; s < r->deck->grid.pp; s++)
    printf("  %d: %s", s, hy_dry_amount(r->stage[s].sum, text));
  printf("\n");
}

/* Largest over the stages. */
static double
most_sent(const hy_dry *r, int axis)
{
  double most = 0;

  for (int s = 0; s < r->deck->grid.pp; s++)
    if (r->stage[s].sent[axis] > most)
      most = r->stage[s].sent[axis];
  return most;
}

void
hy_dry_step(const hy_dry *r)
{
  const hy_deck *d = r->deck;
  double tokens = (double)(d->data.global_batch * r->seq_len);
  double rows = (double)(r->stage[0].n_micro * d->data.micro_batch);
  double per_token = 0, most = 0;

  for (int s = 0; s < d->grid.pp; s++) {
    per_token += r->stage[s].flops * (double)(d->grid.tp * d->grid.cp) /
                 (rows * (double)r->seq_len);
    most = r->stage[s].flops > most ? r->stage[s].flops : most;
  }
  printf("step  %.0f tokens, %lld micro-batch(es) on a rank\n", tokens,
         (long long)r->stage[0].n_micro);
  printf("  %.4g FLOP a token (forward and backward), %.4g FLOP, at most %.4g "
         "on a rank\n",
         per_token, per_token * tokens, most);
  printf("sent per rank and step (bytes%s)\n",
         d->grid.pp > 1 ? ", of the stage that sends most" : "");
  for (int a = 0; a < HY_N_AXES; a++)
    if (most_sent(r, a) > 0)
      hy_dry_row(hy_axis_name(a), most_sent(r, a));
}

/* The file system that will hold job.dir: that of its nearest parent. */
static int
free_bytes(const char *dir, double *bytes)
{
  char *at = hy_strdup(dir);
  struct statvfs fs;
  int bad;

  while ((bad = statvfs(at, &fs)) && strcmp(at, ".") && strcmp(at, "/")) {
    char *up = hy_path_dir(at);

    free(at);
    at = up;
  }
  free(at);
  if (!bad)
    *bytes = (double)fs.f_bavail * (double)fs.f_frsize;
  return bad;
}

void
hy_dry_disk(const hy_deck *d, const hy_plan *p)
{
  double one = 0, there = 0;
  int64_t keep = d->ckpt.keep ? d->ckpt.keep : 1;

  for (int i = 0; i < p->n_spec; i++)
    one += (double)hy_spec_size(&p->spec[i]) *
           (p->spec[i].kind == HY_WEIGHT ? 12 : 4);
  printf("checkpoints\n");
  hy_dry_row("one file (weights and moments)", one);
  if (d->ckpt.save_every == 0)
    printf("  none are written: ckpt.save_every=0\n");
  /* while a new one is written the old ones are still there */
  hy_dry_row("at most on disk (ckpt.keep + 1)", one * (double)(keep + 1));
  if (free_bytes(d->job.dir, &there) == 0) {
    hy_dry_row("free where job.dir lies", there);
    if (d->ckpt.save_every && one * (double)(keep + 1) > there)
      printf("  WARNING: the checkpoints do not fit; lower ckpt.keep or move "
             "job.dir\n");
  }
}
