/* rows_packed.c: a packed file as a source: its rows, in an order of their own
 * each epoch. */
#include "base/err.h"
#include "base/mem.h"
#include "data/rows.h"

#include <stdio.h>

static int
row(hy_rows *r, int64_t epoch, int64_t i, hy_row *out)
{
  return hy_packed_row(r->state, hy_rows_place(r, epoch, i, r->n_rows), out);
}

static double
pairs(hy_rows *r, int64_t epoch, int64_t i)
{
  const hy_packed *p = r->state;
  int64_t n, end, row = hy_rows_place(r, epoch, i, r->n_rows);
  int64_t at = hy_packed_row_at(p, row, &n), stop = at + n;
  int64_t doc = hy_packed_doc_of(p, at);
  double sum = 0;

  for (; at < stop; at = end) {
    end = hy_packed_doc_start(p, ++doc);
    if (end > stop)
      end = stop;
    sum += (double)(end - at) * (double)(end - at);
  }
  return sum;
}

static void
close_file(hy_rows *r)
{
  hy_packed_free(r->state);
}

static const hy_rows_type type = {"packed", row, pairs, close_file};

int
hy_rows_open_packed(hy_rows *r, const hy_rows_keys *keys, const hy_comm *comm)
{
  hy_packed *p;
  int err = hy_packed_open(&p, r->path, comm);

  if (err)
    return err;
  r->type = &type;
  r->state = p;
  r->n_rows = hy_packed_n_rows(p);
  r->seq_len = hy_packed_seq_len(p);
  r->vocab = hy_packed_vocab(p);
  snprintf(r->hash, sizeof r->hash, "%s", hy_packed_hash(p));
  snprintf(r->tok_hash, sizeof r->tok_hash, "%s", hy_packed_tok_hash(p));
  r->lineage = hy_strdup(hy_packed_lineage(p));
  if (keys->seq_len && keys->seq_len != r->seq_len)
    return hy_fail(HY_EDECK,
                   "data.seq_len: is %lld, the rows of %s have %lld; leave it "
                   "out or prepare the file with this length",
                   (long long)keys->seq_len, r->path, (long long)r->seq_len);
  return HY_OK;
}
