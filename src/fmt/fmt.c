#include "fmt/fmt.h"

#include <string.h>

static const struct {
  const char *name;
  size_t size;
} fmt_table[HY_N_FMT] = {
    [HY_F32] = {"fp32", 4},  [HY_BF16] = {"bf16", 2}, [HY_I32] = {"int32", 4},
    [HY_I64] = {"int64", 8}, [HY_U8] = {"uint8", 1},
};

const char *
hy_fmt_name(hy_fmt f)
{
  return fmt_table[f].name;
}

size_t
hy_bytes(hy_fmt f, int64_t n)
{
  return fmt_table[f].size * (size_t)n;
}

float
hy_bf16_to_f32(uint16_t x)
{
  uint32_t u = (uint32_t)x << 16;
  float f;

  memcpy(&f, &u, sizeof f);
  return f;
}

uint16_t
hy_f32_to_bf16(float x)
{
  uint32_t u;

  memcpy(&u, &x, sizeof u);
  if ((u & 0x7fffffffu) > 0x7f800000u) /* NaN: quiet it, keep the sign */
    return (uint16_t)(u >> 16 | 0x40);
  return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

void
hy_to_f32(float *out, const void *in, hy_fmt f, int64_t n)
{
  const char *p = in;

  if (f == HY_F32) {
    memcpy(out, in, hy_bytes(f, n));
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    uint16_t x;

    memcpy(&x, p + 2 * i, sizeof x);
    out[i] = hy_bf16_to_f32(x);
  }
}

void
hy_from_f32(void *out, const float *in, hy_fmt f, int64_t n)
{
  char *p = out;

  if (f == HY_F32) {
    memcpy(out, in, hy_bytes(f, n));
    return;
  }
  for (int64_t i = 0; i < n; i++) {
    uint16_t x = hy_f32_to_bf16(in[i]);

    memcpy(p + 2 * i, &x, sizeof x);
  }
}

void
hy_widen(float *x, hy_fmt f, int64_t n)
{
  const char *low = (const char *)x;

  for (int64_t i = n - 1; f == HY_BF16 && i >= 0; i--) { /* last first */
    uint16_t v;

    memcpy(&v, low + 2 * i, sizeof v);
    x[i] = hy_bf16_to_f32(v);
  }
}
