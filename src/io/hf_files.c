/* hf_files.c: the small files that go with the weights of a folder. */
#include "io/hf.h"
#include "base/err.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const side_file[] = {
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "preprocessor_config.json",
};

static int
is_side_file(const char *name)
{
  size_t n = strlen(name);

  for (size_t i = 0; i < sizeof side_file / sizeof *side_file; i++)
    if (!strcmp(side_file[i], name))
      return 1;
  return n > 3 && !strcmp(name + n - 3, ".py"); /* auto_map points there */
}

int
hy_hf_copy_files(const char *from, const char *to)
{
  DIR *d = opendir(from);
  struct dirent *e;
  int err = HY_OK;

  if (!d)
    return hy_fail(HY_EFILE, "%s: cannot read: %s", from, strerror(errno));
  while (!err && (e = readdir(d))) {
    char *in, *out;
    hy_buf text = {0};

    if (!is_side_file(e->d_name))
      continue;
    in = hy_path_join(from, e->d_name);
    out = hy_path_join(to, e->d_name);
    err = hy_file_read(in, &text);
    if (!err)
      err = hy_file_write(out, text.data, text.len);
    free(text.data);
    free(in);
    free(out);
  }
  closedir(d);
  return err;
}
