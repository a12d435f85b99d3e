/* hop.c: who holds a piece, who hears from whom, one message each. */
#include "op/hop.h"

/* One document lies in both pieces, whichever of them is the earlier one. */
static int
linked(const hy_hop *h, int64_t row, int p, int q)
{
  return hy_cut_linked(h->row_start, h->seq_len, h->comm->size, row,
                       p < q ? p : q, p < q ? q : p);
}

/* Rows with a document in both of two pieces. */
static int64_t
n_linked(const hy_hop *h, int p, int q)
{
  int64_t n = 0;

  for (int64_t row = 0; row < h->n_rows; row++)
    n += linked(h, row, p, q);
  return n;
}

/* The messages of one call: [0] of the piece cp.rank, [1] of the other. */
typedef struct {
  int piece[2], to[2], from[2]; /* to, from: the piece there; -1: nobody */
  void *out[2];
  const void *in[2];
} hop_plan;

static size_t
hop_bytes(const hy_hop *h, int p, int q)
{
  return hy_bytes(h->fmt, n_linked(h, p, q) * h->n_item);
}

static hop_plan
hop_plan_of(const hy_hop *h, int d)
{
  int n = 2 * h->comm->size;
  int64_t room = h->n_rows * h->n_item;
  hop_plan p = {.piece = {h->comm->rank, n - 1 - h->comm->rank}};

  for (int i = 0; i < 2; i++) {
    int to = p.piece[i] + d, from = p.piece[i] - d;

    p.to[i] = to >= 0 && to < n ? to : -1;
    p.from[i] = from >= 0 && from < n ? from : -1;
    p.out[i] = hy_at(h->buf, h->fmt, i * room);
    p.in[i] = hy_at(h->buf, h->fmt, (2 + i) * room);
  }
  for (int i = 0; i < 2; i++) /* the other piece is here as well */
    if (p.from[i] == p.piece[1 - i])
      p.in[i] = p.out[1 - i];
  return p;
}

/* Rows linked between pieces p and q: fill or read the message in `at`. */
static void
hop_rows(const hy_hop *h, int i, int p, int q, void *out, const void *in)
{
  int64_t n = 0;

  for (int64_t row = 0; row < h->n_rows; row++) {
    if (!linked(h, row, p, q))
      continue;
    if (out != NULL)
      h->put(h->arg, 2 * row + i, hy_at(out, h->fmt, n * h->n_item));
    else
      h->take(h->arg, 2 * row + i, hy_at(in, h->fmt, n * h->n_item));
    n++;
  }
}

void
hy_hop_run(const hy_hop *h, int d)
{
  MPI_Request few[16];
  hy_pending wait = {.cap = 16, .borrowed = 1, .req = few};
  hop_plan p = hop_plan_of(h, d);
  int cp = h->comm->size, me = h->comm->rank;
  int dry = h->comm->mpi == MPI_COMM_NULL;

  hy_group_begin(h->comm);
  for (int i = 0; i < 2; i++) {
    size_t bytes = p.from[i] < 0 ? 0 : hop_bytes(h, p.from[i], p.piece[i]);

    if (bytes > 0 && hy_cut_owner(cp, p.from[i]) != me)
      hy_recv_start(&wait, h->comm,
                    hy_at(h->buf, h->fmt, (2 + i) * h->n_rows * h->n_item),
                    bytes, hy_cut_owner(cp, p.from[i]));
  }
  for (int i = 0; i < 2; i++) {
    size_t bytes = p.to[i] < 0 ? 0 : hop_bytes(h, p.piece[i], p.to[i]);

    if (bytes > 0 && !dry)
      hop_rows(h, i, p.piece[i], p.to[i], p.out[i], NULL);
    if (bytes > 0 && hy_cut_owner(cp, p.to[i]) != me)
      hy_send_start(&wait, h->comm, p.out[i], bytes, hy_cut_owner(cp, p.to[i]));
  }
  hy_group_end(h->comm);
  hy_wait(&wait);
  for (int i = 0; i < 2 && !dry; i++)
    if (p.from[i] >= 0)
      hop_rows(h, i, p.from[i], p.piece[i], NULL, p.in[i]);
  hy_pending_free(&wait);
}
