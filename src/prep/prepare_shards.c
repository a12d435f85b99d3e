/* prepare_shards.c: shards of the input to parts on the disk. */
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/progress.h"
#include "prep/prepare_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- who does what ---- */

typedef struct {
  double bytes;
  int64_t i;
} weight;

static int
heavy_first(const void *a, const void *b)
{
  const weight *x = a, *y = b;

  if (x->bytes != y->bytes)
    return x->bytes < y->bytes ? 1 : -1;
  return (x->i > y->i) - (x->i < y->i);
}

/* Each to the rank that has least so far, the largest first. */
static void
choose_owners(hy_prep *p)
{
  weight *w = hy_malloc((size_t)p->n_shards * sizeof *w);
  double *load = hy_calloc((size_t)p->comm->size, sizeof *load);

  for (int64_t i = 0; i < p->n_shards; i++)
    w[i] = (weight){p->shard[i].bytes, i};
  qsort(w, (size_t)p->n_shards, sizeof *w, heavy_first);
  for (int64_t i = 0; i < p->n_shards; i++) {
    int least = 0;

    for (int r = 1; r < p->comm->size; r++)
      if (load[r] < load[least])
        least = r;
    p->shard[w[i].i].owner = least;
    load[least] += w[i].bytes;
  }
  free(load);
  free(w);
}

void
hy_prep_deal(hy_prep *p)
{
  int64_t k = 0;

  p->n_shards = 0;
  for (int i = 0; i < p->n_src; i++)
    p->n_shards += p->src[i].in.n_shards;
  p->shard = hy_calloc((size_t)p->n_shards, sizeof *p->shard);
  for (int i = 0; i < p->n_src; i++)
    for (int64_t j = 0; j < p->src[i].in.n_shards; j++, k++) {
      p->shard[k].input = i;
      p->shard[k].number = j;
      p->shard[k].bytes =
          (double)p->src[i].in.bytes / (double)p->src[i].in.n_shards;
    }
  choose_owners(p);
}

/* ---- documents ---- */

typedef struct {
  hy_prep *p;
  hy_records *rec;
  hy_part_out *out;
  hy_part_facts f;
  hy_ids ids;
  hy_weights weight;
  hy_buf text; /* of ids */
  void *sign;
} shard_work;

/* Left out and counted, or the end of the run. */
static int
refuse(shard_work *w, const char *why, int is_wrong)
{
  char *where;
  int err;

  hy_tally_add(&w->f.dropped, why, 1);
  if (!is_wrong || strcmp(w->p->d->on_error, "stop"))
    return HY_OK;
  where = hy_records_where(w->rec);
  err = hy_fail(HY_EDATA,
                "%s: %s; correct it, or leave such records out with "
                "prepare.on_error='skip'",
                where, why);
  free(where);
  return err;
}

/* What curation looks at. */
static int
text_of(shard_work *w, const hy_doc *d, const char **text, size_t *n)
{
  int err;

  *text = d->text.data ? d->text.data : "";
  *n = d->text.len;
  if (*n > 0 || d->ids.n == 0)
    return HY_OK;
  if (!w->p->tok)
    return hy_fail(HY_EDECK,
                   "prepare.tokenizer: not set, but curation has to read "
                   "documents that are ids; set it");
  w->text.len = 0;
  err = hy_tok_decode(w->p->tok, d->ids.id, d->ids.n, 0, &w->text);
  *text = w->text.data ? w->text.data : "";
  *n = w->text.len;
  return err;
}

static int
add_doc(void *arg, const hy_doc *d)
{
  shard_work *w = arg;
  hy_prep *p = w->p;
  const char *why = NULL, *text = "";
  size_t n = 0;
  int err = HY_OK;

  w->ids.n = w->weight.n = 0;
  err =
      hy_doc_encode(d, p->tok, p->eos, &w->ids, &w->weight, &w->f.n_bad, &why);
  if (err)
    return err;
  if (why)
    return refuse(w, why, !hy_why_harmless(why));
  if (p->filters)
    err = text_of(w, d, &text, &n);
  if (!err && p->filters)
    why = hy_curate_judge(p->curate, text, n);
  if (err || why)
    return err ? err : refuse(w, why, 0);
  if (w->sign)
    hy_curate_sign(p->curate, text, n, w->sign);
  if (d->note)
    hy_tally_add(&w->f.notes, d->note, 1);
  return hy_part_add(w->out, w->ids.id, w->weight.v, (int64_t)w->ids.n,
                     d->same_row, w->sign);
}

/* ---- shards ---- */

/* A rank that fails leaves this file; the others look for it now and then, so
 * that a run does not go on for hours with an error that is known. */
static int
others_stopped(const hy_prep *p, double *looked)
{
  double now = hy_now();
  char *path;
  int yes;

  if (p->comm->size == 1 || now - *looked < 1)
    return 0;
  *looked = now;
  path = hy_asprintf("%s/stop", p->dir);
  yes = hy_path_exists(path);
  free(path);
  return yes;
}

static void
set_stop(const hy_prep *p, int on)
{
  char *path = hy_asprintf("%s/stop", p->dir);
  int fd = on ? open(path, O_WRONLY | O_CREAT, 0666) : -1;

  if (fd >= 0)
    close(fd);
  if (!on)
    unlink(path);
  free(path);
}

typedef struct {
  hy_progress bar;
  double done, looked; /* bytes of own shards; when others were looked at */
  int stopped;
} pace;

static int
read_records(shard_work *w, const hy_prep_shard *s, pace *t)
{
  hy_record rec;
  const char *why;
  int more = 1, err = HY_OK;

  while (!err && !t->stopped) {
    err = hy_records_next(w->rec, &rec, &more);
    if (err || !more)
      break;
    w->f.n_bad += rec.n_bad;
    err = hy_reader_record(w->p->reader, &rec, &why, add_doc, w);
    if (!err && why)
      err = refuse(w, why, !hy_why_harmless(why));
    hy_progress_at(&t->bar, t->done + s->bytes * hy_records_done(w->rec));
    t->stopped = others_stopped(w->p, &t->looked);
  }
  return err;
}

static int
make_part(shard_work *w, int64_t k, const char *of, pace *t)
{
  hy_prep *p = w->p;
  const hy_prep_shard *s = &p->shard[k];
  int err = hy_records_open(&w->rec, &p->src[s->input].in, s->number);

  if (!err)
    err = hy_part_begin(&w->out, p->dir, k, hy_curate_sign_bytes(p->curate));
  if (!err)
    err = read_records(w, s, t);
  err = hy_part_end(w->out, err, &w->f);
  w->out = NULL;
  hy_records_close(w->rec);
  w->rec = NULL;
  if (!err && !t->stopped)
    err = hy_receipt_write(p->dir, k, of, &w->f);
  return err;
}

static int
do_shard(shard_work *w, int64_t k, pace *t)
{
  hy_prep *p = w->p;
  hy_prep_shard *s = &p->shard[k];
  hy_prep_source *src = &p->src[s->input];
  char *made = hy_asprintf("%s %s %lld of %lld", p->run, src->in.sha,
                           (long long)s->number, (long long)src->in.n_shards);
  int err = HY_OK;

  if (hy_receipt_read(p->dir, k, made, &w->f))
    p->n_again++;
  else {
    w->f = (hy_part_facts){.top = -1};
    err = make_part(w, k, made, t);
  }
  if (!err) {
    s->n_docs = w->f.n_docs;
    s->n_tokens = w->f.n_tokens;
    src->n_docs += w->f.n_docs;
    src->n_tokens += w->f.n_tokens;
    src->n_bad += w->f.n_bad;
    p->top = w->f.top > p->top ? w->f.top : p->top;
    p->weights |= w->f.weights;
    for (int i = 0; i < w->f.dropped.n; i++)
      hy_tally_add(&p->dropped, w->f.dropped.row[i].phrase,
                   w->f.dropped.row[i].n);
    for (int i = 0; i < w->f.notes.n; i++)
      hy_tally_add(&p->notes, w->f.notes.row[i].phrase, w->f.notes.row[i].n);
  }
  hy_part_facts_free(&w->f);
  free(made);
  return err;
}

/* Sums of what the ranks found. */
static void
share_facts(hy_prep *p)
{
  const hy_comm *comm = p->comm;
  int64_t n_all = 2 * p->n_shards + 3 * (int64_t)p->n_src, *n, *at;

  n = at = hy_malloc((size_t)n_all * sizeof *n);
  for (int64_t k = 0; k < p->n_shards; k++) {
    *at++ = p->shard[k].n_docs;
    *at++ = p->shard[k].n_tokens;
  }
  for (int i = 0; i < p->n_src; i++) {
    *at++ = p->src[i].n_docs;
    *at++ = p->src[i].n_tokens;
    *at++ = p->src[i].n_bad;
  }
  hy_sum_i64(comm, n, (int)n_all);
  at = n;
  for (int64_t k = 0; k < p->n_shards; k++) {
    p->shard[k].n_docs = *at++;
    p->shard[k].n_tokens = *at++;
  }
  for (int i = 0; i < p->n_src; i++) {
    p->src[i].n_docs = *at++;
    p->src[i].n_tokens = *at++;
    p->src[i].n_bad = *at++;
  }
  free(n);
  p->top = hy_max_i64(comm, p->top);
  p->weights = hy_max_i64(comm, p->weights) > 0;
  hy_sum_i64(comm, &p->n_again, 1);
  hy_tally_share(&p->dropped, comm);
  hy_tally_share(&p->notes, comm);
}

int
hy_prep_shards(hy_prep *p)
{
  size_t sign = hy_curate_sign_bytes(p->curate);
  shard_work w = {.p = p, .sign = sign ? hy_malloc(sign) : NULL};
  pace t = {.looked = hy_now()};
  double own = 0;
  int err = HY_OK;

  for (int64_t k = 0; k < p->n_shards; k++)
    own += p->shard[k].owner == p->comm->rank ? p->shard[k].bytes : 0;
  hy_progress_begin(&t.bar, "prepare", own, p->comm->rank == 0);
  p->top = -1;
  for (int64_t k = 0; k < p->n_shards && !err && !t.stopped; k++) {
    if (p->shard[k].owner != p->comm->rank)
      continue;
    err = do_shard(&w, k, &t);
    t.done += p->shard[k].bytes;
  }
  hy_progress_end(&t.bar);
  free(w.sign);
  free(w.ids.id);
  free(w.weight.v);
  free(w.text.data);
  if (err)
    set_stop(p, 1);
  err = hy_agree(p->comm, err);
  if (err && p->comm->rank == 0) {
    set_stop(p, 0);
    rmdir(p->dir); /* if nothing is done yet */
  }
  if (!err)
    share_facts(p);
  return err;
}
