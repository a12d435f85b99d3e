/* ckpt_io.c: one tensor between its shards and its place in the file, and
 * checksums.
 *
 * Each rank moves its own runs with plain reads and writes: the datasets are
 * contiguous and their places known. Collective MPI-IO was tried and dropped:
 * with Open MPI a disk that fills up under it leaves ranks waiting for ever. */
#include "base/file.h"
#include "io/ckpt_impl.h"

#include <stdlib.h>
#include <string.h>

int
hy_ckpt_move(int fd, uint64_t at, const hy_param_ref *ref, const hy_own *which,
             const hy_held *held, float *flat, int write)
{
  int why = 0;
  hy_pieces p;
  hy_piece r;

  hy_pieces_of(&p, ref->spec, &ref->shard);
  for (int64_t i = 0; !why && hy_own_next(&p, which, &i, &r);) {
    float *x = flat + held->at + (r.local - held->from);
    size_t n = hy_bytes(HY_F32, r.n);
    int64_t to = (int64_t)(at + hy_bytes(HY_F32, r.global));

    why = write ? hy_file_put(fd, x, n, to) : hy_file_get(fd, x, n, to);
  }
  return why;
}

uint64_t
hy_ckpt_part_sum(const hy_param_ref *ref, const hy_held *held,
                 const float *flat)
{
  uint32_t word[1024];
  uint64_t sum = 0;
  hy_pieces p;
  hy_piece r;

  hy_pieces_of(&p, ref->spec, &ref->shard);
  for (int64_t i = 0; hy_own_next(&p, &ref->own, &i, &r);)
    for (int64_t k = 0; k < r.n; k += 1024) {
      size_t m = r.n - k < 1024 ? (size_t)(r.n - k) : 1024;

      memcpy(word, flat + held->at + (r.local - held->from) + k,
             m * sizeof *word);
      sum += hy_checksum(word, m, (uint64_t)(r.global + k));
    }
  return sum;
}

void
hy_ckpt_sum(const hy_grid *grid, uint64_t *sum, int n)
{
  hy_sum_i64(&grid->world, (int64_t *)sum, n); /* modulo 2^64 */
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
  hy_host host;

  hy_host_begin(&host, p, NULL, NULL);
  for (int i = 0; i < p->n; i++) {
    hy_held h;
    const float *w = hy_host_read(&host, HY_PART_W, i, &h);

    sum[i] = hy_ckpt_part_sum(&p->ref[i], &h, w);
  }
  hy_host_end(&host);
  hy_ckpt_sum(grid, sum, p->n);
  hy_ckpt_content_of(p->plan, sum, hex);
  free(sum);
}
