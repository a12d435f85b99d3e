/* cpu_exp.h: the exponential of the CPU bodies, without branches so that loops
 * over it vectorise. */
#ifndef HYMN_CPU_CPU_EXP_H
#define HYMN_CPU_CPU_EXP_H

#include <stdint.h>

/** exp(x) for x <= 0 (a rounding error above is fine), relative error below
 *  2e-7; NaN stays NaN. 0 below e^-69 = 1e-30: what decays further is nothing
 *  beside numbers of order one, and its products would be denormal, which cost
 *  a hundred times a product. Cody and Waite's reduction, Taylor polynomial of
 *  degree 7 on [-ln2/2, ln2/2]; the rounding constant 1.5 2^23 leaves the
 *  integer power of two in the low bits. */
static inline float
cpu_exp_neg(float x)
{
  union {
    float f;
    int32_t i;
  } n, s;
  float y = x < -69.0f ? -69.0f : x, r, p;

  n.f = y * 1.44269504f + 12582912.0f;
  r = n.f - 12582912.0f;
  r = (y - r * 0.693145752f) - r * 1.42860677e-6f;
  p = 1.0f / 5040;
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  s.i = (int32_t)(((uint32_t)n.i + 127u) << 23);
  p *= s.f;
  return x < -69.0f ? 0.0f : p;
}

#endif
