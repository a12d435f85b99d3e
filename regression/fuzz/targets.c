/* targets.c: the table, and what its functions share. */
#include "fuzz.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const hy_fuzz_target hy_fuzz_targets[] = {
    {"deck", hy_fuzz_deck},
    {"records", hy_fuzz_records},
    {"prompts", hy_fuzz_prompts},
    {"tokenizer", hy_fuzz_tokenizer},
    {"indexed", hy_fuzz_indexed},
    {"parquet", hy_fuzz_parquet},
    {"blend", hy_fuzz_blend},
    {"config", hy_fuzz_config},
    {"safetensors", hy_fuzz_safetensors},
    {NULL, NULL},
};

const hy_fuzz_target *
hy_fuzz_find(const char *name)
{
  const hy_fuzz_target *t = hy_fuzz_targets;

  while (t->name && strcmp(t->name, name))
    t++;
  return t->name ? t : NULL;
}

static char *dir; /* of this process */

static void
drop_dir(void)
{
  rmdir(dir);
  free(dir);
}

char *
hy_fuzz_put(const char *name, const void *data, size_t n)
{
  const char *top = getenv("TMPDIR");
  char *path;
  FILE *f;

  if (!dir) {
    dir = hy_asprintf("%s/hymn-fuzz.%d", top ? top : ".", (int)getpid());
    if (hy_make_dirs(dir))
      hy_die(HY_EFILE, "%s", hy_err_text());
    atexit(drop_dir);
  }
  path = hy_path_join(dir, name);
  f = fopen(path, "wb");
  if (!f || fwrite(data, 1, n, f) != n || fclose(f))
    hy_die(HY_EFILE, "%s: cannot write; set TMPDIR", path);
  return path;
}

void
hy_fuzz_drop(char *path)
{
  unlink(path);
  free(path);
}

void
hy_fuzz_demand(int promise)
{
  if (!promise) {
    fprintf(stderr, "a promise is broken; error text: '%s'\n", hy_err_text());
    abort();
  }
}

void
hy_fuzz_judge(int err)
{
  const char *text = hy_err_text();

  hy_fuzz_demand((err != 0) == (*text != '\0'));
  hy_fuzz_demand(err == 0 || (err >= HY_EUSAGE && err <= HY_ERES));
  hy_fuzz_demand(!strchr(text, '\n'));
  hy_err_clear();
}
