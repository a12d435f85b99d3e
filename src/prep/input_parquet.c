#include "prep/input_impl.h"
#include "base/err.h"
#include "data/parquet.h"

#include <stdlib.h>

struct hy_groups {
  hy_parquet *p;
  int64_t group, end; /* the next group, and the first that is not read */
  int64_t row, n;     /* the next row of the group before, and its rows */
  int64_t before;     /* rows of the file before `from` */
};

int
hy_groups_measure(hy_input *in, int64_t shard_bytes)
{
  hy_parquet *p;
  int err = hy_parquet_open(&p, in->path);

  if (err)
    return err;
  in->bytes = hy_input_bytes(in->path);
  if (hy_parquet_n_rows(p) > 0)
    in->total = hy_parquet_n_groups(p);
  in->step = hy_input_share(in->total, in->bytes, shard_bytes);
  hy_parquet_free(p);
  return hy_sha256_file(in->path, in->sha);
}

int
hy_groups_open(hy_groups **out, const char *path, int64_t from, int64_t to)
{
  hy_groups *f = hy_calloc(1, sizeof *f);
  int err = hy_parquet_open(&f->p, path);

  f->group = from;
  f->end = to;
  for (int64_t i = 0; i < from && !err; i++)
    f->before += hy_parquet_group_rows(f->p, i);
  if (err) {
    hy_groups_close(f);
    f = NULL;
  }
  *out = f;
  return err;
}

void
hy_groups_close(hy_groups *f)
{
  if (!f)
    return;
  hy_parquet_free(f->p);
  free(f);
}

int
hy_groups_next(hy_groups *f, hy_record *rec, json_t **json, int *more)
{
  int err = HY_OK;

  while (!err && f->row == f->n && f->group < f->end) {
    err = hy_parquet_load(f->p, f->group);
    f->row = 0;
    f->n = hy_parquet_group_rows(f->p, f->group++);
  }
  *more = !err && f->row < f->n;
  return *more ? hy_parquet_row(f->p, f->row++, json, &rec->why) : err;
}

int64_t
hy_groups_before(const hy_groups *f)
{
  return f->before;
}

int64_t
hy_groups_begun(const hy_groups *f)
{
  return f->group;
}
