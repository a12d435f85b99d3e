/* indexed_impl.h: the ONE description of .idx that reader and writer share;
 * only indexed*.c include it. */
#ifndef HYMN_DATA_INDEXED_IMPL_H
#define HYMN_DATA_INDEXED_IMPL_H

#include "data/indexed.h"

/* Bytes of .idx: magic, version (u64), type (u8), sequences (u64), borders
 * (u64); lengths (i32) and byte offsets (i64) of sequences, borders (i64). */
#define HY_IDX_MAGIC "MMIDIDX\0" /* and the NUL of the string: 9 bytes */
enum {
  HY_IDX_AT_VERSION = 9,
  HY_IDX_AT_TYPE = 17,
  HY_IDX_AT_N_SEQ = 18,
  HY_IDX_AT_N_BORDERS = 26,
  HY_IDX_HEAD = 34,
  HY_IDX_VERSION = 1,
  HY_IDX_N_TYPES = 9 /* codes 1 .. 8 */
};

enum { HY_IDX_INT, HY_IDX_UINT, HY_IDX_REAL };

typedef struct {
  const char *name;
  int size, kind;
} hy_indexed_kind;

/* By code; number 0 is no type. */
extern const hy_indexed_kind hy_indexed_kinds[HY_IDX_N_TYPES];

/** NAME of NAME, NAME.idx or NAME.bin; the caller frees it. */
char *hy_indexed_name(const char *path);

/* ---- writing ---- */

#define HY_IDX_BUFFER 8192 /* ids that are converted at once */

/* Sequences that were given one after another; the length of the last is known
 * when the next run is. */
typedef struct {
  int64_t first, start; /* the first sequence and its first token */
  int64_t last, last_start;
} hy_indexed_run;

typedef struct {
  char *path, *tmp;
  int fd;
} hy_indexed_file;

struct hy_indexed_out {
  hy_indexed_file idx, bin;
  hy_indexed_head head;
  hy_comm comm;
  int code;                 /* of the first failure of this rank */
  int one_seq;              /* a document is a sequence */
  int64_t n_ids, n_borders; /* given to this rank */
  hy_indexed_run *r;
  int64_t n_runs, cap_runs;
  int64_t buf[HY_IDX_BUFFER]; /* of one call */
};

/* Places of the offset of a sequence and of a border. */
#define HY_IDX_AT_OFFSET(o, i) (HY_IDX_HEAD + 4 * (o)->head.n_seq + 8 * (i))
#define HY_IDX_AT_BORDER(o, d) (HY_IDX_HEAD + 12 * (o)->head.n_seq + 8 * (d))

/** Remember the first failure of this rank. */
void hy_indexed_failed(hy_indexed_out *o, int code);
/** n bytes at place `at`; nothing after a failure. */
void hy_indexed_write_at(hy_indexed_out *o, const hy_indexed_file *f,
                         const void *data, size_t n, int64_t at);
/** Lengths of sequences i .. i+n-1 from n + 1 starts. */
void hy_indexed_put_lengths(hy_indexed_out *o, int64_t i, int64_t n,
                            const int64_t *start);

#endif
