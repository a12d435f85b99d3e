/* vector_types.h of the shim: short vectors and dim3, as C and C++ see them.
 * The alignments are those of CUDA: a kernel that loads a float4 from a place
 * of 4 bytes is caught by UBSan. */
#ifndef HYMN_SHIM_VECTOR_TYPES_H
#define HYMN_SHIM_VECTOR_TYPES_H

#define SHIM_VECTORS(T, name, a2, a4)                                          \
  typedef struct {                                                             \
    T x;                                                                       \
  } name##1;                                                                   \
  typedef struct __attribute__((aligned(a2))) {                                \
    T x, y;                                                                    \
  } name##2;                                                                   \
  typedef struct {                                                             \
    T x, y, z;                                                                 \
  } name##3;                                                                   \
  typedef struct __attribute__((aligned(a4))) {                                \
    T x, y, z, w;                                                              \
  } name##4

SHIM_VECTORS(signed char, char, 2, 4);
SHIM_VECTORS(unsigned char, uchar, 2, 4);
SHIM_VECTORS(short, short, 4, 8);
SHIM_VECTORS(unsigned short, ushort, 4, 8);
SHIM_VECTORS(int, int, 8, 16);
SHIM_VECTORS(unsigned, uint, 8, 16);
SHIM_VECTORS(long long, longlong, 16, 16);
SHIM_VECTORS(unsigned long long, ulonglong, 16, 16);
SHIM_VECTORS(float, float, 8, 16);
SHIM_VECTORS(double, double, 16, 16);
#undef SHIM_VECTORS

typedef struct dim3 {
  unsigned x, y, z;
#ifdef __cplusplus
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1)
      : x(x_), y(y_), z(z_)
  {
  }
#endif
} dim3;

#endif
