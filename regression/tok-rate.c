/* tok-rate TOKENIZER FILE...: time to encode the `text` of JSON lines,
 * each alone, as bench-tokenizers.sh compares it with another program's.
 * Prints: bytes, ids, seconds of CPU time, SHA-256 of the ids. */
#include "base/err.h"
#include "base/file.h"
#include "base/hash.h"
#include "text/tokenizer.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
  char **text;
  size_t *len, n, bytes;
} texts;

static int
fail(void)
{
  fprintf(stderr, "tok-rate: %s\n", hy_err_text());
  return 3;
}

/* The texts of one file. */
static int
read_texts(texts *v, const char *path)
{
  hy_buf b = {0};
  int err = hy_file_read(path, &b);
  char *line = b.data, *end;
  json_error_t e;

  for (; !err && line < b.data + b.len; line = end + 1) {
    json_t *o, *s;

    end = memchr(line, '\n', (size_t)(b.data + b.len - line));
    if (!end)
      end = b.data + b.len;
    o = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, &e);
    s = json_object_get(o, "text");
    if (!json_is_string(s)) {
      err =
          hy_fail(HY_EDATA, "%s: a line without `text`; give JSON lines", path);
    } else {
      v->text = hy_realloc(v->text, (v->n + 1) * sizeof *v->text);
      v->len = hy_realloc(v->len, (v->n + 1) * sizeof *v->len);
      v->len[v->n] = json_string_length(s);
      v->bytes += v->len[v->n];
      v->text[v->n++] = hy_strndup(json_string_value(s), json_string_length(s));
    }
    json_decref(o);
  }
  free(b.data);
  return err;
}

int
main(int argc, char **argv)
{
  texts v = {0};
  hy_ids ids = {0};
  hy_tok *t = NULL;
  hy_sha256 h;
  char hex[HY_SHA_HEX];
  clock_t start;
  double seconds;
  int err = argc < 3 ? hy_fail(HY_EUSAGE, "give TOKENIZER FILE...")
                     : hy_tok_open(&t, argv[1]);

  for (int i = 2; i < argc && !err; i++)
    err = read_texts(&v, argv[i]);
  start = clock();
  for (size_t i = 0; i < v.n && !err; i++)
    err = hy_tok_encode(t, v.text[i], v.len[i], 0, &ids, NULL);
  seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
  if (err)
    return fail();
  hy_sha256_init(&h);
  hy_sha256_add(&h, ids.id, ids.n * sizeof *ids.id);
  hy_sha256_hex(&h, hex);
  printf("%zu %zu %.6f %s\n", v.bytes, ids.n, seconds, hex);
  for (size_t i = 0; i < v.n; i++)
    free(v.text[i]);
  free(v.text);
  free(v.len);
  free(ids.id);
  hy_tok_free(t);
  return 0;
}
