/* indexed_inspect.c: hymn --inspect of indexed data, and the note beside it. */
#include "base/err.h"
#include "base/lineage.h"
#include "data/indexed_impl.h"

#include <stdlib.h>
#include <string.h>

char *
hy_indexed_note(const char *path)
{
  char *name = hy_indexed_name(path), *note;

  note = hy_asprintf("%s.lineage.json", name);
  free(name);
  return note;
}

int
hy_indexed_lineage(const char *path, const char *content, hy_buf *lineage)
{
  char *note = hy_indexed_note(path), said[HY_SHA_HEX];
  int err = hy_lineage_read(note, said, lineage);

  if (!err && said[0] && strcmp(said, content))
    err = hy_lineage_stale(note);
  free(note);
  return err;
}

int
hy_indexed_verify(const char *path, char content[HY_SHA_HEX], hy_buf *lineage)
{
  hy_indexed *x;
  int err = hy_indexed_open(&x, path);

  if (err)
    return err;
  hy_indexed_hash(x, content);
  hy_indexed_free(x);
  return hy_indexed_lineage(path, content, lineage);
}

/* Longest and shortest of the sequences. */
static void
print_lengths(const hy_indexed *x, FILE *out)
{
  int64_t n = hy_indexed_n_seq(x), most = 0, least = INT64_MAX;

  for (int64_t i = 0; i < n; i++) {
    int64_t len = hy_indexed_len(x, i);

    most = len > most ? len : most;
    least = len < least ? len : least;
  }
  fprintf(out, "sequences        %lld", (long long)n);
  if (n)
    fprintf(out, " of %lld to %lld tokens", (long long)least, (long long)most);
  fprintf(out, "\n");
}

int
hy_indexed_inspect(const char *path, FILE *out)
{
  char hash[HY_SHA_HEX];
  hy_buf lineage = {0};
  hy_indexed *x;
  int err = hy_indexed_open(&x, path);

  if (err)
    return err;
  hy_indexed_hash(x, hash);
  err = hy_indexed_lineage(path, hash, &lineage);
  if (!err) {
    fprintf(out, "format           indexed data, ids of type %s\n",
            hy_indexed_type_name(x));
    fprintf(out, "tokens           %lld\n", (long long)hy_indexed_n_tokens(x));
    fprintf(out, "documents        %lld\n", (long long)hy_indexed_n_docs(x));
    print_lengths(x, out);
    fprintf(out, "content hash     %s\n", hash);
    fprintf(out, "lineage          indexed data %s\n", hash);
    if (lineage.data)
      hy_lineage_print(out, lineage.data, 17);
  }
  free(lineage.data);
  hy_indexed_free(x);
  return err;
}
