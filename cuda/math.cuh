/* math.cuh: functions of one number. */
#ifndef HYMN_CUDA_MATH_CUH
#define HYMN_CUDA_MATH_CUH

#include "launch.h"

/* 1 / (1 + exp(-x)), within 2 units in the last place; exp may become
 * infinite, its inverse is then 0 as it should. */
__device__ static inline float
cu_sigmoid(float x)
{
  return __fdividef(1.0f, 1.0f + expf(-x));
}

/* The same for numbers of type T: of bf16 in half the instructions, with an
 * error of some 1e-6. */
template <class T>
__device__ static inline float
cu_sigmoid_as(float x)
{
  return cu_sigmoid(x);
}

template <>
__device__ inline float
cu_sigmoid_as<bf16>(float x)
{
  return __fdividef(1.0f, 1.0f + __expf(-x));
}

#endif
