/* pack.cuh: V numbers of a row, moved at once. V is 1, or a multiple of 16
 * bytes where addresses and strides allow it. */
#ifndef HYMN_CUDA_PACK_CUH
#define HYMN_CUDA_PACK_CUH

#include "launch.h"

template <class T, int V> struct cu_pack {
  uint4 raw[V * sizeof(T) / 16];
};

template <> struct cu_pack<float, 1> {
  float raw;
};

template <> struct cu_pack<bf16, 1> {
  bf16 raw;
};

/* Numbers of T in 16 bytes. */
template <class T> struct cu_wide {
  enum { n = 16 / sizeof(T) };
};

template <class T>
__device__ static inline void
cu_load(cu_pack<T, 1> &x, const T *p)
{
  x.raw = *p;
}

template <class T, int V>
__device__ static inline void
cu_load(cu_pack<T, V> &x, const T *p)
{
#pragma unroll
  for (int i = 0; i < (int)(V * sizeof(T) / 16); i++)
    x.raw[i] = reinterpret_cast<const uint4 *>(p)[i];
}

template <class T>
__device__ static inline void
cu_store(T *p, const cu_pack<T, 1> &x)
{
  *p = x.raw;
}

template <class T, int V>
__device__ static inline void
cu_store(T *p, const cu_pack<T, V> &x)
{
#pragma unroll
  for (int i = 0; i < (int)(V * sizeof(T) / 16); i++)
    reinterpret_cast<uint4 *>(p)[i] = x.raw[i];
}

__device__ static inline void
cu_fill(float *f, const uint4 &u, float)
{
  f[0] = __uint_as_float(u.x);
  f[1] = __uint_as_float(u.y);
  f[2] = __uint_as_float(u.z);
  f[3] = __uint_as_float(u.w);
}

/* A bf16 is the upper half of a float; the first of two is the lower half of
 * their word. */
__device__ static inline void
cu_fill(float *f, const uint4 &u, bf16)
{
  const unsigned w[4] = {u.x, u.y, u.z, u.w};

#pragma unroll
  for (int i = 0; i < 4; i++) {
    f[2 * i] = __uint_as_float(w[i] << 16);
    f[2 * i + 1] = __uint_as_float(w[i] & 0xffff0000u);
  }
}

template <class T>
__device__ static inline void
cu_unpack(float (&f)[1], const cu_pack<T, 1> &x)
{
  f[0] = cu_get(x.raw);
}

template <class T, int V>
__device__ static inline void
cu_unpack(float (&f)[V], const cu_pack<T, V> &x)
{
#pragma unroll
  for (int i = 0; i < (int)(V * sizeof(T) / 16); i++)
    cu_fill(f + i * cu_wide<T>::n, x.raw[i], T());
}

__device__ static inline unsigned
cu_two(float a, float b)
{
  __nv_bfloat162 v = __floats2bfloat162_rn(a, b);
  unsigned u;

  memcpy(&u, &v, sizeof u);
  return u;
}

__device__ static inline uint4
cu_raw(const float *f, float)
{
  return make_uint4(__float_as_uint(f[0]), __float_as_uint(f[1]),
                    __float_as_uint(f[2]), __float_as_uint(f[3]));
}

__device__ static inline uint4
cu_raw(const float *f, bf16)
{
  return make_uint4(cu_two(f[0], f[1]), cu_two(f[2], f[3]), cu_two(f[4], f[5]),
                    cu_two(f[6], f[7]));
}

template <class T>
__device__ static inline void
cu_repack(cu_pack<T, 1> &x, const float (&f)[1])
{
  cu_put(&x.raw, f[0]);
}

template <class T, int V>
__device__ static inline void
cu_repack(cu_pack<T, V> &x, const float (&f)[V])
{
#pragma unroll
  for (int i = 0; i < (int)(V * sizeof(T) / 16); i++)
    x.raw[i] = cu_raw(f + i * cu_wide<T>::n, T());
}

/* Whether rows of n numbers at p can be moved V at a time; NULL can. */
static inline bool
cu_packs(const void *p, int64_t ld, int size, int64_t n, int v)
{
  return p == NULL ||
         ((uintptr_t)p % 16 == 0 && ld * size % 16 == 0 && n % v == 0);
}

static inline bool
cu_packs(const cu_mat &m, int64_t n, int v)
{
  return cu_packs(m.p, m.ld, m.bf16 ? 2 : 4, n, v);
}

#endif
