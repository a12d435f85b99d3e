#include "op/columns.h"
#include "base/err.h"
#include "op/op.h"

#include <stdlib.h>
#include <string.h>

/* The columns lie one behind the other in one block, each on a line of its
 * own, so that one copy brings them all. */
struct hy_column_room {
  hy_batch b;
  char *block, *host; /* in backend memory, and where it is put together */
  size_t size;
};

enum { LINE = 64, PER_TOKEN = 4 + 4 + 4 + 4 + 1 + 4, PER_DEPTH = 12 };

static size_t
lines(size_t bytes)
{
  return (bytes + LINE - 1) / LINE * LINE;
}

size_t
hy_columns_bytes(const hy_backend *be, int64_t n_rows, int64_t n_tokens,
                 int n_ahead)
{
  size_t n = (size_t)n_tokens, depth = (size_t)n_ahead;

  if (be->host_memory)
    return 0;
  return lines(HY_N_DENOMINATOR * sizeof(double)) +
         lines(2 * (size_t)n_rows * sizeof(hy_span)) +
         n * (PER_TOKEN + depth * PER_DEPTH) + (7 + 3 * depth) * LINE;
}

int
hy_columns_new(hy_ctx *c, int64_t n_rows, int64_t n_tokens, int n_ahead)
{
  hy_column_room *k;

  if (c->be->host_memory)
    return HY_OK;
  k = hy_calloc(1, sizeof *k);
  c->room = k;
  k->size = hy_columns_bytes(c->be, n_rows, n_tokens, n_ahead);
  k->block = c->be->mem->get(k->size);
  k->host = c->be->mem->get_host(k->size);
  if (k->block && k->host)
    return HY_OK;
  return hy_fail(HY_ERES,
                 "memory: cannot get %zu bytes for a micro-batch; use "
                 "a smaller data.micro_batch or more ranks",
                 k->size);
}

void
hy_columns_free(hy_ctx *c)
{
  hy_column_room *k = c->room;

  if (!k)
    return;
  if (k->block)
    c->be->mem->put(k->block);
  if (k->host)
    c->be->mem->put_host(k->host);
  free(k);
  c->room = NULL;
  c->columns = NULL;
}

/* Copy a column to *at of the block; where it will be, NULL if there is none.
 */
static void *
put(hy_column_room *k, size_t *at, const void *column, size_t bytes)
{
  void *there = k->block + *at;

  if (!column)
    return NULL;
  if (*at + lines(bytes) > k->size)
    hy_die(HY_EBUG, "columns: a micro-batch is larger than its room; please "
                    "report this deck");
  if (bytes)
    memcpy(k->host + *at, column, bytes);
  *at += lines(bytes);
  return there;
}

static const double *
put_denominators(hy_column_room *k, size_t *at, const hy_batch *b)
{
  double d[HY_N_DENOMINATOR] = {
      [HY_N_TARGET] = b->n_target, [HY_N_DOCS] = b->n_docs};

  memcpy(d + HY_N_AHEAD, b->n_ahead_target, sizeof b->n_ahead_target);
  return put(k, at, d, sizeof d);
}

static void
put_columns(hy_column_room *k, const hy_batch *b)
{
  size_t n = (size_t)b->n_tokens, word = n * sizeof(int32_t), at = 0;
  hy_batch *to = &k->b;

  *to = *b;
  to->denominator = put_denominators(k, &at, b);
  to->token = put(k, &at, b->token, word);
  to->target = put(k, &at, b->target, word);
  to->weight = put(k, &at, b->weight, word);
  to->seq_start = put(k, &at, b->seq_start, word);
  to->pad = put(k, &at, b->pad, n);
  to->doc = put(k, &at, b->doc, word);
  to->span = put(k, &at, b->span, (size_t)b->n_span * sizeof *b->span);
  to->row_start = NULL; /* the host's alone */
  for (int d = 0; d < b->n_ahead; d++) {
    to->ahead[d].token = put(k, &at, b->ahead[d].token, word);
    to->ahead[d].target = put(k, &at, b->ahead[d].target, word);
    to->ahead[d].weight = put(k, &at, b->ahead[d].weight, word);
  }
}

void
hy_ctx_batch(hy_ctx *c, const hy_batch *b)
{
  c->batch = b;
  c->columns = NULL;
  if (!c->room)
    return;
  put_columns(c->room, b);
  c->be->mem->load(c->room->block, c->room->host, c->room->size);
  c->columns = &c->room->b;
}
