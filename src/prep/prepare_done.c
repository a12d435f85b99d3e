/* prepare_done.c: outputs of an earlier run that can stay: those of the data
 * sets of a blend that were finished when the run was ended. */
#include "base/err.h"
#include "base/file.h"
#include "data/indexed.h"
#include "prep/prepare_impl.h"

#include <stdlib.h>
#include <string.h>

/* What a file on the disk holds, "" if it is none. */
static void
content_of(const hy_prep *p, const char *path, char hash[HY_SHA_HEX])
{
  hy_comm self = {.mpi = MPI_COMM_SELF, .rank = 0, .size = 1};
  hy_packed *packed;
  hy_indexed *indexed;

  hash[0] = '\0';
  if (strcmp(p->d->format, "megatron")) {
    if (!hy_packed_open(&packed, path, &self)) {
      memcpy(hash, hy_packed_hash(packed), HY_SHA_HEX);
      hy_packed_free(packed);
    }
  } else if (!hy_indexed_open(&indexed, path)) {
    hy_indexed_hash(indexed, hash);
    hy_indexed_free(indexed);
  }
  hy_err_clear();
}

/* 1 if the file is as o says; it is filled. */
static int
take_file(const hy_prep *p, hy_prep_file *f, json_t *o)
{
  json_int_t n[4];
  const char *hash;
  char found[HY_SHA_HEX];

  if (json_unpack(o, "{s:I, s:I, s:I, s:I, s:s}", "units", &n[0], "documents",
                  &n[1], "tokens", &n[2], "rows", &n[3], "content", &hash) ||
      strlen(hash) >= HY_SHA_HEX)
    return 0;
  f->n_units = (int64_t)n[0];
  f->n_docs = (int64_t)n[1];
  f->n_tokens = (int64_t)n[2];
  f->n_rows = (int64_t)n[3];
  strcpy(f->hash, hash);
  if (f->n_units == 0)
    return 1;
  content_of(p, f->path, found);
  return !strcmp(found, hash);
}

static int
is_done(hy_prep *p, const char *path)
{
  json_t *o = json_load_file(path, 0, NULL);
  const char *made = json_string_value(json_object_get(o, "made_of"));
  json_t *list = json_object_get(o, "files");
  char want[HY_SHA_HEX];
  int done;

  hy_prep_whole_hash(p, want);
  done = made && !strcmp(made, want) &&
         json_array_size(list) == (size_t)p->n_files;
  for (int i = 0; i < p->n_files && done; i++)
    done = take_file(p, &p->file[i], json_array_get(list, (size_t)i));
  json_decref(o);
  return done;
}

void
hy_prep_done_read(hy_prep *p, const char *path)
{
  const hy_comm *comm = p->comm;
  hy_prep_file *f = p->file;

  if (comm->rank == 0)
    p->was_done = is_done(p, path);
  hy_bcast(comm, &p->was_done, sizeof p->was_done, 0);
  for (int i = 0; i < p->n_files; i++) {
    int64_t n[4] = {f[i].n_units, f[i].n_docs, f[i].n_tokens, f[i].n_rows};

    if (!p->was_done) {
      memset(n, 0, sizeof n);
      f[i].hash[0] = '\0';
    }
    hy_bcast(comm, n, sizeof n, 0);
    hy_bcast(comm, f[i].hash, sizeof f[i].hash, 0);
    f[i].n_units = n[0];
    f[i].n_docs = n[1];
    f[i].n_tokens = n[2];
    f[i].n_rows = n[3];
  }
}

int
hy_prep_done_write(const hy_prep *p, const char *path)
{
  char hash[HY_SHA_HEX], *text;
  json_t *list = json_array(), *o;
  int err;

  hy_prep_whole_hash(p, hash);
  for (int i = 0; i < p->n_files; i++) {
    const hy_prep_file *f = &p->file[i];

    json_array_append_new(list,
                          json_pack("{s:I, s:I, s:I, s:I, s:s}", "units",
                                    (json_int_t)f->n_units, "documents",
                                    (json_int_t)f->n_docs, "tokens",
                                    (json_int_t)f->n_tokens, "rows",
                                    (json_int_t)f->n_rows, "content", f->hash));
  }
  o = json_pack("{s:s, s:s, s:o}", "receipt", "hymn prepared data set",
                "made_of", hash, "files", list);
  text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
  err = hy_file_write(path, text, strlen(text));
  json_decref(o);
  free(text);
  return err;
}
