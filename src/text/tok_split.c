/* tok_split.c: a piece of text is cut by the steps of the pre-tokenizer, one
 * after the other; what the last one leaves goes to the vocabulary. */
#include "text/tok.h"
#include "base/err.h"
#include "text/utf8.h"

#include <stdlib.h>

/* Next match at or after *at; 1 found, 0 none, else an error code < 0. An
 * empty match where the last one ended does not count. */
static int
next_match(hy_tok *t, const pcre2_code *re, const char *s, size_t n, size_t *at,
           size_t last, size_t *from, size_t *to)
{
  while (*at <= n) {
    int rc = pcre2_match(re, (PCRE2_SPTR)s, n, *at, PCRE2_NO_UTF_CHECK, t->md,
                         t->mc);
    const PCRE2_SIZE *ov = pcre2_get_ovector_pointer(t->md);
    int ok;

    if (rc == PCRE2_ERROR_NOMATCH)
      return 0;
    if (rc < 0)
      return rc;
    *from = ov[0];
    *to = ov[1];
    if (*to > *from || *from != last) {
      *at = *to;
      return 1;
    }
    *at = *from + (*from < n ? hy_utf8_next(s + *from, n - *from, &ok) : 1);
  }
  return 0;
}

/* Pieces of one step on their way to the next: the last one may still grow. */
typedef struct {
  hy_tok *t;
  int step;
  const char *s;
  const hy_tok_sink *out;
  size_t from, to; /* the last one */
  int have, match; /* there is one; it ends with a match */
} parts;

static int
send(parts *p)
{
  int have = p->have && p->to > p->from;

  p->have = 0;
  return have ? hy_tok_pieces(p->t, p->step + 1, p->s + p->from,
                              p->to - p->from, p->out)
              : HY_OK;
}

/* A match or gap. Source of the rules: the `tokenizers` package. */
static int
part(parts *p, size_t from, size_t to, int match)
{
  const hy_tok_step *step = &p->t->step[p->step];
  int was = p->match, join = 0, err;

  match ^= step->invert;
  p->match = match;
  if (step->behavior == HY_TOK_CONTIGUOUS)
    join = match == was;
  else if (step->behavior == HY_TOK_PREVIOUS)
    join = match && !was;
  else if (step->behavior == HY_TOK_NEXT)
    join = !match && was;
  if (join && p->have) {
    p->to = to;
    return HY_OK;
  }
  err = send(p);
  p->from = from;
  p->to = to;
  p->have = !match || step->behavior != HY_TOK_REMOVED;
  return err;
}

static int
cut(hy_tok *t, int k, const char *s, size_t n, const hy_tok_sink *out)
{
  parts p = {t, k, s, out, 0, 0, 0, 0};
  size_t at = 0, done = 0, last = SIZE_MAX, from, to;
  int err = HY_OK, rc;

  while (!err &&
         (rc = next_match(t, t->step[k].re, s, n, &at, last, &from, &to))) {
    if (rc < 0)
      return hy_fail(HY_EDATA,
                     "tokenizer: the split pattern fails on a text of %zu "
                     "bytes (PCRE2 error %d); cut the text",
                     n, rc);
    if (from > done)
      err = part(&p, done, from, 0);
    if (!err)
      err = part(&p, from, to, 1);
    done = last = to;
  }
  if (!err && n > done)
    err = part(&p, done, n, 0);
  return err ? err : send(&p);
}

/* The same by a function that finds every match. */
static int
cut_scan(hy_tok *t, int k, const char *s, size_t n, const hy_tok_sink *out)
{
  hy_tok_scan *scan = t->step[k].scan;
  const char *end = s + n, *to;
  int err = HY_OK, last = k + 1 == t->n_steps && !out->at;

  for (; s < end && !err; s = to) {
    to = scan(t->class, s, end);
    if (last)
      hy_tok_piece(t, s, (size_t)(to - s), end, out->ids);
    else
      err = hy_tok_pieces(t, k + 1, s, (size_t)(to - s), out);
  }
  return err;
}

static void
one_piece(hy_tok *t, const char *s, size_t n, const hy_tok_sink *out)
{
  size_t done = out->ids->n;

  hy_tok_piece(t, s, n, s + n, out->ids);
  if (out->at)
    hy_tok_bpe_places(t, s, n, done, out);
}

int
hy_tok_pieces(hy_tok *t, int k, const char *text, size_t n,
              const hy_tok_sink *out)
{
  hy_tok_sink in = *out;
  hy_buf b = {0};
  int err;

  if (k == t->n_steps) {
    one_piece(t, text, n, out);
    return HY_OK;
  }
  if (t->step[k].prefix_space && text[0] != ' ') {
    hy_buf_add(&b, " ", 1);
    hy_buf_add(&b, text, n);
    /* the added space stands before the text: a place begins with the text */
    in.first = out->base + (text - out->origin);
    in.base = in.first - 1;
    in.origin = text = b.data;
    n = b.len;
  }
  if (t->step[k].scan)
    err = cut_scan(t, k, text, n, &in);
  else if (t->step[k].re)
    err = cut(t, k, text, n, &in);
  else
    err = hy_tok_pieces(t, k + 1, text, n, &in);
  free(b.data);
  return err;
}
