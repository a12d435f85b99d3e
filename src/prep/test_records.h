/* test_records.h: records of a file, as text. */
#ifndef HYMN_PREP_TEST_RECORDS_H
#define HYMN_PREP_TEST_RECORDS_H

#include "base/err.h"
#include "prep/input.h"

#include <stdlib.h>
#include <string.h>

/* All records of one shard, a line each: JSON, the text, or why not. */
static int
read_shard(const hy_input *in, int64_t shard, hy_buf *out)
{
  hy_records *r;
  hy_record rec;
  int more = 1, err = hy_records_open(&r, in, shard);

  while (!err && more) {
    err = hy_records_next(r, &rec, &more);
    assert_true(hy_records_done(r) >= 0 && hy_records_done(r) <= 1);
    if (err || !more)
      break;
    if (rec.n_bad)
      hy_buf_printf(out, "(%d) ", (int)rec.n_bad);
    if (rec.why) {
      char *where = hy_records_where(r), *slash = strrchr(where, '/');

      hy_buf_printf(out, "%s: %s", slash + 1, rec.why);
      free(where);
    } else if (rec.json) {
      char *s = json_dumps(rec.json, JSON_COMPACT | JSON_SORT_KEYS);

      hy_buf_printf(out, "%s", s);
      free(s);
    } else
      hy_buf_add(out, rec.text, rec.n);
    hy_buf_add(out, "\n", 1);
  }
  hy_records_close(r);
  return err;
}

/* All records, from shards of that many bytes; the number of shards. */
static int64_t
read_all(const char *path, int64_t shard_bytes, hy_buf *out)
{
  hy_input in;
  int64_t n;

  hy_err_clear();
  out->len = 0;
  assert_int_equal(hy_input_measure(&in, path, shard_bytes), HY_OK);
  for (int64_t i = 0; i < in.n_shards; i++)
    assert_int_equal(read_shard(&in, i, out), HY_OK);
  n = in.n_shards;
  hy_input_free(&in);
  return n;
}

#endif
