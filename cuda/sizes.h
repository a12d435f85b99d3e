/* sizes.h: lengths that kernels and the plans of memory agree on. */
#ifndef HYMN_CUDA_SIZES_H
#define HYMN_CUDA_SIZES_H

/* Tokens of a chunk of the scan. */
enum { CU_SSD_CHUNK = 128 };

/* Widest head of attention. */
enum { CU_ATTN_MAX_D = 512 };

#endif
