/* fmt.h: number formats of tensors, and conversions between them. */
#ifndef HYMN_FMT_FMT_H
#define HYMN_FMT_FMT_H

#include <stddef.h>
#include <stdint.h>

typedef enum { HY_F32 = 0, HY_BF16, HY_I32, HY_I64, HY_U8, HY_N_FMT } hy_fmt;

/** "fp32", "bf16", ... */
const char *hy_fmt_name(hy_fmt f);

/** Bytes of n elements. */
size_t hy_bytes(hy_fmt f, int64_t n);

/** Element i of the numbers at p. */
static inline void *
hy_at(const void *p, hy_fmt fmt, int64_t i)
{
  return (char *)(uintptr_t)p + hy_bytes(fmt, i);
}

/** bf16 is the upper half of an fp32; narrowing rounds to nearest even and
 *  keeps NaN a NaN. */
float hy_bf16_to_f32(uint16_t x);
uint16_t hy_f32_to_bf16(float x);

/** n elements of format f (HY_F32 or HY_BF16; unaligned is fine) to fp32 and
 *  back. */
void hy_to_f32(float *out, const void *in, hy_fmt f, int64_t n);
void hy_from_f32(void *out, const float *in, hy_fmt f, int64_t n);
/** x holds n elements of format f in front of room for n fp32: make them
 *  that, in place. */
void hy_widen(float *x, hy_fmt f, int64_t n);

#endif
