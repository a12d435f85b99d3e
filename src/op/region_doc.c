/* region_doc.c: sums over documents that lie on several ranks. */
#include "op/region.h"

static void
sum_docs_fwd(hy_ctx *c, hy_rec *r)
{
  hy_tensor *y = r->out[0];

  (void)c; /* whole numbers: exact up to 2^24 tokens a document */
  hy_sum(r->attr.comm, y->data, r->scratch, y->fmt,
         (size_t)(y->dim[0] * y->ld));
}

static void
sum_docs_bwd(hy_ctx *c, hy_rec *r)
{
  (void)c;
  (void)r;
}

static const hy_op op_sum_docs = {"sum_docs", sum_docs_fwd, sum_docs_bwd, NULL,
                                  1};

/* Each border between pieces of a row, and between slices of a rank's tokens,
 * can cut one document. */
static int64_t
most_cut(const hy_ctx *c)
{
  int64_t cp = c->grid->cp.size, tp = c->grid->tp.size;

  return c->batch->n_rows * (cp > 1 ? 2 * cp - 1 : 0) + cp * (tp - 1);
}

hy_cut_docs
hy_sum_docs(hy_ctx *c, hy_tensor *logits, int64_t top_k)
{
  const hy_batch *b = c->batch;
  int64_t n = c->be->dry ? most_cut(c) : b->doc ? b->n_cut_docs : 0;
  const int32_t *doc = b->doc ? hy_columns(c)->doc + hy_token_at(c, logits->dim[0]) : NULL;
  hy_tensor *count, *sum;
  hy_rec *r;

  if (n == 0)
    return (hy_cut_docs){NULL, NULL};
  count = hy_seq_count(c, logits, top_k, doc, n);
  r = hy_rec_new(c, &op_sum_docs, 1, &count);
  r->attr.comm = &c->grid->seq;
  sum = hy_cols_of(c, count, 0, hy_cols(count)); /* the same memory */
  sum->base = NULL;
  r->out[r->n_out++] = sum;
  return (hy_cut_docs){hy_exec(c, r), doc};
}
