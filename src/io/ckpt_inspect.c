/* ckpt_inspect.c: what a checkpoint holds, for people. */
#include "io/ckpt_impl.h"
#include "base/lineage.h"
#include "base/err.h"
#include "base/file.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Tensors that are printed as one line: those of a layer, or one alone. */
typedef struct {
  char name[HY_NAME_LEN];
  int64_t layer; /* -1: one tensor alone */
  int n;
  int64_t n_element;
  uint64_t sum;
  char shape[64];
} line;

typedef struct {
  line *l;
  int n;
  int bad;
} table;

/* "backbone.layers.12.mixer.D" -> "backbone.layers." and 12. */
static int64_t
layer_of(const char *name, size_t *prefix)
{
  const char *s = strstr(name, "layers.");

  *prefix = strlen(name);
  if (!s || !isdigit((unsigned char)s[7]))
    return -1;
  *prefix = (size_t)(s - name) + 7;
  return strtoll(s + 7, NULL, 10);
}

static line *
find_line(table *t, const char *name)
{
  size_t prefix;
  int64_t layer = layer_of(name, &prefix);
  line *l;

  for (int i = 0; i < t->n; i++)
    if (t->l[i].layer == layer && strlen(t->l[i].name) == prefix &&
        !strncmp(t->l[i].name, name, prefix))
      return t->l + i;
  t->l = hy_realloc(t->l, (size_t)(t->n + 1) * sizeof *t->l);
  l = t->l + t->n++;
  *l = (line){.layer = layer};
  memcpy(l->name, name, prefix < HY_NAME_LEN ? prefix : HY_NAME_LEN - 1);
  return l;
}

/* H5Literate callback: one dataset of /model. */
static herr_t
one_tensor(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
  table *t = data;
  hid_t set = H5Dopen2(group, name, H5P_DEFAULT), space;
  hsize_t dim[32];
  uint64_t sum = 0;
  hy_buf shape = {0};
  int64_t n = 1;
  line *l;
  int n_dim;

  (void)info;
  if (set < 0 || hy_h5_get_u64(set, "checksum", &sum)) {
    t->bad = 1;
    return 0;
  }
  space = H5Dget_space(set);
  n_dim = H5Sget_simple_extent_dims(space, dim, NULL);
  H5Sclose(space);
  H5Dclose(set);
  for (int i = 0; i < n_dim; i++) {
    n *= (int64_t)dim[i];
    hy_buf_printf(&shape, "%s%" PRIu64, i ? ", " : "[", (uint64_t)dim[i]);
  }
  l = find_line(t, name);
  l->n++;
  l->n_element += n;
  l->sum += sum;
  snprintf(l->shape, sizeof l->shape, "%s]", shape.data ? shape.data : "[");
  free(shape.data);
  return 0;
}

static int
in_order(const void *a, const void *b)
{
  const line *x = a, *y = b;
  int c = strcmp(x->name, y->name);

  return c ? c : (x->layer > y->layer) - (x->layer < y->layer);
}

static void
print_table(FILE *out, const table *t, const char *pattern)
{
  size_t n_back = strcspn(pattern, "/");
  int64_t total = 0;
  int n = 0;

  fprintf(out, "%-34s %7s %15s  %-16s\n", "tensors", "number", "elements",
          "checksum");
  for (int i = 0; i < t->n; i++) {
    const line *l = t->l + i;
    char what[HY_NAME_LEN + 80];

    if (l->layer < 0)
      snprintf(what, sizeof what, "%s %s", l->name, l->shape);
    else if (!strncmp(l->name, "backbone", 8) && (size_t)l->layer < n_back)
      snprintf(what, sizeof what, "%s%" PRId64 " %c", l->name, l->layer,
               pattern[l->layer]);
    else
      snprintf(what, sizeof what, "%s%" PRId64, l->name, l->layer);
    fprintf(out, "%-34s %7d %15" PRId64 "  %016" PRIx64 "\n", what, l->n,
            l->n_element, l->sum);
    total += l->n_element;
    n += l->n;
  }
  fprintf(out, "%-34s %7d %15" PRId64 "\n", "all", n, total);
}

static void
print_state(FILE *out, const hy_ckpt_state *st, int has_optim)
{
  fprintf(out, "state     step %" PRId64 ", rows %" PRId64 ", tokens %" PRId64,
          st->step, st->samples, st->tokens);
  fprintf(out, ", epoch %" PRId64 ", cursor %" PRId64 ", seed %" PRId64 "\n",
          st->epoch, st->cursor, st->seed);
  for (int i = 0; i < st->n_extra; i++)
    if (st->extra[i].is_real)
      fprintf(out, "          %s %.9g\n", st->extra[i].name, st->extra[i].r);
    else
      fprintf(out, "          %s %" PRId64 "\n", st->extra[i].name,
              st->extra[i].i);
  fprintf(out, "moments   %s\n", has_optim ? "yes" : "no");
}

static int
print_all(FILE *out, hid_t file, const char *path)
{
  static const char *const text[] = {"code", "layout", "content", "pattern"};
  hid_t group = H5Gopen2(file, "/model", H5P_DEFAULT);
  hid_t state = H5Gopen2(file, "/state", H5P_DEFAULT);
  hy_buf b[4] = {{0}}, lineage = {0};
  hy_ckpt_state st;
  table t = {0};
  int bad = group < 0 || state < 0 || hy_ckpt_get_state(state, &st);

  for (int i = 0; i < 4; i++)
    bad |= hy_h5_get_text(file, text[i], b + i);
  bad |= hy_h5_get_text(file, "lineage", &lineage);
  bad = bad ||
        H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, one_tensor, &t) < 0;
  if (!bad && !t.bad) {
    for (int i = 0; i < 4; i++)
      fprintf(out, "%-9s %s\n", text[i], b[i].data);
    print_state(out, &st, H5Lexists(file, "/optim", H5P_DEFAULT) > 0);
    qsort(t.l, (size_t)t.n, sizeof *t.l, in_order);
    print_table(out, &t, b[3].data);
    fprintf(out, "lineage   checkpoint %s\n", b[2].data);
    hy_lineage_print(out, lineage.data, 10);
  }
  for (int i = 0; i < 4; i++)
    free(b[i].data);
  free(lineage.data);
  free(t.l);
  if (group >= 0)
    H5Gclose(group);
  if (state >= 0)
    H5Gclose(state);
  if (bad || t.bad)
    return hy_fail(HY_EDATA,
                   "%s: incomplete: model, state or an attribute is "
                   "missing",
                   path);
  return HY_OK;
}

int
hy_ckpt_inspect(const char *path, FILE *out)
{
  hid_t file;
  int err = hy_ckpt_open(&file, path);

  if (err)
    return err;
  fprintf(out,
          "%s: checkpoint, header whole (tensor data is checked when it "
          "is loaded)\n",
          path);
  err = print_all(out, file, path);
  H5Fclose(file);
  return err;
}
