/* rows.c: a source of rows by its path, and the order in which it is read. */
#include "data/rows.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/indexed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A Feistel network permutes 0 .. 4^h-1, and walking it until the value is
 * below n permutes 0 .. n-1.
 * Source: Black and Rogaway 2002, "Ciphers with arbitrary finite domains". */
int64_t
hy_shuffled(uint64_t key, int64_t i, int64_t n)
{
  int h = 1;
  uint64_t x = (uint64_t)i, mask;

  while (h < 31 && (int64_t)1 << 2 * h < n)
    h++;
  mask = ((uint64_t)1 << h) - 1;
  do {
    uint64_t left = x >> h, right = x & mask;

    for (uint64_t round = 0; round < 6; round++) {
      uint64_t f = hy_rng_u64(key, round << 32 | right);

      f = left ^ (f & mask);
      left = right;
      right = f;
    }
    x = left << h | right;
  } while (x >= (uint64_t)n);
  return (int64_t)x;
}

int64_t
hy_rows_place(const hy_rows *r, int64_t epoch, int64_t i, int64_t n)
{
  char name[48];

  if (epoch < 0 || !r->shuffle)
    return i;
  snprintf(name, sizeof name, "shuffle:%lld", (long long)epoch);
  return hy_shuffled(hy_rng_key(r->seed, name), i, n);
}

int
hy_rows_know_length(const char *path)
{
  return strcmp(path, "mock") != 0 && !hy_indexed_is(path);
}

int
hy_rows_open(hy_rows **out, const char *path, const hy_rows_keys *keys,
             const hy_comm *comm)
{
  hy_rows *r = hy_calloc(1, sizeof *r);
  int err;

  r->path = hy_strdup(path);
  r->seed = keys->seed;
  r->shuffle = keys->shuffle;
  if (!strcmp(path, "mock"))
    err = hy_rows_open_mock(r, keys, comm);
  else if (hy_indexed_is(path))
    err = hy_rows_open_indexed(r, keys, comm);
  else
    err = hy_rows_open_packed(r, keys, comm);
  if (!err && r->vocab > keys->vocab)
    err = hy_fail(HY_EDATA,
                  "%s: its vocabulary has %lld tokens, the model's %lld; use "
                  "the tokenizer of the model",
                  path, (long long)r->vocab, (long long)keys->vocab);
  if (err) {
    hy_rows_free(r);
    r = NULL;
  }
  *out = r;
  return err;
}

void
hy_rows_free(hy_rows *r)
{
  if (!r)
    return;
  if (r->state)
    r->type->free(r);
  free(r->lineage);
  free(r->path);
  free(r);
}
