/* cpu_kit.c: memory and array functions of the CPU backend. */
#include "cpu/cpu_kit.h"
#include "op/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------- */

static void *
get(size_t bytes)
{
  return calloc(bytes ? bytes : 1, 1);
}

static void
zero(void *p, size_t bytes)
{
  if (bytes)
    memset(p, 0, bytes);
}

static void
zero_rows(void *p, size_t step, size_t bytes, int64_t n_rows)
{
  for (int64_t r = 0; bytes && r < n_rows; r++)
    memset((char *)p + (size_t)r * step, 0, bytes);
}

static void
copy(void *to, const void *from, size_t bytes)
{
  if (bytes)
    memmove(to, from, bytes);
}

static void
copy_rows(void *to, size_t to_step, const void *from, size_t from_step,
          size_t bytes, int64_t n_rows)
{
  char *out = to;
  const char *in = from;

  for (int64_t r = 0; bytes && r < n_rows; r++)
    memcpy(out + (size_t)r * to_step, in + (size_t)r * from_step, bytes);
}

static const void *
fetch(const void *from, size_t bytes)
{
  (void)bytes;
  return from;
}

static void
nothing(void)
{
}

static size_t
room(void)
{
  return hy_mem_physical();
}

const hy_mem cpu_mem = {.get = get,
                        .put = free,
                        .get_host = get,
                        .put_host = free,
                        .zero = zero,
                        .zero_rows = zero_rows,
                        .copy = copy,
                        .copy_rows = copy_rows,
                        .load = copy,
                        .read = copy,
                        .fetch = fetch,
                        .fetched = nothing,
                        .wait = nothing,
                        .room = room,
                        .used = hy_mem_peak};

/* ---- arrays: every number is fp32 --------------------------------------- */

static void
cast(void *to, hy_fmt to_fmt, const void *from, hy_fmt from_fmt, int64_t n)
{
  if (from_fmt == HY_F32)
    hy_from_f32(to, from, to_fmt, n);
  else
    hy_to_f32(to, from, from_fmt, n);
}

static void
add(void *y, int64_t ldy, const void *x, int64_t ldx, hy_fmt fmt, int64_t rows,
    int64_t n, float beta)
{
  float *out = y;
  const float *in = x;

  (void)fmt;
  for (int64_t r = 0; r < rows && n > 0; r++, out += ldy, in += ldx) {
    if (beta == 0)
      memcpy(out, in, (size_t)n * sizeof *out);
    else
      for (int64_t i = 0; i < n; i++)
        out[i] += in[i];
  }
}

static void
sum_parts(void *out, const void *part, hy_fmt fmt, int64_t n, int n_part,
          int more)
{
  enum { BLOCK = 1024 };
  float *y = out, sum[BLOCK];
  const float *p = part;

  (void)fmt;
  for (int64_t at = 0; at < n; at += BLOCK) {
    int64_t m = n - at < BLOCK ? n - at : BLOCK;

    memcpy(sum, p + at, (size_t)m * sizeof *sum);
    for (int k = 1; k < n_part; k++)
      for (int64_t i = 0; i < m; i++)
        sum[i] += p[k * n + at + i];
    for (int64_t i = 0; i < m; i++)
      y[at + i] = more ? y[at + i] + sum[i] : sum[i];
  }
}

static void
add_counts(int64_t *to, const int32_t *x, int64_t n)
{
  for (int64_t i = 0; i < n; i++)
    to[i] += x[i];
}

static void
least(float *to, const float *x)
{
  if (*x < *to)
    *to = *x;
}

/* Row t of each part, n floats apart. */
static void
merge_row(float *out, const float *part, int64_t n, int n_part)
{
  float top = -INFINITY, target = 0;
  double sum = 0;

  for (int p = 0; p < n_part; p++) {
    top = part[p * n] > top ? part[p * n] : top;
    target += part[p * n + 3];
  }
  for (int p = 0; p < n_part; p++) {
    const float *s = part + p * n;

    sum += ((double)s[1] + s[2]) * exp((double)s[0] - top);
  }
  out[0] = top;
  out[1] = (float)sum;
  out[2] = (float)(sum - out[1]);
  out[3] = target;
}

static void
merge_stat(float *out, const float *part, int64_t rows, int n_part)
{
  int64_t n = rows * HY_CE_STAT;

  for (int64_t t = 0; t < n; t += HY_CE_STAT)
    merge_row(out + t, part + t, n, n_part);
}

/* ---- states of a scan --------------------------------------------------- */

static void
carry_none(float *item, int64_t n_item, int64_t n_heads, int64_t n)
{
  int64_t all = n_heads * n;

  for (int64_t i = 0; i < n_item; i++, item += all + n_heads) {
    zero(item, (size_t)all * sizeof *item);
    for (int64_t h = 0; h < n_heads; h++)
      item[all + h] = 1.0f;
  }
}

static void
carry_join(float *to, const float *state, const float *decay, const float *far,
           int64_t n_heads, int64_t n)
{
  int64_t all = n_heads * n;

  for (int64_t h = 0; h < n_heads; h++) {
    float w = decay[h];

    if (w == 0.0f)
      copy(to + h * n, state + h * n, (size_t)n * sizeof *to);
    else
      for (int64_t i = h * n; i < (h + 1) * n; i++)
        to[i] = state[i] + w * far[i];
    to[all + h] = w * far[all + h];
  }
}

static void
carry_grad(float *to, const float *g, const float *in, int64_t n_heads,
           int64_t n, float beta)
{
  for (int64_t h = 0; h < n_heads; h++) {
    float *dw = to + n_heads * n + h;
    double dot = 0.0;

    for (int64_t i = h * n; i < (h + 1) * n; i++) {
      dot += (double)g[i] * (double)in[i];
      to[i] = g[i] + (beta == 0.0f ? 0.0f : to[i]);
    }
    *dw = (float)dot + (beta == 0.0f ? 0.0f : *dw);
  }
}

const hy_kit cpu_kit = {.cast = cast,
                        .add = add,
                        .sum_parts = sum_parts,
                        .add_counts = add_counts,
                        .least = least,
                        .merge_stat = merge_stat,
                        .carry_none = carry_none,
                        .carry_join = carry_join,
                        .carry_grad = carry_grad,
                        .travel = &cpu_travel,
                        .runs_new = cpu_runs_new,
                        .runs_free = cpu_runs_free,
                        .sum_squares = cpu_runs_squares,
                        .not_finite = cpu_runs_not_finite,
                        .adamw = cpu_adamw,
                        .bias_update = cpu_bias_update};
