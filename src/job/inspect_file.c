#include "job/inspect_file.h"
#include "base/err.h"
#include "base/file.h"
#include "base/lineage.h"
#include "data/parquet.h"
#include "prep/part.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- Parquet ---- */

int
hy_inspect_parquet_is(const char *path)
{
  FILE *f = fopen(path, "rb");
  char magic[4] = "";
  int yes = f && fread(magic, 1, 4, f) == 4 && !memcmp(magic, "PAR1", 4);

  if (f)
    fclose(f);
  return yes;
}

int
hy_inspect_parquet(const char *path, FILE *out)
{
  hy_parquet *p;
  const char *name;
  int err = hy_parquet_open(&p, path);

  if (err)
    return err;
  fprintf(out, "format           Parquet\nrows             %lld\n",
          (long long)hy_parquet_n_rows(p));
  fprintf(out, "row groups       %lld\n", (long long)hy_parquet_n_groups(p));
  for (int i = 0; (name = hy_parquet_column(p, i)); i++)
    fprintf(out, "column           %s\n", name);
  hy_parquet_free(p);
  return HY_OK;
}

/* ---- notes ---- */

/* What a JSON file says it is, NULL: nothing of hymn's. */
static const char *
title(const json_t *o)
{
  static const char *const key[] = {"format", "receipt"};

  for (int i = 0; i < 2; i++) {
    const char *text = json_string_value(json_object_get(o, key[i]));

    if (text && !strncmp(text, "hymn ", 5))
      return text;
  }
  return NULL;
}

/* The object, NULL if it is none. Names come first: other files are large. */
static json_t *
load(const char *path)
{
  size_t n = strlen(path);
  json_t *o = NULL;

  if (n > 5 && !strcmp(path + n - 5, ".json"))
    o = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
  if (title(o))
    return o;
  json_decref(o);
  return NULL;
}

int
hy_inspect_note_is(const char *path)
{
  json_t *o = load(path);
  int yes = o != NULL;

  json_decref(o);
  return yes;
}

int
hy_inspect_note(const char *path, FILE *out)
{
  json_t *o = load(path), *v;
  const char *key;

  if (!o)
    return hy_fail(HY_EFILE, "%s: cannot be read again; try once more", path);
  json_object_foreach(o, key, v)
  {
    char *text = json_is_string(v)
                     ? hy_strdup(json_string_value(v))
                     : json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);

    if (!strcmp(key, "lineage")) {
      fprintf(out, "%-16s %s\n", key, title(o));
      hy_lineage_print(out, text, 17);
    } else
      fprintf(out, "%-16s %s\n", key, text);
    free(text);
  }
  json_decref(o);
  return HY_OK;
}

/* DIR/NNNNNNNN.json says what the files beside it have to be. */
static int
verify_receipt(const char *path, const json_t *o)
{
  const char *of = json_string_value(json_object_get(o, "made_of"));
  hy_part_facts f = {0};
  char *dir, *end;
  int64_t shard;
  int good;

  if (!of)
    return HY_OK;
  dir = hy_path_dir(path);
  shard = strtoll(hy_path_name(path), &end, 10);
  good = !strcmp(end, ".json") && hy_receipt_read(dir, shard, of, &f);
  if (good)
    hy_part_facts_free(&f);
  free(dir);
  return good ? HY_OK
              : hy_fail(HY_EDATA,
                        "%s: it or the files of its shard are not as they were "
                        "written; prepare them again",
                        path);
}

int
hy_inspect_note_verify(const char *path, char content[HY_SHA_HEX],
                       hy_buf *lineage)
{
  json_t *o = load(path);
  char *list = json_dumps(json_object_get(o, "lineage"), JSON_COMPACT);
  int err = verify_receipt(path, o);

  if (list)
    hy_buf_add(lineage, list, strlen(list));
  free(list);
  json_decref(o);
  return err ? err : hy_sha256_file(path, content);
}

int
hy_inspect_bytes(const char *path, char content[HY_SHA_HEX], hy_buf *lineage)
{
  (void)lineage;
  return hy_sha256_file(path, content);
}
