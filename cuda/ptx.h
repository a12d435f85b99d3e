// ptx.h: every PTX instruction that the kernels use, one wrapper for each, with a
// twin for the shim that follows the lane layouts of the PTX manual.
#ifndef HYMN_CUDA_PTX_H
#define HYMN_CUDA_PTX_H
#include <cuda_bf16.h>
#include <cuda_pipeline.h>
#include <cstdint>
#include <cstring>

// d = a b + c for one warp: a 16x16 bf16 (row), b 16x8 bf16 (col), c and d 16x8.
__device__ static inline void mma_bf16_16816(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const float (&c)[4])
{
#ifdef HYMN_CUDA_SHIM
    const char *sa = (const char *)shim::warp_meet(~0u, a, 16, SHIM_AT("mma a"));
    const char *sb = (const char *)shim::warp_meet(~0u, b, 8, SHIM_AT("mma b"));
    int g = shim::lane() >> 2, t = shim::lane() & 3;
    for (int i = 0; i < 4; i++) {
        int r = g + (i >= 2 ? 8 : 0), n = 2 * t + (i & 1);
        float s = c[i];
        for (int k = 0; k < 16; k++) {
            __nv_bfloat16 x, y; // element (r, k) of a and (k, n) of b in their lanes
            memcpy(&x, sa + 16 * (r % 8 * 4 + k % 8 / 2) + 2 * ((k & 1) + 2 * (r >= 8) + 4 * (k >= 8)), 2);
            memcpy(&y, sb + 16 * (n * 4 + k % 8 / 2) + 2 * ((k & 1) + 2 * (k >= 8)), 2);
            s += __bfloat162float(x) * __bfloat162float(y);
        }
        d[i] = s;
    }
    __syncwarp();
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]),
                   "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#endif
}

// Four 8x8 bf16 matrices from shared memory; lane l gives the address of row l%8
// of matrix l/8 (16 bytes, aligned).  TRANS: transposed on the way.
template <bool TRANS> __device__ static inline void ldmatrix_x4(uint32_t (&r)[4], const void *row)
{
#ifdef HYMN_CUDA_SHIM
    if ((uintptr_t)row % 16) __trap();
    const char *s = (const char *)shim::warp_meet(~0u, &row, 8, SHIM_AT("ldmatrix"));
    int l = shim::lane();
    for (int m = 0; m < 4; m++)
        for (int h = 0; h < 2; h++) {
            int i = TRANS ? 2 * (l % 4) + h : l / 4, j = TRANS ? l / 4 : 2 * (l % 4) + h;
            const uint16_t *p;
            memcpy(&p, s + 16 * (8 * m + i), 8);
            uint16_t v = p[j];
            memcpy((char *)&r[m] + 2 * h, &v, 2);
        }
    __syncwarp();
#else
    uint32_t p = (uint32_t)__cvta_generic_to_shared(row);
    if (TRANS)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(p) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(p) : "memory");
#endif
}

// 2^x to about 2 units of the last place; denormal results become 0.
__device__ static inline float ex2_approx(float x)
{
#ifdef HYMN_CUDA_SHIM
    return exp2f(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// Starts a copy of 16 bytes to shared memory (commit and wait as with any
// __pipeline_memcpy_async); real == 0: zeros, and `from` is not read.
__device__ static inline void cp_async_16(void *to, const void *from, int real)
{
#ifdef HYMN_CUDA_SHIM
    __pipeline_memcpy_async(to, from, 16, real ? 0 : 16);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"((uint32_t)__cvta_generic_to_shared(to)), "l"(from), "r"(real ? 16 : 0) : "memory");
#endif
}

// The same of only the first `bytes` of the 16; the rest is zeros. (With an
// argument that the compiler does not know, CUDA's own call becomes a switch.)
__device__ static inline void cp_async_part(void *to, const void *from, int bytes)
{
#ifdef HYMN_CUDA_SHIM
    __pipeline_memcpy_async(to, from, 16, (size_t)(16 - bytes));
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :: "r"((uint32_t)__cvta_generic_to_shared(to)), "l"(from), "r"(bytes) : "memory");
#endif
}
#endif
