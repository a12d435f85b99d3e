/* sizes.h: lengths that kernels and the plans of memory agree on. */
#ifndef HYMN_CUDA_SIZES_H
#define HYMN_CUDA_SIZES_H

/* Tokens of a chunk of the scan. */
enum { CU_SSD_CHUNK = 128 };

#endif
