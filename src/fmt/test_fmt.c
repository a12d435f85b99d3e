/* test_fmt.c: bf16 against a rule that only compares distances. */
#include "fmt/fmt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static float
of_bits(uint32_t u)
{
  float f;

  memcpy(&f, &u, sizeof f);
  return f;
}

static uint32_t
bits(float f)
{
  uint32_t u;

  memcpy(&u, &f, sizeof u);
  return u;
}

/* The value of a bf16 pattern, worked out from its fields; infinity counts as
 * the power of two behind the largest number. */
static double
value(uint16_t h)
{
  int exponent = h >> 7 & 0xff;
  double m = h & 0x7f, sign = h & 0x8000 ? -1.0 : 1.0;

  if (exponent == 0)
    return sign * ldexp(m, -133);
  return sign * ldexp(128.0 + m, exponent - 134);
}

/* The nearest pattern of the same sign, of two equally near the even one. */
static uint16_t
nearest(float x)
{
  uint16_t low = (uint16_t)(bits(x) >> 16), high = (uint16_t)(low + 1);
  double down = fabs((double)x - value(low));
  double up = fabs((double)x - value(high));

  if (down != up)
    return down < up ? low : high;
  return low & 1 ? high : low;
}

static void
same(float x)
{
  if (hy_f32_to_bf16(x) != nearest(x))
    fail_msg("%a: 0x%04x, not 0x%04x", (double)x, hy_f32_to_bf16(x),
             nearest(x));
}

/* Every bf16 number, and around each the fp32 numbers that decide. */
static void
test_rounding(void **state)
{
  static const uint32_t low[] = {0,      1,      2,      0x7ffe, 0x7fff,
                                 0x8000, 0x8001, 0x8002, 0xfffe, 0xffff};

  (void)state;
  for (uint32_t h = 0; h < 0x10000; h++) {
    if ((h & 0x7f80) == 0x7f80) /* infinity and NaN */
      continue;
    assert_int_equal(hy_f32_to_bf16(of_bits(h << 16)), h);
    assert_true((double)hy_bf16_to_f32((uint16_t)h) == value((uint16_t)h));
    for (int i = 0; i < 10; i++)
      same(of_bits(h << 16 | low[i]));
  }
}

static void
test_special(void **state)
{
  (void)state;
  assert_int_equal(hy_f32_to_bf16(INFINITY), 0x7f80);
  assert_int_equal(hy_f32_to_bf16(-INFINITY), 0xff80);
  assert_true(isinf(hy_bf16_to_f32(0x7f80)));
  /* the largest fp32 numbers are nearer to 2^128 */
  assert_int_equal(hy_f32_to_bf16(of_bits(0x7f7fffff)), 0x7f80);
  assert_int_equal(hy_f32_to_bf16(of_bits(0x7f7f7fff)), 0x7f7f);
  assert_int_equal(hy_f32_to_bf16(-0.0f), 0x8000);
  assert_true(signbit(hy_bf16_to_f32(0x8000)));
  /* the smallest denormals */
  assert_int_equal(hy_f32_to_bf16(of_bits(1)), 0);
  assert_int_equal(hy_f32_to_bf16(of_bits(0x8000)), 0);
  assert_int_equal(hy_f32_to_bf16(of_bits(0x8001)), 1);
}

/* NaN stays NaN of its sign, also where only low bits say so. */
static void
test_nan(void **state)
{
  static const uint32_t u[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001,
                               0x7f80ffff, 0x7fffffff, 0xffffffff, 0x7fbf8000};

  (void)state;
  for (int i = 0; i < 8; i++) {
    uint16_t h = hy_f32_to_bf16(of_bits(u[i]));

    assert_true(isnan(hy_bf16_to_f32(h)));
    assert_int_equal(h >> 15, u[i] >> 31);
  }
}

/* Arrays, from and to any address. */
static void
test_arrays(void **state)
{
  float in[5] = {1.0f, -2.5f, 3.14159f, 1e-40f, 1e38f}, out[5];
  char room[32];

  (void)state;
  for (int shift = 0; shift < 3; shift++) {
    hy_from_f32(room + shift, in, HY_BF16, 5);
    hy_to_f32(out, room + shift, HY_BF16, 5);
    for (int i = 0; i < 5; i++)
      assert_true(bits(out[i]) == (uint32_t)nearest(in[i]) << 16);
    hy_from_f32(room + shift, in, HY_F32, 5);
    hy_to_f32(out, room + shift, HY_F32, 5);
    assert_memory_equal(out, in, sizeof in);
  }
  hy_to_f32(out, room, HY_BF16, 0);
  assert_memory_equal(out, in, sizeof in);
}

static void
test_table(void **state)
{
  (void)state;
  assert_string_equal(hy_fmt_name(HY_F32), "fp32");
  assert_string_equal(hy_fmt_name(HY_BF16), "bf16");
  assert_int_equal(hy_bytes(HY_F32, 3), 12);
  assert_int_equal(hy_bytes(HY_BF16, 3), 6);
  assert_int_equal(hy_bytes(HY_I32, 3), 12);
  assert_int_equal(hy_bytes(HY_I64, 3), 24);
  assert_int_equal(hy_bytes(HY_U8, 3), 3);
  assert_true(hy_bytes(HY_F32, INT64_C(1) << 40) == (size_t)1 << 42);
  for (int f = 0; f < HY_N_FMT; f++) /* no row is missing */
    assert_true(hy_fmt_name((hy_fmt)f) != NULL && hy_bytes((hy_fmt)f, 1) > 0);
}

int
main(void)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_rounding), cmocka_unit_test(test_special),
      cmocka_unit_test(test_nan),      cmocka_unit_test(test_arrays),
      cmocka_unit_test(test_table),
  };

  return cmocka_run_group_tests(test, NULL, NULL);
}
