/* packed_inspect.c: hymn --inspect of a packed file. */
#include "base/err.h"
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

static void
print_sources(const hy_packed *p, FILE *out)
{
  json_t *list = json_loads(p->info.sources, 0, NULL), *s, *n;
  json_t *drop = json_loads(p->info.dropped, 0, NULL);
  const char *reason, *key;
  size_t i;

  json_array_foreach(list, i, s)
  {
    fprintf(out, "source          ");
    json_object_foreach(s, key, n)
    {
      if (json_is_string(n))
        fprintf(out, " %s %s", key, json_string_value(n));
      else
        fprintf(out, " %s %lld", key, (long long)json_integer_value(n));
    }
    fprintf(out, "\n");
  }
  json_object_foreach(drop, reason, n)
  {
    fprintf(out, "dropped          %s: %lld\n", reason,
            (long long)json_integer_value(n));
  }
  json_decref(list);
  json_decref(drop);
}

int
hy_packed_inspect(const char *path, FILE *out)
{
  hy_comm self = {.mpi = MPI_COMM_SELF, .rank = 0, .size = 1};
  hy_packed *p;
  int err = hy_packed_open(&p, path, &self);

  if (err)
    return err;
  err = verify(p);
  if (!err) {
    fprintf(out, "format           %s, version %lld, %s\n", p->info.format,
            (long long)p->info.version, p->info.packing);
    fprintf(out, "tokens           %lld\n", (long long)hy_packed_n_tokens(p));
    fprintf(out, "documents        %lld\n", (long long)hy_packed_n_docs(p));
    fprintf(out, "rows             %lld of at most %lld tokens\n",
            (long long)hy_packed_n_rows(p), (long long)hy_packed_seq_len(p));
    fprintf(out, "loss weights     %s\n",
            p->n[HY_PK_WEIGHT] ? "stored" : "all 1");
    fprintf(out, "vocabulary       %lld\n", (long long)hy_packed_vocab(p));
    fprintf(out, "end of document  %lld\n", (long long)p->info.eos);
    fprintf(out, "seed             %lld\n", (long long)p->info.seed);
    fprintf(out, "tokenizer        %s\n",
            *p->info.tokenizer ? p->info.tokenizer : "none, ids as given");
    print_sources(p, out);
    fprintf(out, "content hash     %s (verified)\n", p->info.hash);
  }
  hy_packed_free(p);
  return err;
}
