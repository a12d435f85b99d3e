/* prepare_setup.c: keys of the job, what they name, the inputs. */
#include "base/err.h"
#include "base/file.h"
#include "prep/prepare_impl.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Shards of a run, so that ranks can share few bytes too; none is smaller
 * than LEAST_SHARD unless prepare.shard_bytes asks for it. */
#define WANTED_SHARDS 64
#define LEAST_SHARD ((int64_t)512 << 10)

const char *const hy_split_name[HY_SPLIT_N] = {"train", "valid", "test"};

/* ---- keys ---- */

static int
check_keys(const hy_deck_prepare *d)
{
  int megatron = !strcmp(d->format, "megatron");

  if (d->input.n == 0)
    return hy_fail(HY_EDECK, "prepare.input: not set; give files, patterns or "
                             "folders");
  if (!*d->output)
    return hy_fail(HY_EDECK, "prepare.output: not set; give the name of the "
                             "packed file");
  if (megatron && strcmp(d->packing, "concatenative"))
    return hy_fail(HY_EDECK,
                   "prepare.packing='%s': Megatron's format has no rows; set "
                   "prepare.packing='concatenative'",
                   d->packing);
  if (d->split.n < 1 || d->split.n > HY_SPLIT_N)
    return hy_fail(HY_EDECK,
                   "prepare.split: has %d numbers; give up to three, shares of "
                   "train, valid, test",
                   d->split.n);
  if (d->split.v[0] <= 0)
    return hy_fail(HY_EDECK, "prepare.split: the share of train is 0; give "
                             "it one");
  return HY_OK;
}

/* The name without an ending that the format has. */
static char *
stem(const char *path, int megatron)
{
  static const char *const ending[2][2] = {{".h5", ".hdf5"}, {".bin", ".idx"}};
  size_t n = strlen(path);

  for (int i = 0; i < 2; i++) {
    size_t k = strlen(ending[megatron][i]);

    if (n > k && !strcmp(path + n - k, ending[megatron][i]))
      return hy_strndup(path, n - k);
  }
  return hy_strdup(path);
}

static void
name_files(hy_prep *p)
{
  int megatron = !strcmp(p->d->format, "megatron");
  char *name = stem(p->d->output, megatron);

  p->n_files = p->d->split.n;
  for (int i = 0; i < p->n_files; i++)
    p->file[i].path = p->n_files > 1
                          ? hy_asprintf("%s_%s%s", name, hy_split_name[i],
                                        megatron ? "" : ".h5")
                      : megatron ? hy_strdup(name)
                                 : hy_strdup(p->d->output);
  p->dir = hy_asprintf("%s.parts", p->d->output);
  free(name);
}

/* ---- tokenizer, template, reader ---- */

/* Every rank reads the tokenizer itself: it is small. */
static int
open_tokenizer(hy_prep *p)
{
  const hy_deck_prepare *d = p->d;
  int none = !strcmp(d->eos, "none"), err;

  p->eos = -1;
  if (!*d->tokenizer) {
    if (*d->eos && !none)
      return hy_fail(HY_EDECK, "prepare.eos: needs prepare.tokenizer; set it, "
                               "or eos='none'");
    return HY_OK;
  }
  err = hy_tok_open(&p->tok, d->tokenizer);
  if (err || none)
    return err;
  p->eos = *d->eos ? hy_tok_find(p->tok, d->eos) : hy_tok_eos(p->tok);
  if (p->eos < 0 && *d->eos)
    return hy_fail(HY_EDECK,
                   "prepare.eos: \"%s\" is no token of %s; name one, or "
                   "'none'",
                   d->eos, d->tokenizer);
  if (p->eos < 0)
    return hy_fail(HY_EDECK,
                   "prepare.eos: %s names no end-of-text token; name one, or "
                   "'none'",
                   d->tokenizer);
  return HY_OK;
}

/* A folder without a template that hymn knows is no error until a reader needs
 * one. */
static int
open_template(hy_prep *p)
{
  const hy_deck_prepare *d = p->d;
  int err = HY_OK;

  if (*d->template || *d->tokenizer)
    err = hy_chat_open(&p->chat, "prepare.template", d->template, p->tok,
                       d->tokenizer);
  if (*d->template)
    return err;
  hy_err_clear();
  return HY_OK;
}

static int
open_reader(hy_prep *p)
{
  const hy_deck_prepare *d = p->d;
  hy_reader_keys keys = {.name = d->reader,
                         .field = d->field,
                         .prompt = d->prompt,
                         .answer = d->answer,
                         .chat = p->chat,
                         .templated = *d->template != '\0',
                         .loss = d->loss,
                         .turns = d->turns,
                         .preference = d->preference,
                         .plain = d->plain,
                         .wrap = d->bos};

  hy_chat_defaults(&keys.options);
  keys.options.truncate_history = d->truncate_history;
  keys.options.budget = d->reasoning_budget;
  keys.options.low_effort = d->low_effort;
  return hy_reader_new(&p->reader, &keys);
}

static int
open_all(hy_prep *p)
{
  const hy_deck_curate *c = &p->deck->curate;
  int err = open_tokenizer(p);

  err = err ? err : open_template(p);
  err = err ? err : open_reader(p);
  p->packing = (hy_packing)hy_packing_named(p->d->packing);
  err = hy_agree(p->comm, err);
  if (!err)
    err = hy_curate_new(&p->curate, c, p->comm);
  if (!err)
    p->filters = hy_curate_sign_bytes(p->curate) > 0 || c->min_chars > 0 ||
                 c->max_chars > 0 || c->max_repeat_lines < 1 ||
                 c->max_repeat_ngrams < 1 || c->decontaminate.n > 0;
  return err;
}

/* ---- inputs ---- */

/* Rank 0 looks, so that all have the same list. */
static int
find_inputs(hy_prep *p, char ***path)
{
  const hy_comm *comm = p->comm;
  int64_t head[2] = {0, 0}; /* files, bytes of their names */
  hy_buf all = {0};
  int n = 0, err = HY_OK;
  char *at;

  if (comm->rank == 0)
    err = hy_inputs_find(path, &n, p->d->input.s, p->d->input.n);
  err = hy_agree(comm, err);
  if (err)
    return err;
  for (int i = 0; i < n; i++) {
    hy_buf_add(&all, (*path)[i], strlen((*path)[i]) + 1);
    free((*path)[i]);
  }
  if (comm->rank == 0)
    free(*path);
  head[0] = n;
  head[1] = (int64_t)all.len;
  hy_bcast(comm, head, sizeof head, 0);
  if (comm->rank != 0)
    all.data = hy_malloc((size_t)head[1] + 1);
  hy_bcast(comm, all.data, (size_t)head[1], 0);
  p->n_src = (int)head[0];
  *path = hy_calloc((size_t)p->n_src, sizeof **path);
  at = all.data;
  for (int i = 0; i < p->n_src; i++) {
    (*path)[i] = hy_strdup(at);
    at += strlen(at) + 1;
  }
  free(all.data);
  return HY_OK;
}

static int64_t
shard_bytes(const hy_prep *p, char *const *path)
{
  int64_t all = 0, n;

  for (int i = 0; i < p->n_src && p->comm->rank == 0; i++) {
    struct stat st;

    if (!stat(path[i], &st))
      all += (int64_t)st.st_size;
  }
  n = all / WANTED_SHARDS;
  n = n < LEAST_SHARD ? LEAST_SHARD : n;
  n = n > p->d->shard_bytes ? p->d->shard_bytes : n;
  hy_bcast(p->comm, &n, sizeof n, 0);
  return n;
}

/* Numbers of an input as words that ranks can add. */
enum { N_WORDS = 4 + (HY_SHA_HEX + 7) / 8 };

static void
share_measures(hy_prep *p)
{
  int64_t *all = hy_calloc((size_t)p->n_src * N_WORDS, sizeof *all), *w = all;

  for (int i = 0; i < p->n_src; i++, w += N_WORDS) {
    const hy_input *in = &p->src[i].in;

    if (i % p->comm->size != p->comm->rank)
      continue;
    w[0] = in->bytes;
    w[1] = in->n_shards;
    w[2] = in->step;
    w[3] = in->total;
    memcpy(w + 4, in->sha, sizeof in->sha);
  }
  hy_sum_i64(p->comm, all, p->n_src * N_WORDS);
  w = all;
  for (int i = 0; i < p->n_src; i++, w += N_WORDS) {
    hy_input *in = &p->src[i].in;

    in->bytes = w[0];
    in->n_shards = w[1];
    in->step = w[2];
    in->total = w[3];
    memcpy(in->sha, w + 4, sizeof in->sha);
  }
  free(all);
}

/* File i is measured and hashed by rank i modulo the ranks. */
static int
measure_inputs(hy_prep *p)
{
  char **path = NULL;
  int64_t step;
  int err = find_inputs(p, &path);

  if (err)
    return err;
  step = shard_bytes(p, path);
  p->src = hy_calloc((size_t)p->n_src, sizeof *p->src);
  for (int i = 0; i < p->n_src; i++) {
    if (err || i % p->comm->size != p->comm->rank)
      p->src[i].in.path = hy_strdup(path[i]);
    else
      err = hy_input_measure(&p->src[i].in, path[i], step);
    free(path[i]);
  }
  free(path);
  err = hy_agree(p->comm, err);
  if (!err)
    share_measures(p);
  return err;
}

/* ---- all of it ---- */

/* Rank 0: can the files be written, and the parts? */
static int
check_places(const hy_prep *p)
{
  char *stop = hy_asprintf("%s/stop", p->dir);
  int err = HY_OK;

  for (int i = 0; i < p->n_files && !err; i++)
    err = hy_packed_writable(p->file[i].path);
  err = err ? err : hy_make_dirs(p->dir);
  unlink(stop); /* of an earlier run */
  free(stop);
  return err;
}

int
hy_prep_setup(hy_prep *p)
{
  int err = check_keys(p->d);

  if (err)
    return err;
  name_files(p);
  err = open_all(p);
  if (!err)
    err = measure_inputs(p);
  if (!err)
    err = hy_agree(p->comm, p->comm->rank == 0 ? check_places(p) : HY_OK);
  if (!err) {
    hy_prep_run_hash(p);
    hy_prep_deal(p);
  }
  return err;
}

/* 1 for the name of a part: digits and a dot. */
static int
is_part(const char *name)
{
  const char *s = name;

  while (isdigit((unsigned char)*s))
    s++;
  return s > name && *s == '.';
}

void
hy_prep_clear(const hy_prep *p)
{
  DIR *d = opendir(p->dir);
  const struct dirent *e;

  while (d && (e = readdir(d))) {
    char *path = hy_path_join(p->dir, e->d_name);

    if (is_part(e->d_name))
      unlink(path);
    free(path);
  }
  if (d)
    closedir(d);
  rmdir(p->dir);
}
