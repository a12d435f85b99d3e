/* cuda_bf16.h of the shim: bf16 as the upper half of an fp32, rounded to the
 * nearest, ties to even. Arithmetic is done in fp32 and rounded once. */
#ifndef HYMN_SHIM_CUDA_BF16_H
#define HYMN_SHIM_CUDA_BF16_H

#include "cuda_runtime.h"

#ifdef __cplusplus

struct __nv_bfloat16_raw {
  unsigned short x;
};

struct __nv_bfloat16 {
  unsigned short __x;

  __nv_bfloat16() = default;
  __nv_bfloat16(const __nv_bfloat16_raw &r) : __x(r.x) {}
  __nv_bfloat16(float f)
  {
    unsigned u = __float_as_uint(f);

    if (f != f)
      __x = 0x7fff; /* the NaN that the GPU gives */
    else
      __x = (unsigned short)((u + 0x7fff + (u >> 16 & 1)) >> 16);
  }
  template <class T,
            class = typename std::enable_if<std::is_arithmetic<T>::value>::type>
  __nv_bfloat16(T v) : __nv_bfloat16((float)v)
  {
  }
  operator float() const { return __uint_as_float((unsigned)__x << 16); }
  operator __nv_bfloat16_raw() const { return {__x}; }
};

struct __attribute__((aligned(4))) __nv_bfloat162 {
  __nv_bfloat16 x, y;

  __nv_bfloat162() = default;
  __nv_bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) : x(a), y(b) {}
};

typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;

/* --- conversions --------------------------------------------------------- */

inline __nv_bfloat16
__float2bfloat16(float f)
{
  return __nv_bfloat16(f);
}

inline __nv_bfloat16
__float2bfloat16_rn(float f)
{
  return __nv_bfloat16(f);
}

inline __nv_bfloat16
__float2bfloat16_rz(float f)
{
  return __nv_bfloat16_raw{
      (unsigned short)(f != f ? 0x7fff : __float_as_uint(f) >> 16)};
}

inline __nv_bfloat16
__double2bfloat16(double d)
{
  return __nv_bfloat16(d);
}

inline float
__bfloat162float(__nv_bfloat16 h)
{
  return h;
}

inline unsigned short
__bfloat16_as_ushort(__nv_bfloat16 h)
{
  return h.__x;
}

inline __nv_bfloat16
__ushort_as_bfloat16(unsigned short u)
{
  return __nv_bfloat16_raw{u};
}

inline __nv_bfloat162
make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y)
{
  return __nv_bfloat162(x, y);
}

inline __nv_bfloat162
__halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y)
{
  return __nv_bfloat162(x, y);
}

inline __nv_bfloat162
__bfloat162bfloat162(__nv_bfloat16 x)
{
  return __nv_bfloat162(x, x);
}

inline __nv_bfloat162
__floats2bfloat162_rn(float x, float y)
{
  return __nv_bfloat162(x, y);
}

inline __nv_bfloat162
__float2bfloat162_rn(float x)
{
  return __nv_bfloat162(x, x);
}

inline __nv_bfloat162
__float22bfloat162_rn(float2 v)
{
  return __nv_bfloat162(v.x, v.y);
}

inline float2
__bfloat1622float2(__nv_bfloat162 h)
{
  return {h.x, h.y};
}

inline float
__low2float(__nv_bfloat162 h)
{
  return h.x;
}

inline float
__high2float(__nv_bfloat162 h)
{
  return h.y;
}

inline __nv_bfloat16
__low2bfloat16(__nv_bfloat162 h)
{
  return h.x;
}

inline __nv_bfloat16
__high2bfloat16(__nv_bfloat162 h)
{
  return h.y;
}

inline __nv_bfloat162
__lowhigh2highlow(__nv_bfloat162 h)
{
  return __nv_bfloat162(h.y, h.x);
}

/* --- arithmetic ---------------------------------------------------------- */

#define SHIM_BF16_OP(name, name2, value)                                       \
  inline __nv_bfloat16 name(__nv_bfloat16 a_, __nv_bfloat16 b_)                \
  {                                                                            \
    float a = a_, b = b_;                                                      \
                                                                               \
    return __nv_bfloat16(value);                                               \
  }                                                                            \
  inline __nv_bfloat162 name2(__nv_bfloat162 a, __nv_bfloat162 b)              \
  {                                                                            \
    return __nv_bfloat162(name(a.x, b.x), name(a.y, b.y));                     \
  }
SHIM_BF16_OP(__hadd, __hadd2, a + b)
SHIM_BF16_OP(__hsub, __hsub2, a - b)
SHIM_BF16_OP(__hmul, __hmul2, a *b)
SHIM_BF16_OP(__hdiv, __h2div, a / b)
SHIM_BF16_OP(__hmax, __hmax2, fmaxf(a, b))
SHIM_BF16_OP(__hmin, __hmin2, fminf(a, b))
#undef SHIM_BF16_OP

inline __nv_bfloat16
__hfma(__nv_bfloat16 a, __nv_bfloat16 b, __nv_bfloat16 c)
{
  return __nv_bfloat16(fmaf(a, b, c));
}

inline __nv_bfloat162
__hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c)
{
  return __nv_bfloat162(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y));
}

inline __nv_bfloat16
__hneg(__nv_bfloat16 a)
{
  return __nv_bfloat16_raw{(unsigned short)(a.__x ^ 0x8000)};
}

inline __nv_bfloat162
__hneg2(__nv_bfloat162 a)
{
  return __nv_bfloat162(__hneg(a.x), __hneg(a.y));
}

inline __nv_bfloat16
__habs(__nv_bfloat16 a)
{
  return __nv_bfloat16_raw{(unsigned short)(a.__x & 0x7fff)};
}

inline bool
__hisnan(__nv_bfloat16 a)
{
  return (a.__x & 0x7fff) > 0x7f80;
}

#endif
#endif
