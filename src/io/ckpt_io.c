/* ckpt_io.c: one tensor between its shards and its dataset, and checksums. */
#include "io/ckpt_impl.h"
#include "io/piece.h"

#include <stdlib.h>
#include <string.h>

/* A rank moves at most this many bytes in one call: MPI-IO implementations
 * overflow near 2 GiB. */
#ifndef HY_CKPT_CALL_BYTES
#define HY_CKPT_CALL_BYTES (512u << 20)
#endif

/* Select rows [r0, r1) of the shard in the file: the union over its runs. */
static int
select_rows(hid_t space, const hy_spec *spec, const hy_shard *shard, int64_t r0,
            int64_t r1)
{
  int bad = H5Sselect_none(space) < 0;
  int n = spec->split < 0 ? 1 : shard->n;

  for (int k = 0; k < n; k++) {
    hsize_t start[4] = {0}, count[4];
    int64_t lo = r0, hi = r1;

    for (int i = 0; i < spec->n_dim; i++)
      count[i] = (hsize_t)spec->dim[i];
    if (spec->split == 0) {
      int64_t last = shard->local[k] + shard->count[k];

      lo = lo > shard->local[k] ? lo : shard->local[k];
      hi = hi < last ? hi : last;
      start[0] = (hsize_t)(shard->global[k] + lo - shard->local[k]);
    } else
      start[0] = (hsize_t)lo;
    if (lo >= hi)
      continue;
    count[0] = (hsize_t)(hi - lo);
    if (spec->split > 0) {
      start[spec->split] = (hsize_t)shard->global[k];
      count[spec->split] = (hsize_t)shard->count[k];
    }
    bad = bad || H5Sselect_hyperslab(space, H5S_SELECT_OR, start, NULL, count,
                                     NULL) < 0;
  }
  return bad;
}

static int
move_rows(hid_t set, hid_t xfer, const hy_spec *spec, const hy_shard *shard,
          float *data, int64_t r0, int64_t r1, int write)
{
  hid_t file = H5Dget_space(set), mem;
  hsize_t n = 1;
  int bad = file < 0;

  for (int i = 1; i < spec->n_dim; i++)
    n *= (hsize_t)(spec->split < 0 ? spec->dim[i] : shard->dim[i]);
  data += (hsize_t)r0 * n;
  n *= (hsize_t)(r1 - r0);
  if (n == 0) {
    n = 1;
    mem = H5Screate_simple(1, &n, NULL);
    bad = bad || H5Sselect_none(mem) < 0 || H5Sselect_none(file) < 0;
  } else {
    mem = H5Screate_simple(1, &n, NULL);
    bad = bad || select_rows(file, spec, shard, r0, r1);
  }
  /* no early return: every rank has to make the call */
  if (write)
    bad |= H5Dwrite(set, H5T_NATIVE_FLOAT, mem, file, xfer, data) < 0;
  else
    bad |= H5Dread(set, H5T_NATIVE_FLOAT, mem, file, xfer, data) < 0;
  H5Sclose(mem);
  H5Sclose(file);
  return bad;
}

int
hy_ckpt_move(hid_t set, const hy_spec *spec, const hy_shard *shard, float *data,
             int active, int write)
{
  int64_t bytes = hy_spec_size(spec) * (int64_t)sizeof(float);
  int64_t n_call = (bytes + HY_CKPT_CALL_BYTES - 1) / HY_CKPT_CALL_BYTES;
  int64_t rows = spec->split == 0 ? shard->dim[0] : spec->dim[0];
  hid_t xfer = H5Pcreate(H5P_DATASET_XFER);
  int bad = 0;

  H5Pset_dxpl_mpio(xfer, H5FD_MPIO_COLLECTIVE);
  if (n_call > spec->dim[0])
    n_call = spec->dim[0];
  if (!active)
    rows = 0;
  for (int64_t i = 0; i < n_call; i++)
    bad |= move_rows(set, xfer, spec, shard, data, rows * i / n_call,
                     rows * (i + 1) / n_call, write);
  H5Pclose(xfer);
  return bad ? -1 : 0;
}

uint64_t
hy_ckpt_part_sum(const hy_spec *spec, const hy_shard *shard, const float *data,
                 const hy_grid *grid)
{
  uint32_t word[1024];
  uint64_t sum = 0;
  hy_pieces p;

  if (!hy_piece_mine(spec, grid))
    return 0;
  hy_pieces_of(&p, spec, shard);
  for (int64_t i = 0; i < p.n; i++) {
    hy_piece r = hy_piece_at(&p, i);

    for (int64_t k = 0; k < r.n; k += 1024) {
      size_t m = r.n - k < 1024 ? (size_t)(r.n - k) : 1024;

      memcpy(word, data + r.local + k, m * sizeof *word);
      sum += hy_checksum(word, m, (uint64_t)(r.global + k));
    }
  }
  return sum;
}

void
hy_ckpt_sum(const hy_grid *grid, uint64_t *sum, int n)
{
  MPI_Allreduce(MPI_IN_PLACE, sum, n, MPI_UINT64_T, MPI_SUM, grid->world.mpi);
}

void
hy_ckpt_content_of(const hy_plan *plan, const uint64_t *sum,
                   char hex[HY_SHA_HEX])
{
  hy_buf line = {0};
  hy_sha256 s;

  hy_sha256_init(&s);
  for (int i = 0; i < plan->n_spec; i++) {
    const hy_spec *spec = plan->spec + i;

    line.len = 0;
    hy_buf_printf(&line, "%s", spec->name);
    for (int k = 0; k < spec->n_dim; k++)
      hy_buf_printf(&line, " %lld", (long long)spec->dim[k]);
    hy_buf_printf(&line, " %016llx\n", (unsigned long long)sum[i]);
    hy_sha256_add(&s, line.data, line.len);
  }
  hy_sha256_hex(&s, hex);
  free(line.data);
}

void
hy_ckpt_content(const hy_params *p, const hy_grid *grid, char hex[HY_SHA_HEX])
{
  uint64_t *sum = hy_calloc((size_t)p->n, sizeof *sum);

  for (int i = 0; i < p->n; i++)
    sum[i] = hy_ckpt_part_sum(p->ref[i].spec, &p->ref[i].shard,
                              p->w + p->ref[i].at, grid);
  hy_ckpt_sum(grid, sum, p->n);
  hy_ckpt_content_of(p->plan, sum, hex);
  free(sum);
}
