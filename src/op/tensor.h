/* tensor.h: a view of numbers, and where its gradient is. */
#ifndef HYMN_OP_TENSOR_H
#define HYMN_OP_TENSOR_H

#include "fmt/fmt.h"

#include <stdint.h>

typedef struct hy_tensor hy_tensor;

/* Activations are (n_tokens, features): dim[0] rows of hy_cols(t) elements,
 * rows ld elements apart. A tensor owns nothing. */
struct hy_tensor {
  hy_fmt fmt;
  hy_fmt gfmt; /* of the gradient: of activations as fmt, of weights fp32 */
  int n_dim;
  int64_t dim[4];
  int64_t ld; /* elements from one row to the next */
  void *data;
  float *grad;           /* same shape and ld, numbers of gfmt; NULL until
                            backward needs it */
  hy_tensor *base;       /* set for a view of columns: its gradient is part of
                            base's */
  int64_t first;         /* first column of that view */
  struct hy_rec *remake; /* its memory is lent: backward has to call this
                            record's forward again before it reads data */
  unsigned char want;    /* a gradient is wanted */
  unsigned char param;   /* of a model: the gradient's place is given */
  unsigned char has;     /* grad holds a value (else the next write replaces) */
};

/** Elements of a row (the product of dim[1..]). */
static inline int64_t
hy_cols(const hy_tensor *t)
{
  int64_t n = 1;

  for (int i = 1; i < t->n_dim; i++)
    n *= t->dim[i];
  return n;
}

static inline float *
hy_f32(const hy_tensor *t)
{
  return t->data;
}

static inline int32_t *
hy_i32(const hy_tensor *t)
{
  return t->data;
}

#endif
