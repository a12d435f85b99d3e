/* ckpt_impl.h: what the files of the checkpoint share. */
#ifndef HYMN_IO_CKPT_IMPL_H
#define HYMN_IO_CKPT_IMPL_H

#include "io/ckpt.h"
#include "base/h5.h"
#include "model/host.h"

/* Tensor data of one dataset in the file. */
typedef struct {
  uint64_t at, n; /* bytes */
} hy_extent;

/* One checkpoint on its way to a file. */
typedef struct {
  const hy_params *p;
  const hy_grid *grid;
  hy_host host;     /* weights, m, v */
  float *copy;      /* a private one of what this rank owns; NULL: none */
  hy_held *held[3]; /* by spec: where it is in copy */
  hy_ckpt_state st;
  int keep;
  char *dir, *tmp;
  hy_buf deck, config, layout; /* texts, rank 0 */
  size_t block;
  uint64_t *sum[3]; /* by spec: checksum of each dataset */
  int n_set;
  hy_extent *extent; /* (n_set) */
  int n_extent;
  int bad;
} hy_ckpt_job;

/** Places, room for sums and extents. \param m, v  moments; NULL: not there.
 *  Not collective. */
void hy_ckpt_job_new(hy_ckpt_job *w, const hy_params *p, const float *m,
                     const float *v);
void hy_ckpt_job_free(hy_ckpt_job *w);

/* The steps of a write. None is collective; between them sums and extents are
 * shared and codes agreed. They call neither MPI nor, the second apart, HDF5,
 * and may run in a thread. */

/** Checksums of what this rank owns into w->sum. */
void hy_ckpt_sum_own(hy_ckpt_job *w);
/** Rank 0: is there room, and the file without its tensor data; the room for
 *  them is reserved. \return 0, HY_EFILE, HY_ERES. */
int hy_ckpt_create(hy_ckpt_job *w);
/** All ranks: tensor data, each with its own descriptor; what it wrote is on
 *  disk when this returns. */
int hy_ckpt_write_data(hy_ckpt_job *w);
/** Rank 0: hash, rename, latest, removal of older ones. */
int hy_ckpt_finish(hy_ckpt_job *w);

/** Size of the block in front for n datasets: a power of two. */
size_t hy_ckpt_block(int n);

/** Fill the block: hash of every byte outside the extents. Sorts e. Not
 *  collective. \return 0, HY_EFILE, HY_ERES. */
int hy_ckpt_seal(const char *path, size_t block, hy_extent *e, int n);

/** Read or write elements `which` of this rank's shard of a tensor that lies at
 *  byte `at` of an open file.
 *  \param held  where they are in flat
 *  Not collective. \return 0 or an errno value (EIO: the file ends early). */
int hy_ckpt_move(int fd, uint64_t at, const hy_param_ref *ref,
                 const hy_own *which, const hy_held *held, float *flat,
                 int write);

/** Checksum of the part of a tensor that this rank owns; the sum over ranks
 *  is that of the tensor. */
uint64_t hy_ckpt_part_sum(const hy_param_ref *ref, const hy_held *held,
                          const float *flat);

/** Sum n checksums over all ranks. Collective. */
void hy_ckpt_sum(const hy_grid *grid, uint64_t *sum, int n);

/** Content hash from the summed checksums of all specs. */
void hy_ckpt_content_of(const hy_plan *plan, const uint64_t *sum,
                        char hex[HY_SHA_HEX]);

/** Open a checkpoint with the plain driver after verifying it; *file < 0 on
 *  error. Not collective. */
int hy_ckpt_open(hid_t *file, const char *path);

/** The attributes of /state. \return 0 or -1. */
int hy_ckpt_put_state(hid_t group, const hy_ckpt_state *st);
int hy_ckpt_get_state(hid_t group, hy_ckpt_state *st);

/** dir/step_NNNNNNN.h5; the caller frees it. */
char *hy_ckpt_name(const char *dir, int64_t step);

/** Steps of the checkpoints in dir, rising; the caller frees *step. */
int hy_ckpt_list(const char *dir, int64_t **step);

#endif
