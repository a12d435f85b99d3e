/* prepare_blend.c: each data set of a raw blend is prepared by itself, then the
 * blend for training is written. */
#include "base/err.h"
#include "base/file.h"
#include "prep/prepare_impl.h"
#include "prep/raw_blend.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
  const hy_deck *deck;
  const hy_comm *comm;
  FILE *report;
  hy_raw_blend raw;
  int64_t (*n)[HY_SPLIT_N]; /* tokens of each set in each file */
} blend;

/* Rank 0 reads, all parse. */
static int
read_blend(blend *b)
{
  const char *path = b->deck->prepare.blend;
  hy_buf text = {0};
  int64_t n;
  int err = HY_OK;

  if (b->comm->rank == 0)
    err = hy_file_read(path, &text);
  err = hy_agree(b->comm, err);
  if (!err) {
    n = (int64_t)text.len;
    hy_bcast(b->comm, &n, sizeof n, 0);
    if (b->comm->rank != 0)
      text.data = hy_malloc((size_t)n + 1);
    hy_bcast(b->comm, text.data, (size_t)n, 0);
    err = hy_agree(b->comm,
                   hy_raw_blend_parse(&b->raw, text.data, (size_t)n, path));
  }
  free(text.data);
  return err;
}

static int
check_keys(const hy_deck_prepare *d)
{
  if (d->input.n > 0)
    return hy_fail(HY_EDECK, "prepare.input: prepare.blend names the inputs; "
                             "give one of the two");
  if (!*d->output)
    return hy_fail(HY_EDECK, "prepare.output: not set; give the folder for "
                             "the blend");
  return HY_OK;
}

/* ---- one data set ---- */

/* Files of a folder that belong to a split: those of the folder of that name,
 * or those whose names begin with it, also in data/ as hubs lay them out. */
static int
split_paths(hy_raw_set *s, const char *file)
{
  for (int i = 0; i < s->path.n; i++) {
    char *dir = s->path.s[i], *data = hy_path_join(dir, "data");
    char *sub = hy_path_join(dir, s->split), *to;

    if (!hy_path_exists(dir)) { /* which is told later */
      free(data);
      free(sub);
      continue;
    }
    if (!hy_path_is_dir(dir)) {
      free(data);
      free(sub);
      return hy_fail(HY_EDATA,
                     "%s: data set %s: \"split\" picks files of a folder, %s "
                     "is none; leave it out, or give a folder",
                     file, s->name, dir);
    }
    if (hy_path_is_dir(sub))
      to = hy_strdup(sub);
    else
      to = hy_asprintf("%s/%s[-._]*", hy_path_is_dir(data) ? data : dir,
                       s->split);
    free(data);
    free(sub);
    free(dir);
    s->path.s[i] = to;
  }
  return HY_OK;
}

static int
is_used(const hy_raw_set *s)
{
  return s->weight[0] > 0 || s->weight[1] > 0;
}

/* Rank 0 looks for the files of all data sets before any is read: a wrong name
 * shows at once, not after days. */
static int
find_all(blend *b)
{
  const char *file = b->deck->prepare.blend;
  int err = HY_OK;

  for (int i = 0; i < b->raw.n_sets && !err; i++) {
    hy_raw_set *s = &b->raw.set[i];
    char **path = NULL;
    int n = 0;

    if (!is_used(s))
      continue;
    if (*s->split)
      err = split_paths(s, file);
    if (!err)
      err = hy_inputs_find(&path, &n, s->path.s, s->path.n);
    for (int k = 0; k < n; k++)
      free(path[k]);
    free(path);
  }
  return err;
}

/* "datasets/NAME/data.h5", with _train and so on; the caller frees it. */
static char *
path_of(const blend *b, const hy_raw_set *s, int f)
{
  const hy_deck_prepare *d = &b->deck->prepare;
  const char *ending = strcmp(d->format, "megatron") ? ".h5" : "";

  return d->split.n > 1 ? hy_asprintf("datasets/%s/data_%s%s", s->name,
                                      hy_split_name[f], ending)
                        : hy_asprintf("datasets/%s/data%s", s->name, ending);
}

static void
print_set(const blend *b, const hy_prep *p, const hy_raw_set *s)
{
  int64_t n[2] = {0, 0};

  if (b->comm->rank != 0)
    return;
  fprintf(b->report, "prepare: data set %s\n", s->name);
  if (!p->was_done) {
    hy_prep_report(p, b->report);
    return;
  }
  for (int f = 0; f < p->n_files; f++) {
    n[0] += p->file[f].n_docs;
    n[1] += p->file[f].n_tokens;
  }
  fprintf(b->report,
          "prepare: is there from an earlier run, %lld documents, %lld "
          "tokens\n",
          (long long)n[0], (long long)n[1]);
}

static int
prepare_set(blend *b, int i)
{
  const hy_deck_prepare *d = &b->deck->prepare;
  hy_raw_set *s = &b->raw.set[i];
  hy_deck *deck = hy_malloc(sizeof *deck);
  char *dir = hy_asprintf("%s/datasets/%s", d->output, s->name);
  char *done = hy_asprintf("%s/done.json", dir);
  hy_prep p = {0};
  int err = hy_raw_set_deck(deck, b->deck, s, d->blend);

  if (!err &&
      snprintf(deck->prepare.output, HY_STR_LEN, "%s/data%s", dir,
               strcmp(d->format, "megatron") ? ".h5" : "") >= HY_STR_LEN - 16)
    err = hy_fail(HY_EDECK, "prepare.output: the name is too long; give a "
                            "shorter one");
  err = hy_agree(b->comm, err);
  if (!err) {
    err = hy_prep_run(&p, deck, b->comm, done);
    if (!err)
      print_set(b, &p, s);
    for (int f = 0; f < p.n_files; f++)
      b->n[i][f] = p.file[f].n_tokens;
    hy_prep_free(&p);
  }
  free(done);
  free(dir);
  free(deck);
  return err;
}

/* ---- the blend ---- */

/* The shortest text that is this number. */
static void
put_number(char text[40], double x)
{
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, 40, "%.*g", digits, x);
    if (strtod(text, NULL) == x)
      return;
  }
}

static int
write_phase(const blend *b, int phase, const char *name)
{
  char *path = hy_path_join(b->deck->prepare.output, name), *text;
  json_t *o = json_object();
  int err;

  for (int f = 0; f < HY_SPLIT_N; f++) {
    json_t *list = json_array();

    for (int i = 0; i < b->raw.n_sets; i++) {
      const hy_raw_set *s = &b->raw.set[i];
      char weight[40], *file;

      if (!(s->weight[phase] > 0) || b->n[i][f] == 0)
        continue;
      put_number(weight, s->weight[phase]);
      file = path_of(b, s, f);
      json_array_append_new(list, json_string(weight));
      json_array_append_new(list, json_string(file));
      free(file);
    }
    json_object_set_new(o, hy_split_name[f], list);
  }
  text = json_dumps(o, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
  err = hy_file_write(path, text, strlen(text));
  json_decref(o);
  free(text);
  free(path);
  return err;
}

static void
print_phase(const blend *b, int phase, FILE *out)
{
  int64_t tokens = b->raw.tokens[phase];
  double sum = 0;

  for (int i = 0; i < b->raw.n_sets; i++)
    sum += b->raw.set[i].weight[phase];
  for (int i = 0; i < b->raw.n_sets; i++) {
    const hy_raw_set *s = &b->raw.set[i];
    double share = s->weight[phase] / sum;

    if (!(share > 0))
      continue;
    fprintf(out, "prepare: phase %d: %s: %.3f %%, %lld tokens", phase + 1,
            s->name, 100 * share, (long long)b->n[i][0]);
    if (tokens)
      fprintf(out, ", about %.2f epochs",
              share * (double)tokens / (double)b->n[i][0]);
    fprintf(out, "\n");
  }
}

static void
print_blend(const blend *b)
{
  const char *dir = b->deck->prepare.output;

  for (int phase = 0; phase < b->raw.n_phases; phase++)
    print_phase(b, phase, b->report);
  fprintf(b->report, "prepare: to train on it: data.train='%s/blend.json'",
          dir);
  if (b->raw.n_phases > 1)
    fprintf(b->report,
            " data.train_2='%s/blend_phase2.json' data.switch_tokens=%lld", dir,
            (long long)b->raw.tokens[0]);
  fprintf(b->report, "\n");
}

static int
prepare_all(blend *b)
{
  int err = HY_OK;

  for (int i = 0; i < b->raw.n_sets && !err; i++)
    if (is_used(&b->raw.set[i]))
      err = prepare_set(b, i);
    else if (b->comm->rank == 0)
      fprintf(b->report, "prepare: data set %s has no weight: left out\n",
              b->raw.set[i].name);
  if (!err && b->comm->rank == 0) {
    err = write_phase(b, 0, "blend.json");
    if (!err && b->raw.n_phases > 1)
      err = write_phase(b, 1, "blend_phase2.json");
    if (!err)
      print_blend(b);
  }
  return hy_agree(b->comm, err);
}

int
hy_prep_blend(const hy_deck *deck, const hy_comm *comm, FILE *report)
{
  blend b = {.deck = deck, .comm = comm, .report = report};
  int err = check_keys(&deck->prepare);

  if (!err)
    err = read_blend(&b);
  if (!err) {
    b.n = hy_calloc((size_t)b.raw.n_sets, sizeof *b.n);
    err = hy_agree(comm, comm->rank == 0 ? find_all(&b) : HY_OK);
  }
  if (!err)
    err = prepare_all(&b);
  free(b.n);
  hy_raw_blend_free(&b.raw);
  return err;
}
