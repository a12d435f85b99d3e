#include "prep/part.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPOOL_BYTES ((size_t)1 << 20)

static const char *const suffix[HY_PART_N] = {"tok", "doc", "wgt", "sig"};

/* A file that is written from its start to its end, and hashed. */
typedef struct {
  char *path;
  int fd;
  int64_t at;
  hy_buf buf;
  hy_sha256 sha;
} spool;

struct hy_part_out {
  char *dir;
  int64_t shard, ones; /* weights of 1 before the first other */
  size_t sign_bytes;
  spool s[HY_PART_N];
  hy_part_facts f;
};

void
hy_part_facts_free(hy_part_facts *f)
{
  hy_tally_free(&f->dropped);
  hy_tally_free(&f->notes);
}

char *
hy_part_path(const char *dir, int64_t shard, const char *ending)
{
  return hy_asprintf("%s/%08lld.%s", dir, (long long)shard, ending);
}

static int
spool_open(spool *s, const char *dir, int64_t shard, int which)
{
  s->path = hy_part_path(dir, shard, suffix[which]);
  s->fd = open(s->path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  hy_sha256_init(&s->sha);
  return s->fd < 0 ? hy_file_failed(s->path, errno) : HY_OK;
}

static int
spool_flush(spool *s)
{
  int why = hy_file_put(s->fd, s->buf.data, s->buf.len, s->at);

  hy_sha256_add(&s->sha, s->buf.data, s->buf.len);
  s->at += (int64_t)s->buf.len;
  s->buf.len = 0;
  return why ? hy_file_failed(s->path, why) : HY_OK;
}

static int
spool_add(spool *s, const void *data, size_t n)
{
  const char *from = data;
  int err = HY_OK;

  while (n > 0 && !err) {
    size_t room = SPOOL_BYTES - s->buf.len, m = n < room ? n : room;

    hy_buf_add(&s->buf, from, m);
    from += m;
    n -= m;
    if (s->buf.len == SPOOL_BYTES)
      err = spool_flush(s);
  }
  return err;
}

/* Close; sha is the hash of the file, "" if there is none; after a failure the
 * file goes. */
static int
spool_close(spool *s, int code, char sha[HY_SHA_HEX])
{
  sha[0] = '\0';
  if (s->path && s->fd >= 0) {
    if (!code)
      code = spool_flush(s);
    if (close(s->fd) && !code)
      code = hy_file_failed(s->path, errno);
    hy_sha256_hex(&s->sha, sha);
  }
  if (code && s->path)
    unlink(s->path);
  free(s->path);
  free(s->buf.data);
  return code;
}

int
hy_part_begin(hy_part_out **out, const char *dir, int64_t shard,
              size_t sign_bytes)
{
  hy_part_out *o = hy_calloc(1, sizeof *o);
  static const char *const old[] = {"json", "wgt", "sig"};
  int err = HY_OK;

  *out = NULL;
  for (size_t i = 0; i < sizeof old / sizeof *old && !err; i++) {
    char *path = hy_part_path(dir, shard, old[i]);

    if (unlink(path) && errno != ENOENT)
      err = hy_file_failed(path, errno);
    free(path);
  }
  o->dir = hy_strdup(dir);
  o->shard = shard;
  o->sign_bytes = sign_bytes;
  o->f.top = -1;
  err = err ? err : spool_open(&o->s[HY_PART_TOK], dir, shard, HY_PART_TOK);
  err = err ? err : spool_open(&o->s[HY_PART_DOC], dir, shard, HY_PART_DOC);
  if (sign_bytes && !err)
    err = spool_open(&o->s[HY_PART_SIG], dir, shard, HY_PART_SIG);
  if (err)
    return hy_part_end(o, err, NULL);
  *out = o;
  return HY_OK;
}

/* Weights are kept from the first on that is not 1; those before it are
 * written then. */
static int
add_weights(hy_part_out *o, const float *weight, int64_t n)
{
  float ones[1024];
  int64_t i = 0;
  int err;

  while (!o->f.weights && i < n && weight[i] == 1.0f)
    i++;
  if (!o->f.weights && i == n) {
    o->ones += n;
    return HY_OK;
  }
  if (o->f.weights)
    return spool_add(&o->s[HY_PART_WGT], weight, (size_t)n * sizeof *weight);
  o->f.weights = 1;
  for (int k = 0; k < 1024; k++)
    ones[k] = 1.0f;
  err = spool_open(&o->s[HY_PART_WGT], o->dir, o->shard, HY_PART_WGT);
  while (o->ones > 0 && !err) {
    int64_t m = o->ones < 1024 ? o->ones : 1024;

    err = spool_add(&o->s[HY_PART_WGT], ones, (size_t)m * sizeof *ones);
    o->ones -= m;
  }
  return err ? err
             : spool_add(&o->s[HY_PART_WGT], weight,
                         (size_t)n * sizeof *weight);
}

int
hy_part_add(hy_part_out *o, const int32_t *id, const float *weight, int64_t n,
            int same_row, const void *sign)
{
  int64_t doc = 2 * n + (same_row != 0);
  int err = spool_add(&o->s[HY_PART_TOK], id, (size_t)n * sizeof *id);

  for (int64_t i = 0; i < n; i++)
    if (id[i] > o->f.top)
      o->f.top = id[i];
  err = err ? err : spool_add(&o->s[HY_PART_DOC], &doc, sizeof doc);
  err = err ? err : add_weights(o, weight, n);
  if (!err && o->sign_bytes)
    err = spool_add(&o->s[HY_PART_SIG], sign, o->sign_bytes);
  o->f.n_docs++;
  o->f.n_tokens += n;
  return err;
}

int
hy_part_end(hy_part_out *o, int code, hy_part_facts *f)
{
  if (!o)
    return code;
  for (int i = 0; i < HY_PART_N; i++)
    code = spool_close(&o->s[i], code, o->f.sha[i]);
  if (f) {
    f->n_docs = o->f.n_docs;
    f->n_tokens = o->f.n_tokens;
    f->top = o->f.top;
    f->weights = o->f.weights;
    memcpy(f->sha, o->f.sha, sizeof f->sha);
  }
  free(o->dir);
  free(o);
  return code;
}

/* ---- receipts ---- */

/* Hash of a receipt's text without its own hash. */
static void
hash_of(json_t *o, char sha[HY_SHA_HEX])
{
  char *text = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
  hy_sha256 s;

  hy_sha256_init(&s);
  hy_sha256_add(&s, text, strlen(text));
  hy_sha256_hex(&s, sha);
  free(text);
}

/* No fsync: the hashes tell what did not reach the disk. */
static int
put_text(const char *path, const char *text)
{
  char *tmp = hy_asprintf("%s.tmp", path);
  int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  int why = fd < 0 ? errno : hy_file_put(fd, text, strlen(text), 0);

  if (fd >= 0 && close(fd) && !why)
    why = errno;
  if (!why && rename(tmp, path))
    why = errno;
  if (why)
    unlink(tmp);
  free(tmp);
  return why ? hy_file_failed(path, why) : HY_OK;
}

int
hy_receipt_write(const char *dir, int64_t shard, const char *of,
                 const hy_part_facts *f)
{
  json_t *o = json_pack(
      "{s:s, s:s, s:I, s:I, s:I, s:I, s:b, s:o, s:o}", "receipt",
      "hymn prepared shard", "made_of", of, "documents", (json_int_t)f->n_docs,
      "tokens", (json_int_t)f->n_tokens, "bad_utf8", (json_int_t)f->n_bad,
      "largest_id", (json_int_t)f->top, "weights", f->weights, "dropped",
      hy_tally_json(&f->dropped), "notes", hy_tally_json(&f->notes));
  char *path = hy_part_path(dir, shard, "json"), sha[HY_SHA_HEX], *text;
  int err;

  for (int i = 0; i < HY_PART_N; i++)
    json_object_set_new(o, suffix[i], json_string(f->sha[i]));
  hash_of(o, sha);
  json_object_set_new(o, "sha256", json_string(sha));
  text = json_dumps(o, JSON_INDENT(1));
  err = put_text(path, text);
  json_decref(o);
  free(text);
  free(path);
  return err;
}

/* 1 if the file has that hash. */
static int
has_sha(const char *dir, int64_t shard, int which, const char *want)
{
  char *path = hy_part_path(dir, shard, suffix[which]), sha[HY_SHA_HEX];
  int ok =
      hy_path_exists(path) && !hy_sha256_file(path, sha) && !strcmp(sha, want);

  free(path);
  return ok;
}

static int
take_facts(json_t *o, hy_part_facts *f)
{
  json_int_t n[4];
  json_t *dropped, *notes;

  if (json_unpack(o, "{s:I, s:I, s:I, s:I, s:b, s:o, s:o}", "documents", &n[0],
                  "tokens", &n[1], "bad_utf8", &n[2], "largest_id", &n[3],
                  "weights", &f->weights, "dropped", &dropped, "notes", &notes))
    return -1;
  f->n_docs = (int64_t)n[0];
  f->n_tokens = (int64_t)n[1];
  f->n_bad = (int64_t)n[2];
  f->top = (int64_t)n[3];
  for (int i = 0; i < HY_PART_N; i++) {
    const char *sha = json_string_value(json_object_get(o, suffix[i]));

    if (!sha || strlen(sha) >= HY_SHA_HEX)
      return -1;
    memcpy(f->sha[i], sha, strlen(sha) + 1);
  }
  return hy_tally_read(&f->dropped, dropped) || hy_tally_read(&f->notes, notes)
             ? -1
             : 0;
}

int
hy_receipt_read(const char *dir, int64_t shard, const char *of,
                hy_part_facts *f)
{
  char *path = hy_part_path(dir, shard, "json"), sha[HY_SHA_HEX] = "";
  json_t *o = json_load_file(path, 0, NULL), *self;
  const char *made;
  int ok = json_is_object(o);

  free(path);
  *f = (hy_part_facts){0};
  self = ok ? json_incref(json_object_get(o, "sha256")) : NULL;
  made = ok ? json_string_value(json_object_get(o, "made_of")) : NULL;
  if (ok) {
    json_object_del(o, "sha256");
    hash_of(o, sha);
  }
  ok = ok && json_is_string(self) && !strcmp(sha, json_string_value(self)) &&
       made && !strcmp(made, of) && !take_facts(o, f);
  for (int i = 0; i < HY_PART_N && ok; i++)
    if (f->sha[i][0])
      ok = has_sha(dir, shard, i, f->sha[i]);
  json_decref(self);
  json_decref(o);
  if (!ok)
    hy_part_facts_free(f);
  hy_err_clear();
  return ok;
}
