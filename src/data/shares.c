#include "data/shares.h"
#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

typedef unsigned __int128 wide;

/* Leaves are nodes 0 .. n-1 in the order of the sources; the root is the last.
 * A source without weight is in no node's child. */
typedef struct {
  int64_t share; /* sum of the weights below */
  int left, right, parent;
} node;

struct hy_shares {
  int n, root;
  node *v; /* (2 n - 1) at most */
};

/* 10^d w, if w has no more than d decimals and the result no more than 15
 * digits; else -1. */
static int64_t
decimal(double w, int d)
{
  double scale = 1, x;

  for (int i = 0; i < d; i++)
    scale *= 10;
  x = nearbyint(w * scale);
  return x <= 1e15 && x / scale == w ? (int64_t)x : -1;
}

static int
in_decimals(node *v, const double *weight, int n, int d)
{
  for (int i = 0; i < n; i++) {
    v[i].share = decimal(weight[i], d);
    if (v[i].share < 0)
      return 0;
  }
  return 1;
}

/* Whole numbers in the proportion of the weights; their sum stays below
 * 2^61, so that products with a number of samples fit 128 bits. */
static int
scale(node *v, const double *weight, int n)
{
  double sum = 0, most = 0;
  int e;

  for (int d = 0; d <= 15; d++)
    if (n <= 1024 && in_decimals(v, weight, n, d))
      return 1;
  for (int i = 0; i < n; i++)
    most = weight[i] > most ? weight[i] : most;
  frexp(most, &e); /* so scaled, the sum lies between 1/2 and n */
  for (int i = 0; i < n; i++)
    sum += ldexp(weight[i], -e);
  for (int i = 0; i < n; i++) {
    v[i].share = llrint(ldexp(weight[i], -e) / sum * 0x1p60);
    if (weight[i] > 0 && v[i].share == 0)
      return 0;
  }
  return 1;
}

/* The lightest node without a parent, the first of equals; -1: none. */
static int
lightest(const hy_shares *s, int n_nodes)
{
  int best = -1;

  for (int i = 0; i < n_nodes; i++)
    if (s->v[i].parent < 0 && s->v[i].share > 0 &&
        (best < 0 || s->v[i].share < s->v[best].share))
      best = i;
  return best;
}

static void
grow(hy_shares *s)
{
  int n = s->n;

  for (;;) {
    int a = lightest(s, n), b;

    s->v[a].parent = n; /* out of the way of the second */
    b = lightest(s, n);
    if (b < 0) {
      s->v[a].parent = -1;
      s->root = a;
      return;
    }
    s->v[b].parent = n;
    s->v[n] = (node){.share = s->v[a].share + s->v[b].share,
                     .left = a,
                     .right = b,
                     .parent = -1};
    n++;
  }
}

hy_shares *
hy_shares_new(const double *weight, int n)
{
  hy_shares *s = hy_calloc(1, sizeof *s);

  s->n = n;
  s->v = hy_calloc(2 * (size_t)n, sizeof *s->v);
  for (int i = 0; i < n; i++)
    s->v[i].parent = -1;
  if (!scale(s->v, weight, n)) {
    hy_shares_free(s);
    return NULL;
  }
  grow(s);
  return s;
}

void
hy_shares_free(hy_shares *s)
{
  if (!s)
    return;
  free(s->v);
  free(s);
}

/* Of the first k samples of a node, those that go left. */
static int64_t
to_left(const hy_shares *s, const node *v, int64_t k)
{
  wide all = (wide)v->share;

  return (int64_t)((2 * (wide)k * (wide)s->v[v->left].share + all) / (2 * all));
}

int
hy_shares_at(const hy_shares *s, int64_t i, int64_t *at)
{
  int x = s->root;

  while (x >= s->n) {
    const node *v = &s->v[x];
    int64_t before = to_left(s, v, i);

    if (to_left(s, v, i + 1) > before) {
      i = before;
      x = v->left;
    } else {
      i -= before;
      x = v->right;
    }
  }
  *at = i;
  return x;
}

/* Down the tree from the root to node x. */
static int64_t
count(const hy_shares *s, int x, int64_t n)
{
  int up = s->v[x].parent;
  int64_t left;

  if (up < 0)
    return x == s->root ? n : 0;
  n = count(s, up, n);
  left = to_left(s, &s->v[up], n);
  return x == s->v[up].left ? left : n - left;
}

int64_t
hy_shares_count(const hy_shares *s, int source, int64_t n)
{
  return count(s, source, n);
}

double
hy_shares_of(const hy_shares *s, int source)
{
  return (double)s->v[source].share / (double)s->v[s->root].share;
}
