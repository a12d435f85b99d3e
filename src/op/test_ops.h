/* test_ops.h: one op at a time through its public call: forward against a
 * naive version in double, every gradient against central differences of that
 * version. */
#ifndef HYMN_OP_TEST_OPS_H
#define HYMN_OP_TEST_OPS_H

#include "cpu/test_op.h"

enum { OPS_MAX_IN = 7 };

typedef struct ops_case ops_case;

struct ops_case {
  /* --- what a case sets --- */
  int n_in;
  hy_tensor *in[OPS_MAX_IN]; /* made with ops_rows or ops_weight */
  int view[OPS_MAX_IN];      /* columns of a wider tensor will do as well */
  int frozen[OPS_MAX_IN];    /* no gradient */
  unsigned precise; /* inputs that stay fp32 beside bf16 activations, as bits */
  double sharp; /* bound of results that are fp32 beside them; 0: as the rest */
  double loss;  /* the op has no output but adds to s->value; the factor of
                   its gradient */
  int split;    /* products split by threads: BLAS may round edges otherwise */
  int in_place; /* the gradient takes the place of in[0] */
  int before;   /* records of other ops that make what this one changes */
  int poisoned; /* some documents are NaN: others must not be (GPU) */
  /* Calls the op; NULL for a loss. */
  hy_tensor *(*call)(hy_ctx *c, ops_case *s, hy_tensor **in);
  /* out (or the value of the loss) from x */
  void (*naive)(const ops_case *s, double *out);
  int64_t n_out; /* rows of the output times its columns */
  double bound;  /* of forward and gradients, see test_error; 0: 3e-6 */
  hy_batch batch;
  hy_attr a;             /* whatever call and naive agree on */
  double *x[OPS_MAX_IN]; /* the numbers of in, without gaps */
  double value;
  /* --- the rest belongs to ops_check --- */
  double *dy, *slope[OPS_MAX_IN];
  float *grad[OPS_MAX_IN]; /* of the first run */
};

/** A zeroed case for T rows, each a document of its own until set. */
ops_case *ops_new(int64_t n_tokens);

/** Input i, uniform in [lo, hi): (rows, cols) activations with gaps between
 *  rows, or a weight of these dimensions. */
hy_tensor *ops_rows(ops_case *s, int64_t rows, int64_t cols, double lo,
                    double hi);
hy_tensor *ops_weight(ops_case *s, int n_dim, const int64_t *dim, double lo,
                      double hi);

/** Everything that holds for any op: parity; gradients with an empty (NaN) and
 *  a filled place to go; each gradient alone; 1 and 2 threads the same bits;
 *  views of columns of one wide tensor; nothing written between rows; arenas
 *  exactly as planned. Frees the case. */
void ops_check(ops_case *s);

static inline double
ops_sigmoid(double x)
{
  return 1.0 / (1.0 + exp(-x));
}

/** The k largest of v[0..n), ascending; of equal values the first. */
static inline void
ops_largest(const double *v, int64_t n, int64_t k, int32_t *out)
{
  int64_t found = 0;

  for (int64_t e = 0; e < n; e++) {
    int64_t better = 0;

    for (int64_t o = 0; o < n; o++)
      better += v[o] > v[e] || (v[o] == v[e] && o < e);
    if (better < k)
      out[found++] = (int32_t)e;
  }
  assert_true(found == k);
}

#define OPS_DIM(...)                                                           \
  (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) \
  {                                                                            \
    __VA_ARGS__                                                                \
  }

/* The cases of each row. */
#define HY_OP(n) void ops_##n(void);
#include "op/ops.def"
#undef HY_OP

/** ops_check calls since the row's test began. */
extern int ops_n_checked;

#endif
