/* packed_inspect.c: hymn --inspect of a packed file. */
#include "base/err.h"
#include "base/lineage.h"
#include "data/packed_impl.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int
hy_packed_is(const char *path)
{
  hid_t file;
  hy_buf format = {0};
  int yes = 0;

  hy_h5_quiet();
  if (H5Fis_hdf5(path) <= 0)
    return 0;
  file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
  if (file < 0)
    return 0;
  yes = !hy_h5_get_text(file, "format", &format) &&
        !strcmp(format.data, HY_PACKED_FORMAT);
  free(format.data);
  H5Fclose(file);
  return yes;
}

/* Checksums of what lies in the file, against those written with it. */
static int
verify(const hy_packed *p)
{
  hid_t file = H5Fopen(p->path, H5F_ACC_RDONLY, H5P_DEFAULT);
  uint64_t sum[HY_PK_N] = {0};
  char hash[HY_SHA_HEX];
  int err = HY_OK;

  if (file < 0)
    return hy_fail(HY_EFILE, "%s: cannot be opened again; try once more",
                   p->path);
  for (int i = 0; i < HY_PK_N && !err; i++) {
    const hy_packed_col *c = &hy_packed_cols[i];
    size_t words = (size_t)p->n[i] * c->size * c->width / 4;
    hy_buf said = {0};
    char found[17];
    uint32_t part[1 << 12];
    hid_t set;

    if (p->at[i] < 0)
      continue;
    for (size_t w = 0; w < words; w += sizeof part / sizeof *part) {
      size_t n = words - w < sizeof part / sizeof *part
                     ? words - w
                     : sizeof part / sizeof *part;

      memcpy(part, p->map + p->at[i] + 4 * w, 4 * n);
      sum[i] += hy_checksum(part, n, w);
    }
    snprintf(found, sizeof found, "%016llx", (unsigned long long)sum[i]);
    set = H5Dopen2(file, c->name, H5P_DEFAULT);
    if (hy_h5_get_text(set, "checksum", &said) || strcmp(said.data, found))
      err = hy_fail(HY_EDATA,
                    "%s: dataset /%s does not have the content it was written "
                    "with; prepare the file again",
                    p->path, c->name);
    H5Dclose(set);
    free(said.data);
  }
  H5Fclose(file);
  hy_packed_content(&p->info, p->n, sum, hash);
  if (!err && strcmp(hash, p->info.hash))
    err = hy_fail(HY_EDATA,
                  "%s: the attributes are not those it was written "
                  "with; prepare the file again",
                  p->path);
  return err;
}

/* Open a file on one process, and verify it. */
static int
open_verified(hy_packed **p, const char *path)
{
  hy_comm self = {.mpi = MPI_COMM_SELF, .rank = 0, .size = 1};
  int err = hy_packed_open(p, path, &self);

  if (!err && (err = verify(*p)))
    hy_packed_free(*p);
  return err;
}

int
hy_packed_verify(const char *path, char content[HY_SHA_HEX], hy_buf *lineage)
{
  hy_packed *p;
  int err = open_verified(&p, path);

  if (err)
    return err;
  snprintf(content, HY_SHA_HEX, "%s", p->info.hash);
  hy_buf_add(lineage, p->info.lineage, strlen(p->info.lineage));
  hy_packed_free(p);
  return HY_OK;
}

/* ---- for people ---- */

/* " key value" of each member. */
static void
print_members(FILE *out, json_t *o)
{
  const char *key;
  json_t *v;

  json_object_foreach(o, key, v)
  {
    if (json_is_string(v))
      fprintf(out, " %s %s", key, json_string_value(v));
    else {
      char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));

      fprintf(out, " %s %s", key, text ? text : "?");
      free(text);
    }
  }
  fprintf(out, "\n");
}

/* Counts by phrase. */
static void
print_counts(FILE *out, const char *what, const char *text)
{
  json_t *o = json_loads(text, 0, NULL), *n;
  const char *phrase;

  json_object_foreach(o, phrase, n)
  {
    fprintf(out, "%-16s %s: %lld\n", what, phrase,
            (long long)json_integer_value(n));
  }
  json_decref(o);
}

static void
print_sources(const hy_packed *p, FILE *out)
{
  json_t *list = json_loads(p->info.sources, 0, NULL), *s;
  size_t i;

  json_array_foreach(list, i, s)
  {
    fprintf(out, "source          ");
    print_members(out, s);
  }
  json_decref(list);
  print_counts(out, "dropped", p->info.dropped);
  print_counts(out, "noted", p->info.notes);
}

/* What the tokens were made with. */
static void
print_making(const hy_packed *p, FILE *out)
{
  json_t *keys = json_loads(p->info.keys, 0, NULL);

  fprintf(out, "tokenizer        %s\n",
          *p->info.tokenizer ? p->info.tokenizer : "none, ids as given");
  if (*p->info.chat)
    fprintf(out, "chat template    %s\n", p->info.chat);
  if (json_object_size(keys)) {
    fprintf(out, "keys            ");
    print_members(out, keys);
  }
  json_decref(keys);
  print_sources(p, out);
  fprintf(out, "code             %s\n", p->info.code);
  fprintf(out, "content hash     %s (verified)\n", p->info.hash);
  fprintf(out, "lineage          packed data %s\n", p->info.hash);
  hy_lineage_print(out, p->info.lineage, 17);
}

/* Tokens in rows to places in rows. */
static double
filled(const hy_packed *p)
{
  int64_t n, used = 0;

  for (int64_t i = 0; i < hy_packed_n_rows(p); i++) {
    hy_packed_row_at(p, i, &n);
    used += n;
  }
  return (double)used /
         ((double)hy_packed_n_rows(p) * (double)hy_packed_seq_len(p));
}

int
hy_packed_inspect(const char *path, FILE *out)
{
  hy_packed *p;
  int err = open_verified(&p, path);

  if (err)
    return err;
  fprintf(out, "format           %s, version %lld, %s\n", p->info.format,
          (long long)p->info.version, p->info.packing);
  fprintf(out, "tokens           %lld\n", (long long)hy_packed_n_tokens(p));
  fprintf(out, "documents        %lld\n", (long long)hy_packed_n_docs(p));
  fprintf(out, "rows             %lld of at most %lld tokens, %.2f %% full\n",
          (long long)hy_packed_n_rows(p), (long long)hy_packed_seq_len(p),
          100 * filled(p));
  fprintf(out, "loss weights     %s\n",
          p->n[HY_PK_WEIGHT] ? "stored" : "all 1");
  fprintf(out, "vocabulary       %lld\n", (long long)hy_packed_vocab(p));
  fprintf(out, "end of document  %lld\n", (long long)p->info.eos);
  fprintf(out, "seed             %lld\n", (long long)p->info.seed);
  print_making(p, out);
  hy_packed_free(p);
  return HY_OK;
}
