/* look.c: what others see of a run of the tape: named tensors, counts and
 * margins of routers. */
#include "op/tape.h"

#include <stdint.h>
#include <stdlib.h>

void
hy_watch(hy_ctx *c, const char *name, const hy_tensor *t, unsigned axis)
{
  if (c->watch && !c->be->dry)
    c->watch(c->watch_arg, c->layer, name, t, axis);
}

void *
hy_tensor_look(const hy_backend *be, const hy_tensor *t)
{
  int64_t cols = hy_cols(t);
  size_t row = hy_bytes(t->fmt, cols);
  char *raw = hy_malloc((size_t)t->dim[0] * row);
  float *x;

  if (t->ld == cols)
    be->mem->read(raw, t->data, (size_t)t->dim[0] * row);
  for (int64_t r = 0; t->ld != cols && r < t->dim[0]; r++)
    be->mem->read(raw + (size_t)r * row, hy_at(t->data, t->fmt, r * t->ld),
                  row);
  if (t->fmt != HY_BF16)
    return raw;
  x = hy_malloc(hy_bytes(HY_F32, t->dim[0] * cols));
  hy_to_f32(x, raw, t->fmt, t->dim[0] * cols);
  free(raw);
  return x;
}

void
hy_watch_i32(hy_ctx *c, const char *name, const int32_t *v, int64_t rows,
             int64_t cols)
{
  hy_tensor t = {.fmt = HY_I32,
                 .n_dim = 2,
                 .dim = {rows, cols, 1, 1},
                 .ld = cols,
                 .data = (void *)(uintptr_t)v};

  hy_watch(c, name, &t, 0);
}

void
hy_count(hy_ctx *c, const int32_t *count, int64_t n)
{
  if (c->count && !c->be->dry)
    c->be->kit->add_counts(c->count + c->layer * n, count, n);
}

void
hy_margin(hy_ctx *c, const float *margin)
{
  if (c->margin && !c->be->dry)
    c->be->kit->least(c->margin, margin);
}
