/* test_parity_norm.c: norms, element-wise ops and the embedding at shapes that
 * cross the blocks of their kernels: rows in one warp and in many, rows longer
 * than registers, more rows than parts of a sum, runs of one id over many
 * pieces. */
#include "op/test_ops.h"

#define HY_OP(n) void parity_##n(void);
#include "op/ops.def"
#undef HY_OP

typedef hy_tensor *caller(hy_ctx *c, ops_case *s, hy_tensor **in);

/* --- norms --------------------------------------------------------------- */

static hy_tensor *
call_rmsnorm(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_rmsnorm(c, in[0], in[1], s->a.eps);
}

static hy_tensor *
call_gated(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_gated_rmsnorm(c, in[0], in[1], in[2], s->a.n_groups, s->a.eps);
}

static hy_tensor *
call_scaled(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_scaled_norm(c, in[0], in[1], in[2], s->a.width, s->a.eps);
}

static hy_tensor *
call_squares(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_sum_squares(c, in[0]);
}

/* Rows, features of a group, groups. */
typedef struct {
  int64_t rows, n, groups;
} shape;

static const shape plain[] = {{130, 64, 1}, {1, 96, 1},   {300, 40, 1},
                              {65, 520, 1}, {9, 2688, 1}, {5, 2691, 1},
                              {3, 8232, 1}, {2, 16416, 1}};
static const shape grouped[] = {{130, 64, 2}, {63, 24, 5},  {300, 8, 3},
                                {9, 512, 8},  {5, 1040, 3}, {3, 4116, 1},
                                {2, 8208, 2}, {7, 33, 3}};
#define COUNT(a) (sizeof(a) / sizeof *(a))

static ops_case *
rows_case(const shape *f, caller *call)
{
  ops_case *s = ops_new(f->rows);

  ops_rows(s, f->rows, f->n * f->groups, -2, 2);
  s->view[0] = f->n < 1000;
  s->n_out = f->rows * f->n * f->groups;
  s->a.eps = 1e-5f;
  s->a.n_groups = f->groups;
  s->call = call;
  return s;
}

void
parity_rmsnorm(void)
{
  for (size_t i = 0; i < COUNT(plain); i++) {
    ops_case *s = rows_case(&plain[i], call_rmsnorm);

    ops_weight(s, OPS_DIM(plain[i].n), -1, 2);
    ops_check(s);
  }
}

void
parity_gated_rmsnorm(void)
{
  for (size_t i = 0; i < COUNT(grouped); i++) {
    const shape *f = &grouped[i];
    ops_case *s = rows_case(f, call_gated);

    ops_rows(s, f->rows, f->n * f->groups, -4, 4);
    ops_weight(s, OPS_DIM(f->n * f->groups), -1, 2);
    s->view[1] = s->view[0];
    s->frozen[i % 3] = i > 4; /* products that are skipped */
    ops_check(s);
  }
}

void
parity_scaled_norm(void)
{
  for (size_t i = 0; i < COUNT(plain); i++) {
    const shape *f = &plain[i];
    ops_case *s = rows_case(f, call_scaled);

    ops_rows(s, f->rows, 1, 8, 20);
    ops_weight(s, OPS_DIM(f->n), -1, 2);
    s->a.width = 3 * f->n;
    ops_check(s);
  }
}

void
parity_sum_squares(void)
{
  for (size_t i = 0; i < COUNT(plain); i++) {
    ops_case *s = rows_case(&plain[i], call_squares);

    s->n_out = plain[i].rows;
    ops_check(s);
  }
}

/* --- element by element -------------------------------------------------- */

static hy_tensor *
call_silu(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_silu(c, in[0]);
}

static hy_tensor *
call_relu2(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_relu2(c, in[0]);
}

static hy_tensor *
call_gate(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_gate(c, in[0], in[1]);
}

static hy_tensor *
call_add(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_add(c, in[0], in[1]);
}

static hy_tensor *
call_twice(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_add(c, in[0], in[0]);
}

static hy_tensor *
call_concat(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_concat(c, in[0], in[1]);
}

static hy_tensor *
call_softplus(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  (void)s;
  return hy_softplus(c, in[0], in[1]);
}

/* n_in inputs of the same shape. */
static void
point_cases(caller *call, int n_in)
{
  static const shape point[] = {
      {1, 1000, 1}, {33, 264, 1}, {130, 63, 1}, {257, 8, 1}, {65, 520, 1}};

  for (size_t i = 0; i < COUNT(point); i++) {
    ops_case *s = rows_case(&point[i], call);

    if (n_in > 1) {
      ops_rows(s, point[i].rows, point[i].n, -8, 8);
      s->view[1] = 1;
      s->frozen[i % 2] = i > 2;
    }
    ops_check(s);
  }
}

void
parity_silu(void)
{
  point_cases(call_silu, 1);
}

void
parity_relu2(void)
{
  point_cases(call_relu2, 1);
}

void
parity_gate(void)
{
  point_cases(call_gate, 2);
}

void
parity_add(void)
{
  point_cases(call_add, 2);
  point_cases(call_twice, 1);
}

void
parity_concat(void)
{
  static const int64_t width[][2] = {{64, 64}, {264, 24}, {63, 65}, {8, 1}};

  for (size_t i = 0; i < COUNT(width); i++) {
    ops_case *s = ops_new(67);

    ops_rows(s, 67, width[i][0], -2, 2);
    ops_rows(s, 67, width[i][1], -2, 2);
    s->view[0] = s->view[1] = 1;
    s->n_out = 67 * (width[i][0] + width[i][1]);
    s->call = call_concat;
    ops_check(s);
  }
}

void
parity_softplus(void)
{
  static const shape heads[] = {
      {700, 64, 1}, {65, 33, 1}, {1, 96, 1}, {263, 5, 1}};

  for (size_t i = 0; i < COUNT(heads); i++) {
    ops_case *s = rows_case(&heads[i], call_softplus);

    ops_weight(s, OPS_DIM(heads[i].n), -12, 21);
    s->frozen[i % 2] = i > 1;
    ops_check(s);
  }
}

/* --- the embedding ------------------------------------------------------- */

static hy_tensor *
call_embedding(hy_ctx *c, ops_case *s, hy_tensor **in)
{
  return hy_embedding(c, s->a.id, s->batch.n_tokens, in[0], s->a.first_id);
}

/* Ids of a batch: one for all of them, one for most, a run of each, any. */
static int32_t *
make_ids(int64_t n, int kind, int n_id)
{
  int32_t *id = test_alloc((size_t)n, sizeof *id);

  for (int64_t t = 0; t < n; t++) {
    int any = (int)((test_random() + 1) * 0.5 * n_id);

    id[t] = (int32_t)(kind == 0   ? n_id / 2
                      : kind == 1 ? (t % 5 ? 3 : any)
                      : kind == 2 ? t / 40 % n_id
                                  : any);
  }
  return id;
}

void
parity_embedding(void)
{
  static const struct {
    int64_t tokens, n;
    int rows, n_id, first, kind;
  } k[] = {{1, 64, 5, 5, 0, 0},         {200, 72, 9, 9, 0, 0},
           {200, 19, 9, 9, 0, 1},       {333, 72, 300, 300, 0, 1},
           {600, 8, 20, 20, 0, 2},      {333, 1032, 40, 40, 0, 3},
           {700, 40, 5000, 5000, 0, 3}, {500, 24, 10, 40, 15, 3},
           {64, 24, 10, 10, 20, 3}};

  for (size_t i = 0; i < COUNT(k); i++) {
    ops_case *s = ops_new(k[i].tokens);

    ops_weight(s, OPS_DIM(k[i].rows, k[i].n), -1, 1);
    s->n_out = k[i].tokens * k[i].n;
    s->a.id = make_ids(k[i].tokens, k[i].kind, k[i].n_id);
    s->a.first_id = k[i].first;
    s->call = call_embedding;
    ops_check(s);
  }
}
