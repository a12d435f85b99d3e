#include "prep/input.h"
#include "base/err.h"
#include "prep/input_impl.h"
#include "prep/json.h"
#include "prep/lines.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Shards of a compressed file: each is read from the start of the file. */
#define COMPRESSED_SHARDS 16

hy_input_kind
hy_input_kind_of(const char *path)
{
  static const struct {
    const char *ending;
    hy_input_kind kind;
    int compressed; /* .gz and .zst after it, too */
  } kinds[] = {{".txt", HY_INPUT_TXT, 1},
               {".jsonl", HY_INPUT_JSONL, 1},
               {".json", HY_INPUT_JSON, 1},
               {".parquet", HY_INPUT_PARQUET, 0},
               {".idx", HY_INPUT_IDS, 0}};

  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (hy_text_is(path, kinds[i].ending) &&
        (kinds[i].compressed || !hy_stream_ending(path)))
      return kinds[i].kind;
  return HY_INPUT_NONE;
}

/* ---- measuring ---- */

int64_t
hy_input_bytes(const char *path)
{
  struct stat st;

  return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

int64_t
hy_input_share(int64_t n, int64_t bytes, int64_t shard_bytes)
{
  int64_t share = n;

  if (bytes > shard_bytes)
    share = (int64_t)((double)n * (double)shard_bytes / (double)bytes);
  return share > 1 ? share : 1;
}

static int
measure_text(hy_input *in, int64_t shard_bytes)
{
  int64_t least;
  int err = hy_text_size(in->path, &in->total);

  if (!err)
    err = hy_sha256_file(in->path, in->sha);
  if (err)
    return err;
  in->bytes = hy_input_bytes(in->path);
  in->step = in->total;
  if (hy_input_kind_of(in->path) == HY_INPUT_JSONL) {
    least = hy_stream_ending(in->path)
                ? (in->total + COMPRESSED_SHARDS - 1) / COMPRESSED_SHARDS
                : 1;
    in->step = shard_bytes > least ? shard_bytes : least;
  }
  return HY_OK;
}

int
hy_input_measure(hy_input *in, const char *path, int64_t shard_bytes)
{
  int err;

  *in = (hy_input){.path = hy_strdup(path)};
  switch (hy_input_kind_of(path)) {
  case HY_INPUT_PARQUET:
    err = hy_groups_measure(in, shard_bytes);
    break;
  case HY_INPUT_IDS:
    err = hy_ids_measure(in, shard_bytes);
    break;
  default:
    err = measure_text(in, shard_bytes);
  }
  if (!err && in->total == 0)
    err = hy_fail(HY_EDATA, "%s: is empty; remove it from the inputs", path);
  if (!err)
    in->n_shards = (in->total - 1) / in->step + 1;
  return err;
}

void
hy_input_free(hy_input *in)
{
  free(in->path);
  *in = (hy_input){0};
}

/* ---- records ---- */

struct hy_records {
  char *path;
  hy_input_kind kind;
  int64_t from, to;  /* of the shard, in the unit of hy_input.step */
  int64_t at;        /* of the latest record, likewise */
  int64_t n;         /* records so far, blank lines too */
  hy_lines *lines;   /* .jsonl */
  hy_buf text;       /* .txt; a line that was repaired */
  hy_elements *list; /* .json */
  hy_ids_file *ids;  /* .idx */
  hy_groups *rows;   /* .parquet */
  json_t *json;      /* the latest record */
};

int
hy_records_open(hy_records **out, const hy_input *in, int64_t shard)
{
  hy_records *r = hy_calloc(1, sizeof *r);
  int err = HY_OK;

  r->path = hy_strdup(in->path);
  r->kind = hy_input_kind_of(in->path);
  r->from = r->at = shard * in->step;
  r->to = in->total - r->from < in->step ? in->total : r->from + in->step;
  if (r->kind == HY_INPUT_JSONL)
    err = hy_lines_open(&r->lines, r->path, r->from);
  if (r->kind == HY_INPUT_JSON)
    err = hy_elements_open(&r->list, r->path);
  if (r->kind == HY_INPUT_PARQUET)
    err = hy_groups_open(&r->rows, r->path, r->from, r->to);
  if (r->kind == HY_INPUT_IDS)
    err = hy_ids_open(&r->ids, r->path, r->from, r->to);
  if (err) {
    hy_records_close(r);
    r = NULL;
  }
  *out = r;
  return err;
}

void
hy_records_close(hy_records *r)
{
  if (!r)
    return;
  hy_lines_close(r->lines);
  hy_elements_close(r->list);
  hy_ids_close(r->ids);
  hy_groups_close(r->rows);
  json_decref(r->json);
  free(r->text.data);
  free(r->path);
  free(r);
}

static int
is_blank(const char *line, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (line[i] != ' ' && line[i] != '\t')
      return 0;
  return 1;
}

const char *
hy_input_parse(const char *text, size_t n, json_t **out)
{
  const char *why = hy_json_parse(text, n, out);

  return why || json_is_object(*out) ? why : "no JSON object";
}

static int
next_line(hy_records *r, hy_record *rec, int *more)
{
  const char *line;
  size_t n;
  int err = hy_lines_next(r->lines, &line, &n, &r->at);

  *more = !err && line && r->at < r->to;
  if (!*more)
    return err;
  if (is_blank(line, n)) {
    rec->why = hy_why_blank;
    return err;
  }
  if (!hy_utf8_ok(line, n)) {
    r->text.len = 0;
    rec->n_bad = hy_utf8_repair(line, n, &r->text);
    line = r->text.data;
    n = r->text.len;
  }
  rec->why = hy_input_parse(line, n, &r->json);
  return err;
}

static int
next_text(hy_records *r, hy_record *rec, int *more)
{
  size_t bom;
  int err = HY_OK;

  *more = r->n == 0;
  if (*more)
    err = hy_text_read(r->path, &r->text);
  if (err || !*more)
    return err;
  bom = hy_text_bom(r->text.data, r->text.len);
  rec->text = r->text.data + bom;
  rec->n = r->text.len - bom;
  if (memchr(rec->text, '\0', rec->n))
    rec->why = "NUL byte";
  return err;
}

int
hy_records_next(hy_records *r, hy_record *rec, int *more)
{
  int err = HY_OK;

  *rec = (hy_record){0};
  *more = 0;
  json_decref(r->json);
  r->json = NULL;
  switch (r->kind) {
  case HY_INPUT_TXT:
    err = next_text(r, rec, more);
    break;
  case HY_INPUT_JSONL:
    err = next_line(r, rec, more);
    break;
  case HY_INPUT_JSON:
    err = hy_elements_next(r->list, rec, &r->json, more);
    break;
  case HY_INPUT_PARQUET:
    err = hy_groups_next(r->rows, rec, &r->json, more);
    r->at = hy_groups_begun(r->rows) - 1;
    break;
  case HY_INPUT_IDS:
    err = hy_ids_next(r->ids, &r->json, more);
    r->at = r->from + r->n;
    break;
  case HY_INPUT_NONE:
    break;
  }
  rec->json = r->json;
  r->n += *more;
  if (!*more)
    r->at = r->to;
  return err;
}

/* Number of the line where a NUL byte stands: what else is wrong with the
 * record of a .txt has no place. */
static int64_t
line_of_nul(const hy_records *r)
{
  const char *s = r->text.data, *nul = s ? memchr(s, '\0', r->text.len) : NULL;
  int64_t line = 1;

  for (; nul && s < nul; s++)
    line += *s == '\n';
  return line;
}

char *
hy_records_where(const hy_records *r)
{
  int64_t line = 0, before = r->kind == HY_INPUT_IDS ? r->from : 0;

  if (r->kind == HY_INPUT_TXT)
    line = line_of_nul(r);
  if (r->kind == HY_INPUT_JSONL)
    line = hy_lines_number(r->path, r->at);
  if (line > 0)
    return hy_asprintf("%s:%lld", r->path, (long long)line);
  if (r->kind == HY_INPUT_PARQUET)
    before = hy_groups_before(r->rows);
  return hy_asprintf("%s: record %lld", r->path, (long long)(before + r->n));
}

double
hy_records_done(const hy_records *r)
{
  if (r->kind == HY_INPUT_TXT)
    return r->n > 0;
  if (r->kind == HY_INPUT_JSON)
    return hy_elements_done(r->list);
  return r->to > r->from ? (double)(r->at - r->from) / (double)(r->to - r->from)
                         : 1;
}
