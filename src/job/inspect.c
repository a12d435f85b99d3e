#include "job/inspect.h"
#include "job/inspect_file.h"
#include "base/err.h"
#include "base/file.h"
#include "base/lineage.h"
#include "data/indexed.h"
#include "data/packed.h"
#include "io/ckpt.h"
#include "io/hf.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what a path is ---- */

/* dir/name exists. */
static int
has(const char *dir, const char *name)
{
  char *path = hy_path_join(dir, name);
  int yes = hy_path_exists(path);

  free(path);
  return yes;
}

static int
is_folder(const char *path)
{
  return hy_path_is_dir(path) && has(path, "config.json");
}

static int
is_ckpt(const char *path)
{
  struct dirent *e;
  int yes = 0;
  DIR *d;

  if (!hy_path_is_dir(path))
    return hy_ckpt_is(path);
  d = is_folder(path) ? NULL : opendir(path);
  while (d && !yes && (e = readdir(d)))
    yes = !strncmp(e->d_name, "step_", 5);
  if (d)
    closedir(d);
  return yes;
}

static int
is_indexed(const char *path)
{
  return !hy_path_is_dir(path) && hy_indexed_is(path);
}

/* ---- checkpoints; a run directory stands for its newest ---- */

static int
print_ckpt(const char *path, FILE *out)
{
  char *file = NULL;
  int err = hy_ckpt_find(&file, path, 0);

  if (!err)
    err = hy_ckpt_inspect(file, out);
  free(file);
  return err;
}

static int
verify_ckpt(const char *path, char content[HY_SHA_HEX], hy_buf *lineage)
{
  hy_buf hash = {0};
  char *file = NULL;
  int err = hy_ckpt_find(&file, path, 0);

  if (!err)
    err = hy_ckpt_rehash(file);
  if (!err)
    err = hy_ckpt_text(&hash, file, "content");
  if (!err)
    err = hy_ckpt_text(lineage, file, "lineage");
  if (!err)
    snprintf(content, HY_SHA_HEX, "%s", hash.data);
  free(hash.data);
  free(file);
  return err;
}

/* ---- weight folders ---- */

static int
verify_folder(const char *path, char content[HY_SHA_HEX], hy_buf *lineage)
{
  int err = hy_hf_content(path, content);

  return err ? err : hy_hf_lineage(path, content, lineage);
}

/* Kinds of outputs: print what is in one; hash it again, with its lineage. */
static const struct {
  const char *kind;
  int (*is)(const char *path);
  int (*print)(const char *path, FILE *out);
  int (*verify)(const char *path, char content[HY_SHA_HEX], hy_buf *lineage);
} kinds[] = {
    {"weight folder", is_folder, hy_hf_inspect, verify_folder},
    {"checkpoint", is_ckpt, print_ckpt, verify_ckpt},
    {"packed data", hy_packed_is, hy_packed_inspect, hy_packed_verify},
    {"indexed data", is_indexed, hy_indexed_inspect, hy_indexed_verify},
    {"input", hy_inspect_parquet_is, hy_inspect_parquet, hy_inspect_bytes},
    {"note", hy_inspect_note_is, hy_inspect_note, hy_inspect_note_verify},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static int
kind_of(const char *path)
{
  int k = 0;

  while (k < N_KINDS && !kinds[k].is(path))
    k++;
  return k;
}

/* What is none of them, for people. */
static int
unknown(const char *path)
{
  FILE *f;

  if (hy_path_is_dir(path))
    return hy_fail(HY_EFILE,
                   "%s: holds neither config.json nor a checkpoint; give a "
                   "weight folder, a run directory or a file",
                   path);
  if (!(f = fopen(path, "rb")))
    return hy_fail(HY_EFILE, "%s: cannot read: %s", path, strerror(errno));
  fclose(f);
  return hy_fail(HY_EFILE,
                 "%s: neither a checkpoint nor a packed data set of hymn, nor "
                 "indexed data, Parquet or a receipt; give one of these or a "
                 "weight folder",
                 path);
}

int
hy_inspect(const char *path)
{
  int k = kind_of(path);

  return k == N_KINDS ? unknown(path) : kinds[k].print(path, stdout);
}

/* ---- inputs of the chain ---- */

/* Look for one hash in the lineage of FILE, and tell. */
static int
look(const char *path, const char *what, const char *hash, const char *lineage)
{
  hy_buf trail = {0};
  int found = hy_lineage_find(lineage, hash, &trail);

  if (found)
    printf("input     %s: %s %s (%s)\n", path, what, hash, trail.data);
  free(trail.data);
  return found;
}

/* A file by its bytes. */
static int
look_bytes(const char *path, const char *what, const char *lineage, int *found)
{
  char hash[HY_SHA_HEX];
  int err = hy_sha256_file(path, hash);

  if (!err)
    *found = look(path, what, hash, lineage);
  return err;
}

/* An input is an output of hymn, or its bytes; a folder may stand for its
 * tokenizer. */
static int
look_input(const char *path, const char *lineage, int *found)
{
  char hash[HY_SHA_HEX], *tok = hy_path_join(path, "tokenizer.json");
  int k = kind_of(path), err = HY_OK;
  hy_buf own = {0};

  *found = 0;
  if (k < N_KINDS) {
    err = kinds[k].verify(path, hash, &own);
    if (!err)
      *found = look(path, kinds[k].kind, hash, lineage);
  }
  if (!err && !*found && hy_path_is_dir(path) && hy_path_exists(tok))
    err = look_bytes(tok, "tokenizer", lineage, found);
  else if (!err && !*found && hy_path_is_dir(path) && k == N_KINDS)
    err = unknown(path);
  else if (!err && !*found && !hy_path_is_dir(path))
    err = look_bytes(path, "file", lineage, found);
  free(own.data);
  free(tok);
  return err;
}

int
hy_inspect_verify(const char *path, char *const *input, int n)
{
  int k = kind_of(path), err = hy_inspect(path), found;
  char content[HY_SHA_HEX];
  hy_buf lineage = {0};

  if (err)
    return err;
  err = kinds[k].verify(path, content, &lineage);
  if (!err)
    printf("verified  %s %s\n", kinds[k].kind, content);
  for (int i = 0; i < n && !err; i++) {
    err = look_input(input[i], lineage.data ? lineage.data : "[]", &found);
    if (!err && !found)
      err = hy_fail(HY_EDATA,
                    "%s: is nothing that %s was made from; look at the lineage "
                    "above for what was",
                    input[i], path);
  }
  free(lineage.data);
  return err;
}
