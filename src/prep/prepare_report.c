/* prepare_report.c: what the job says at its end. */
#include "prep/prepare_impl.h"

#include <string.h>

static void
print_tally(const hy_tally *t, const char *what, FILE *out)
{
  for (int i = 0; i < t->n; i++)
    fprintf(out, "prepare: %s %lld (%s)\n", what, (long long)t->row[i].n,
            t->row[i].phrase);
}

static void
print_file(const hy_prep *p, const hy_prep_file *f, double seconds, FILE *out)
{
  int rows = strcmp(p->d->format, "megatron") != 0;

  fprintf(out, "prepare: %lld documents, %lld tokens", (long long)f->n_docs,
          (long long)f->n_tokens);
  if (rows)
    fprintf(out, ", %lld rows of %lld (%.2f %% filled)", (long long)f->n_rows,
            (long long)p->d->seq_len,
            100.0 * (double)f->n_tokens /
                ((double)f->n_rows * (double)p->d->seq_len));
  if (p->n_files > 1)
    fprintf(out, ", %.3f %% of the documents",
            100.0 * (double)f->n_units / (double)p->n_kept);
  else
    fprintf(out, ", %.0f tokens/s", (double)f->n_tokens / seconds);
  fprintf(out, " -> %s\n", f->path);
  fprintf(out, "prepare: content hash %s\n", f->hash);
}

void
hy_prep_report(const hy_prep *p, FILE *out)
{
  double seconds = MPI_Wtime() - p->begun;
  int64_t n_bad = 0;

  for (int i = 0; i < p->n_src; i++) {
    const hy_prep_source *s = &p->src[i];

    n_bad += s->n_bad;
    fprintf(out, "prepare: %s: %lld bytes, %lld documents, %lld tokens\n",
            s->in.path, (long long)s->in.bytes, (long long)s->n_docs,
            (long long)s->n_tokens);
  }
  if (p->n_again)
    fprintf(out,
            "prepare: %lld of %lld shards were there from an earlier "
            "run\n",
            (long long)p->n_again, (long long)p->n_shards);
  print_tally(&p->dropped, "dropped", out);
  print_tally(&p->notes, "noted", out);
  if (n_bad)
    fprintf(out, "prepare: %lld invalid UTF-8 parts replaced by U+FFFD\n",
            (long long)n_bad);
  hy_curate_print(p->curate, out);
  for (int i = 0; i < p->n_files; i++)
    if (p->file[i].n_units > 0) {
      print_tally(&p->file[i].notes, "noted", out);
      print_file(p, &p->file[i], seconds, out);
    }
}
