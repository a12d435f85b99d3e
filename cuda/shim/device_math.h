/* device_math.h: functions of device code that the host's library lacks. The
 * fast forms (__expf) are exact here: a test must not rest on their errors.
 * Names that a C library may declare for itself are macros. */
#ifndef HYMN_SHIM_DEVICE_MATH_H
#define HYMN_SHIM_DEVICE_MATH_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace shim
{

template <class To, class From>
inline To
bits(From x)
{
  static_assert(sizeof(To) == sizeof(From), "as many bits");
  To y;

  memcpy(&y, &x, sizeof y);
  return y;
}

inline float
rsqrt(float x)
{
  return 1.0f / sqrtf(x);
}

inline float
saturate(float x)
{
  return fminf(fmaxf(x, 0.0f), 1.0f);
}

} // namespace shim

#define rsqrtf(x) shim::rsqrt(x)
#define __frsqrt_rn(x) shim::rsqrt(x)
#define __expf(x) expf(x)
#define __exp2f(x) exp2f(x)
#define __exp10f(x) powf(10.0f, x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)
#define __tanhf(x) tanhf(x)
#define __fdividef(a, b) ((float)(a) / (float)(b))
#define __fdiv_rn(a, b) ((float)(a) / (float)(b))
#define __frcp_rn(x) (1.0f / (float)(x))
#define __fsqrt_rn(x) sqrtf(x)
#define __fadd_rn(a, b) shim::rounded((float)(a) + (float)(b))
#define __fsub_rn(a, b) shim::rounded((float)(a) - (float)(b))
#define __fmul_rn(a, b) shim::rounded((float)(a) * (float)(b))
#define __fmaf_rn(a, b, c) fmaf(a, b, c)
#define __saturatef(x) shim::saturate(x)

namespace shim
{

/* Kept from the compiler, which might join the operation with the next one. */
inline float
rounded(float x)
{
  __asm__("" : "+x"(x));
  return x;
}

} // namespace shim

#define __int_as_float(x) shim::bits<float>((int)(x))
#define __uint_as_float(x) shim::bits<float>((unsigned)(x))
#define __float_as_int(x) shim::bits<int>((float)(x))
#define __float_as_uint(x) shim::bits<unsigned>((float)(x))
#define __longlong_as_double(x) shim::bits<double>((long long)(x))
#define __double_as_longlong(x) shim::bits<long long>((double)(x))

#define __float2int_rn(x) ((int)rintf(x))
#define __float2int_rd(x) ((int)floorf(x))
#define __float2int_ru(x) ((int)ceilf(x))
#define __float2int_rz(x) ((int)(x))
#define __int2float_rn(x) ((float)(x))
#define __double2float_rn(x) ((float)(x))

#define __popc(x) __builtin_popcount(x)
#define __popcll(x) __builtin_popcountll(x)
#define __ffs(x) __builtin_ffs((int)(x))
#define __ffsll(x) __builtin_ffsll((long long)(x))

inline int
__clz(int x)
{
  return x ? __builtin_clz((unsigned)x) : 32;
}

inline int
__clzll(long long x)
{
  return x ? __builtin_clzll((unsigned long long)x) : 64;
}

inline unsigned
__brev(unsigned x)
{
  unsigned r = 0;

  for (int i = 0; i < 32; i++)
    r |= (x >> i & 1) << (31 - i);
  return r;
}

inline unsigned
__umulhi(unsigned a, unsigned b)
{
  return (unsigned)((unsigned long long)a * b >> 32);
}

inline unsigned long long
__umul64hi(unsigned long long a, unsigned long long b)
{
  return (unsigned long long)((unsigned __int128)a * b >> 64);
}

/* Loads and stores with a hint to the caches are loads and stores. */
#define SHIM_LOAD(name)                                                        \
  template <class T> inline T name(const T *p) { return *p; }
#define SHIM_STORE(name)                                                       \
  template <class T> inline void name(T *p, T v) { *p = v; }
SHIM_LOAD(__ldg)
SHIM_LOAD(__ldcg)
SHIM_LOAD(__ldca)
SHIM_LOAD(__ldcs)
SHIM_LOAD(__ldlu)
SHIM_LOAD(__ldcv)
SHIM_STORE(__stwb)
SHIM_STORE(__stcg)
SHIM_STORE(__stcs)
SHIM_STORE(__stwt)
#undef SHIM_LOAD
#undef SHIM_STORE

/* Of two types as CUDA has it; with a NaN the other one. */
template <class A, class B>
inline typename std::common_type<A, B>::type
min(A a_, B b_)
{
  typename std::common_type<A, B>::type a = a_, b = b_;

  return b < a || a != a ? b : a;
}

template <class A, class B>
inline typename std::common_type<A, B>::type
max(A a_, B b_)
{
  typename std::common_type<A, B>::type a = a_, b = b_;

  return a < b || a != a ? b : a;
}

#define SHIM_MAKE(T, name)                                                     \
  inline name##1 make_##name##1(T x) { return {x}; }                           \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                   \
  inline name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }           \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
SHIM_MAKE(signed char, char)
SHIM_MAKE(unsigned char, uchar)
SHIM_MAKE(short, short)
SHIM_MAKE(unsigned short, ushort)
SHIM_MAKE(int, int)
SHIM_MAKE(unsigned, uint)
SHIM_MAKE(long long, longlong)
SHIM_MAKE(unsigned long long, ulonglong)
SHIM_MAKE(float, float)
SHIM_MAKE(double, double)
#undef SHIM_MAKE

#endif
