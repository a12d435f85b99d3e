/* weights-diff.c: how far two checkpoints of one history lie apart, for
 * layouts.sh.
 *
 *   weights-diff BOUND START REFERENCE GOT
 *
 * For each tensor of /model: rms of (got - reference) over rms of (reference -
 * start), the movement of training; a tensor that did not move at all has to
 * be equal. Prints the worst tensor and the median; exit code 1 when the worst
 * is above BOUND, 2 when a file cannot be read. */
#include "base/mem.h"

#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 4096 };

typedef struct {
  hid_t file[3]; /* start, reference, got */
  int n, bad;
  double share[MAX_TENSORS], worst;
  char name[256];
} diff;

static float *
read_set(hid_t file, const char *name, hsize_t *n)
{
  hid_t set = H5Dopen2(file, name, H5P_DEFAULT), space;
  float *x = NULL;

  if (set < 0)
    return NULL;
  space = H5Dget_space(set);
  *n = (hsize_t)H5Sget_simple_extent_npoints(space);
  x = hy_malloc(*n * sizeof *x);
  if (H5Dread(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) < 0) {
    free(x);
    x = NULL;
  }
  H5Sclose(space);
  H5Dclose(set);
  return x;
}

static double
share_of(float *const x[3], hsize_t n)
{
  double error = 0, moved = 0;

  for (hsize_t i = 0; i < n; i++) {
    double e = (double)x[2][i] - (double)x[1][i];
    double m = (double)x[1][i] - (double)x[0][i];

    error += e * e;
    moved += m * m;
  }
  return error == 0 ? 0 : moved > 0 ? sqrt(error / moved) : INFINITY;
}

static herr_t
one_tensor(hid_t group, const char *name, const H5L_info_t *info, void *arg)
{
  diff *d = arg;
  float *x[3];
  hsize_t n[3] = {0, 0, 0};
  char path[512];
  double share = INFINITY;

  (void)group;
  (void)info;
  snprintf(path, sizeof path, "/model/%s", name);
  for (int i = 0; i < 3; i++)
    x[i] = read_set(d->file[i], path, &n[i]);
  if (x[0] && x[1] && x[2] && n[0] == n[1] && n[1] == n[2])
    share = share_of(x, n[1]);
  for (int i = 0; i < 3; i++)
    free(x[i]);
  if (!(share <= d->worst)) {
    d->worst = share;
    snprintf(d->name, sizeof d->name, "%s", name);
  }
  if (d->n < MAX_TENSORS)
    d->share[d->n++] = share;
  return 0;
}

static int
by_value(const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return x < y ? -1 : x > y;
}

int
main(int argc, char **argv)
{
  static diff d = {.worst = -1};
  double bound;

  if (argc != 5) {
    fprintf(stderr, "usage: weights-diff BOUND START REFERENCE GOT\n");
    return 2;
  }
  bound = atof(argv[1]);
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  for (int i = 0; i < 3; i++) {
    d.file[i] = H5Fopen(argv[2 + i], H5F_ACC_RDONLY, H5P_DEFAULT);
    if (d.file[i] < 0) {
      fprintf(stderr, "%s: not an HDF5 file\n", argv[2 + i]);
      return 2;
    }
  }
  H5Literate_by_name(d.file[1], "/model", H5_INDEX_NAME, H5_ITER_INC, NULL,
                     one_tensor, &d, H5P_DEFAULT);
  for (int i = 0; i < 3; i++)
    H5Fclose(d.file[i]);
  if (d.n == 0)
    return 2;
  qsort(d.share, (size_t)d.n, sizeof *d.share, by_value);
  printf("%d tensors, rms error over rms movement: worst %.1e (%s), median "
         "%.1e\n",
         d.n, d.worst, d.name, d.share[d.n / 2]);
  return d.worst <= bound ? 0 : 1;
}
