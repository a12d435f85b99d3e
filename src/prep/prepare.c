#include "prep/prepare.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/progress.h"
#include "prep/lines.h"
#include "data/packed.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* Why a document is left out. */
enum { DROP_BLANK, DROP_EMPTY, N_DROP };
static const char *const drop_name[N_DROP] = {"blank line", "empty document"};

/* One input file. The counts are those of this rank, later of all. */
typedef struct {
  const char *path;
  int64_t bytes; /* of text, after gunzip */
  int64_t n_docs, n_tokens, n_bad;
  char sha[HY_SHA_HEX];
} source;

typedef struct {
  const hy_deck_prepare *d;
  const hy_comm *comm;
  source *src;
  hy_tok *tok;        /* NULL: all input is ids */
  int32_t eos;        /* -1: none */
  int64_t vocab, top; /* ids are < vocab; the largest id met */
  int64_t dropped[N_DROP];
  int64_t from, to, done; /* bytes of all files together: own share */
  double begun;
  hy_progress bar;
  hy_ids ids;
  int64_t *doc_len, n_docs, cap_docs;
} work;

/* ---- keys and files ---- */

static int
check_keys(const hy_deck_prepare *d)
{
  if (d->input.n == 0)
    return hy_fail(HY_EDECK, "prepare.input: not set; give .txt or .jsonl "
                             "files");
  if (!*d->output)
    return hy_fail(HY_EDECK, "prepare.output: not set; give the name of the "
                             "packed file");
  for (int i = 0; i < d->input.n; i++)
    if (!hy_text_is(d->input.s[i], ".txt") &&
        !hy_text_is(d->input.s[i], ".jsonl"))
      return hy_fail(HY_EDECK,
                     "prepare.input: %s is not .txt, .jsonl, .txt.gz or "
                     ".jsonl.gz; rename or convert it",
                     d->input.s[i]);
  return HY_OK;
}

/* Every rank reads the tokenizer itself: it is small. */
static int
open_tokenizer(work *w)
{
  const hy_deck_prepare *d = w->d;
  int none = !strcmp(d->eos, "none"), err;

  w->eos = -1;
  if (!*d->tokenizer) {
    if (*d->eos && !none)
      return hy_fail(HY_EDECK, "prepare.eos: needs prepare.tokenizer; set it, "
                               "or eos='none'");
    return HY_OK;
  }
  err = hy_tok_open(&w->tok, d->tokenizer);
  if (err)
    return err;
  w->vocab = hy_tok_n(w->tok);
  if (none)
    return HY_OK;
  w->eos = *d->eos ? hy_tok_find(w->tok, d->eos) : hy_tok_eos(w->tok);
  if (w->eos < 0 && *d->eos)
    return hy_fail(HY_EDECK,
                   "prepare.eos: \"%s\" is no token of %s; name one, or "
                   "'none'",
                   d->eos, d->tokenizer);
  if (w->eos < 0)
    return hy_fail(HY_EDECK,
                   "prepare.eos: %s names no end-of-text token; name one, or "
                   "'none'",
                   d->tokenizer);
  return HY_OK;
}

/* File i is measured and hashed by rank i modulo the ranks. */
static int
measure(work *w)
{
  const hy_comm *comm = w->comm;
  int err = HY_OK;

  for (int i = 0; i < w->d->input.n && !err; i++) {
    source *s = &w->src[i];

    s->path = w->d->input.s[i];
    if (i % comm->size != comm->rank)
      continue;
    err = hy_text_size(s->path, &s->bytes);
    if (!err)
      err = hy_sha256_file(s->path, s->sha);
    if (!err && s->bytes == 0)
      err = hy_fail(HY_EDATA, "%s: is empty; remove it from prepare.input",
                    s->path);
  }
  err = hy_agree(comm, err);
  for (int i = 0; i < w->d->input.n && !err; i++) {
    hy_bcast(comm, &w->src[i].bytes, sizeof w->src[i].bytes, i % comm->size);
    hy_bcast(comm, w->src[i].sha, HY_SHA_HEX, i % comm->size);
  }
  return err;
}

/* ---- documents ---- */

static void
add_doc(work *w, source *s, size_t before)
{
  int64_t n = (int64_t)(w->ids.n - before);

  if (n == 0) {
    w->dropped[DROP_EMPTY]++;
    return;
  }
  if (w->eos >= 0) {
    hy_ids_add(&w->ids, w->eos);
    n++;
  }
  if (w->n_docs == w->cap_docs) {
    w->cap_docs = w->cap_docs ? 2 * w->cap_docs : 1024;
    w->doc_len =
        hy_realloc(w->doc_len, (size_t)w->cap_docs * sizeof *w->doc_len);
  }
  w->doc_len[w->n_docs++] = n;
  s->n_docs++;
  s->n_tokens += n;
}

static int
add_text(work *w, source *s, const char *text, size_t n)
{
  size_t before = w->ids.n;
  int err;

  if (!w->tok)
    return hy_fail(HY_EDECK,
                   "prepare.tokenizer: not set, but %s holds text; "
                   "set it",
                   s->path);
  err = hy_tok_encode(w->tok, text, n, 0, &w->ids, &s->n_bad);
  if (!err)
    add_doc(w, s, before);
  return err;
}

/* NULL, or what is wrong with the list. */
static const char *
add_ids(work *w, source *s, const json_t *list)
{
  size_t before = w->ids.n, i;
  int64_t limit = w->tok ? w->vocab : 1 << 24;
  json_t *v;

  if (!json_is_array(list))
    return "`ids` is no list; make it a list of integers";
  json_array_foreach((json_t *)list, i, v)
  {
    json_int_t id = json_integer_value(v);

    if (!json_is_integer(v))
      return "`ids` holds something that is no integer; correct it";
    if (id < 0 || id >= limit)
      return "`ids` holds an id that is not in the vocabulary; use the "
             "tokenizer that made the ids";
    if (id > w->top)
      w->top = id;
    hy_ids_add(&w->ids, (int32_t)id);
  }
  /* an end that is there already is taken off, add_doc puts it back */
  if (w->ids.n > before && w->eos >= 0 && w->ids.id[w->ids.n - 1] == w->eos)
    w->ids.n--;
  add_doc(w, s, before);
  return NULL;
}

static int
bad_line(const source *s, int64_t start, const char *what)
{
  return hy_fail(HY_EDATA, "%s:%lld: %s", s->path,
                 (long long)hy_lines_number(s->path, start), what);
}

static int
add_object(work *w, source *s, const json_t *o, int64_t start)
{
  const json_t *text = json_object_get(o, w->d->field);
  const json_t *ids = json_object_get(o, "ids");
  const char *bad = NULL;
  char *what;
  int err;

  if (json_is_string(text))
    return add_text(w, s, json_string_value(text), json_string_length(text));
  if (ids && (!text || text == ids))
    bad = add_ids(w, s, ids);
  else if (!json_is_object(o))
    bad = "is no JSON object; write one object a line";
  else if (!text) {
    what = hy_asprintf("has neither the field `%s` nor `ids`; set "
                       "prepare.field",
                       w->d->field);
    err = bad_line(s, start, what);
    free(what);
    return err;
  } else
    bad = "the text field is no string; set prepare.field or correct the line";
  return bad ? bad_line(s, start, bad) : HY_OK;
}

static int
is_blank(const char *line, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (line[i] != ' ' && line[i] != '\t')
      return 0;
  return 1;
}

static int
add_line(work *w, source *s, const char *line, size_t n, int64_t start)
{
  hy_buf fixed = {0};
  json_error_t e;
  json_t *o;
  char *what;
  int err;

  if (is_blank(line, n)) {
    w->dropped[DROP_BLANK]++;
    return HY_OK;
  }
  if (!hy_utf8_ok(line, n)) {
    s->n_bad += hy_utf8_repair(line, n, &fixed);
    line = fixed.data;
    n = fixed.len;
  }
  o = json_loadb(line, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &e);
  if (o) {
    err = add_object(w, s, o, start);
  } else {
    what = hy_asprintf("broken JSON: %s; correct the line", e.text);
    err = bad_line(s, start, what);
    free(what);
  }
  json_decref(o);
  free(fixed.data);
  return err;
}

/* ---- own share of the files ---- */

/* Lines of a file that begin in from .. to-1 (bytes of its text); `base` is
 * where the file begins in all text. */
static int
do_lines(work *w, source *s, int64_t from, int64_t to, int64_t base)
{
  hy_lines *l;
  const char *line;
  int64_t start;
  size_t n;
  int err = hy_lines_open(&l, s->path, from);

  while (!err) {
    err = hy_lines_next(l, &line, &n, &start);
    if (err || !line || start >= to)
      break;
    err = add_line(w, s, line, n, start);
    hy_progress_at(&w->bar, (double)(base + start - w->from));
  }
  hy_lines_close(l);
  return err;
}

static int
do_share(work *w)
{
  int64_t base = 0;
  int err = HY_OK;

  hy_progress_begin(&w->bar, "prepare", (double)(w->to - w->from),
                    w->comm->rank == 0);
  for (int i = 0; i < w->d->input.n && !err; i++) {
    source *s = &w->src[i];
    int64_t from = w->from - base, to = w->to - base;

    from = from > 0 ? from : 0;
    to = to < s->bytes ? to : s->bytes;
    if (from < to && hy_text_is(s->path, ".jsonl")) {
      err = do_lines(w, s, from, to, base);
    } else if (from == 0 && to > 0) { /* one document, where it begins */
      hy_buf text = {0};

      err = hy_text_read(s->path, &text);
      if (!err)
        err = add_text(w, s, text.data, text.len);
      free(text.data);
    }
    base += s->bytes;
  }
  hy_progress_end(&w->bar);
  return err;
}

/* ---- the end ---- */

/* The name without its folder, as UTF-8; the caller frees it. */
static char *
base_name(const char *path)
{
  const char *slash = strrchr(path, '/');
  hy_buf b = {0};

  path = slash ? slash + 1 : path;
  hy_utf8_repair(path, strlen(path), &b);
  return b.data;
}

static char *
sources_text(const work *w)
{
  json_t *list = json_array();
  char *text;

  for (int i = 0; i < w->d->input.n; i++) {
    const source *s = &w->src[i];
    char *name = base_name(s->path);

    json_array_append_new(list, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}",
                                          "file", name, "sha256", s->sha,
                                          "bytes", (json_int_t)s->bytes,
                                          "documents", (json_int_t)s->n_docs,
                                          "tokens", (json_int_t)s->n_tokens,
                                          "bad_utf8", (json_int_t)s->n_bad));
    free(name);
  }
  text = json_dumps(list, JSON_COMPACT);
  json_decref(list);
  return text;
}

static char *
dropped_text(const work *w)
{
  json_t *o = json_object();
  char *text;

  for (int i = 0; i < N_DROP; i++)
    if (w->dropped[i])
      json_object_set_new(o, drop_name[i],
                          json_integer((json_int_t)w->dropped[i]));
  text = json_dumps(o, JSON_COMPACT);
  json_decref(o);
  return text;
}

static void
print_report(const work *w, FILE *out, int64_t n_docs, int64_t n_tokens,
             const char *hash)
{
  double seconds = MPI_Wtime() - w->begun;
  int64_t n_bad = 0;

  for (int i = 0; i < w->d->input.n; i++) {
    const source *s = &w->src[i];

    n_bad += s->n_bad;
    fprintf(out, "prepare: %s: %lld bytes, %lld documents, %lld tokens\n",
            s->path, (long long)s->bytes, (long long)s->n_docs,
            (long long)s->n_tokens);
  }
  for (int i = 0; i < N_DROP; i++)
    if (w->dropped[i])
      fprintf(out, "prepare: dropped %lld (%s)\n", (long long)w->dropped[i],
              drop_name[i]);
  if (n_bad)
    fprintf(out, "prepare: %lld invalid UTF-8 parts replaced by U+FFFD\n",
            (long long)n_bad);
  fprintf(out,
          "prepare: %d files, %lld documents, %lld tokens, %lld rows of %lld, "
          "%.0f tokens/s -> %s\n",
          w->d->input.n, (long long)n_docs, (long long)n_tokens,
          (long long)((n_tokens + w->d->seq_len - 1) / w->d->seq_len),
          (long long)w->d->seq_len, (double)n_tokens / seconds, w->d->output);
  fprintf(out, "prepare: content hash %s\n", hash);
}

/* Where this rank's documents begin among all, and the numbers of all. */
static int
write_share(work *w, hy_packed_out *o, const int64_t total[2])
{
  const hy_comm *comm = w->comm;
  int64_t mine[2] = {w->n_docs, (int64_t)w->ids.n}, first[2] = {0, 0}, at;
  int64_t step = w->d->seq_len, (*row)[2];
  int64_t n_rows = (total[1] + step - 1) / step, from, n;
  int err;

  MPI_Exscan(mine, first, 2, MPI_INT64_T, MPI_SUM, comm->mpi);
  if (comm->rank == 0)
    first[0] = first[1] = 0; /* undefined after MPI_Exscan */
  err = hy_packed_put_tokens(o, first[1], mine[1], w->ids.id, NULL);
  at = first[1];
  for (int64_t i = 0; i < mine[0]; i++) { /* lengths become places */
    int64_t len = w->doc_len[i];

    w->doc_len[i] = at;
    at += len;
  }
  err = err ? err : hy_packed_put_docs(o, first[0], mine[0], w->doc_len);
  if (!err && comm->rank == 0)
    err = hy_packed_put_docs(o, total[0], 1, &total[1]);
  from = n_rows * comm->rank / comm->size;
  n = n_rows * (comm->rank + 1) / comm->size - from;
  row = hy_malloc((size_t)(n + 1) * sizeof *row);
  for (int64_t i = 0; i < n; i++) {
    int64_t left = total[1] - (from + i) * step;

    row[i][0] = (from + i) * step;
    row[i][1] = left < step ? left : step;
  }
  err = err ? err : hy_packed_put_rows(o, from, n, (const int64_t(*)[2])row);
  free(row);
  return err;
}

/* Sum the counts of all ranks and write. */
static int
finish(work *w, int64_t seed, FILE *report)
{
  const hy_comm *comm = w->comm;
  int64_t total[2] = {w->n_docs, (int64_t)w->ids.n};
  hy_packed_head head = {.seq_len = w->d->seq_len,
                         .packing = "concatenative",
                         .seed = seed,
                         .eos = w->eos,
                         .tok_hash = w->tok ? hy_tok_hash(w->tok) : ""};
  char *sources, *dropped, hash[HY_SHA_HEX];
  hy_packed_out *o;
  int err;

  for (int i = 0; i < w->d->input.n; i++) {
    hy_sum_i64(comm, &w->src[i].n_docs, 1);
    hy_sum_i64(comm, &w->src[i].n_tokens, 1);
    hy_sum_i64(comm, &w->src[i].n_bad, 1);
  }
  hy_sum_i64(comm, w->dropped, N_DROP);
  hy_sum_i64(comm, total, 2);
  if (total[0] == 0)
    return hy_fail(HY_EDATA, "prepare.input: all documents are empty; give "
                             "files with text");
  head.n_docs = total[0];
  head.n_tokens = total[1];
  head.n_rows = (total[1] + w->d->seq_len - 1) / w->d->seq_len;
  head.vocab = w->tok ? w->vocab : hy_max_i64(comm, w->top) + 1;
  head.sources = sources = sources_text(w);
  head.dropped = dropped = dropped_text(w);
  err = hy_packed_create(&o, w->d->output, &head, comm);
  if (!err)
    err = hy_packed_close(o, write_share(w, o, total), hash);
  if (!err && comm->rank == 0)
    print_report(w, report, total[0], total[1], hash);
  free(sources);
  free(dropped);
  return err;
}

int
hy_prepare(const hy_deck_prepare *d, int64_t seed, const hy_comm *comm,
           FILE *report)
{
  work w = {.d = d, .comm = comm, .begun = MPI_Wtime()};
  int64_t all = 0;
  int err = check_keys(d);

  if (err)
    return err;
  w.src = hy_calloc((size_t)d->input.n, sizeof *w.src);
  err = open_tokenizer(&w);
  if (!err && comm->rank == 0)
    err = hy_packed_writable(d->output);
  err = hy_agree(comm, err);
  if (!err)
    err = measure(&w);
  if (!err) {
    for (int i = 0; i < d->input.n; i++)
      all += w.src[i].bytes;
    w.from = all / comm->size * comm->rank;
    w.to = comm->rank == comm->size - 1 ? all
                                        : all / comm->size * (comm->rank + 1);
    err = hy_agree(comm, do_share(&w));
  }
  if (!err)
    err = finish(&w, seed, report);
  hy_tok_free(w.tok);
  free(w.src);
  free(w.ids.id);
  free(w.doc_len);
  return err;
}
