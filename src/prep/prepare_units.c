/* prepare_units.c: which documents stay, and in which file. */
#include "base/err.h"
#include "base/rng.h"
#include "data/rows.h"
#include "prep/prepare_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- units of a shard ---- */

struct hy_units {
  const hy_prep *p;
  char *doc_path, *mark_path;
  FILE *doc, *mark;
  int64_t shard, n_docs, i, at; /* documents read; tokens before the next */
  int64_t group;                /* of the latest document read */
  int ahead;                    /* a document that was read too far */
  hy_piece_at next;
  int64_t next_group;
  hy_unit unit;
  int64_t n_long;
};

static int
broken(const char *path)
{
  return hy_fail(HY_EFILE,
                 "%s: cannot be read as it was written; remove the folder and "
                 "run again",
                 path);
}

int
hy_units_open(hy_units **out, const hy_prep *p, int64_t shard)
{
  hy_units *u = hy_calloc(1, sizeof *u);
  int err = HY_OK;

  u->p = p;
  u->shard = shard;
  u->n_docs = p->shard[shard].n_docs;
  u->group = -1;
  u->doc_path = hy_part_path(p->dir, shard, "doc");
  u->doc = fopen(u->doc_path, "rb");
  if (!u->doc)
    err = broken(u->doc_path);
  if (!err && hy_curate_sign_bytes(p->curate)) {
    u->mark_path = hy_part_path(p->dir, shard, "mark");
    u->mark = fopen(u->mark_path, "rb");
    if (!u->mark)
      err = broken(u->mark_path);
  }
  if (err) {
    hy_units_close(u);
    u = NULL;
  }
  *out = u;
  return err;
}

void
hy_units_close(hy_units *u)
{
  if (!u)
    return;
  if (u->doc)
    fclose(u->doc);
  if (u->mark)
    fclose(u->mark);
  free(u->doc_path);
  free(u->mark_path);
  free(u->unit.piece);
  free(u);
}

int64_t
hy_units_long(const hy_units *u)
{
  return u->n_long;
}

/* The next document that stays becomes `ahead`. */
static int
read_ahead(hy_units *u)
{
  while (!u->ahead && u->i < u->n_docs) {
    int64_t doc;
    unsigned char mark = 0;

    if (fread(&doc, sizeof doc, 1, u->doc) != 1)
      return broken(u->doc_path);
    if (u->mark && fread(&mark, 1, 1, u->mark) != 1)
      return broken(u->mark_path);
    u->i++;
    u->group += (doc & 1) == 0 || u->group < 0;
    if (mark == 0) {
      u->ahead = 1;
      u->next = (hy_piece_at){u->shard, u->at, doc / 2};
      u->next_group = u->group;
    }
    u->at += doc / 2;
  }
  return HY_OK;
}

static void
add_piece(hy_unit *unit, hy_piece_at piece)
{
  if (unit->n == unit->cap) {
    unit->cap = unit->cap ? 2 * unit->cap : 8;
    unit->piece =
        hy_realloc(unit->piece, (size_t)unit->cap * sizeof *unit->piece);
  }
  unit->piece[unit->n++] = piece;
  unit->n_tokens += piece.n;
}

int
hy_units_next(hy_units *u, hy_unit **unit, int *more)
{
  const hy_deck_prepare *d = u->p->d;
  int whole = u->p->packing != HY_PACK_CONCATENATIVE, err = HY_OK;

  *unit = &u->unit;
  for (;;) {
    int64_t group;

    u->unit.n = 0;
    u->unit.n_tokens = 0;
    err = read_ahead(u);
    *more = !err && u->ahead;
    if (!*more)
      return err;
    for (group = u->next_group; !err && u->ahead && u->next_group == group;) {
      add_piece(&u->unit, u->next);
      u->ahead = 0;
      err = read_ahead(u);
    }
    if (err || !whole || u->unit.n_tokens <= d->seq_len ||
        strcmp(d->over_long, "drop"))
      return err;
    u->n_long++;
  }
}

/* ---- how many, and where ---- */

int
hy_prep_split_of(const hy_prep *p, int64_t i)
{
  uint64_t key;
  int f = 0;

  if (p->n_files == 1)
    return 0;
  key = hy_rng_key((uint64_t)p->deck->job.seed, "split");
  i = hy_shuffled(key, i, p->n_kept);
  while (i >= p->split_at[f + 1])
    f++;
  return f;
}

/* By file, or all of them (deal 0) as those of file 0. */
static int
count_shard(hy_prep *p, int64_t k, int deal, int64_t *n_long)
{
  hy_prep_shard *s = &p->shard[k];
  hy_units *u;
  hy_unit *unit;
  int more = 1, err = hy_units_open(&u, p, k);

  memset(s->n_units, 0, sizeof s->n_units);
  for (int64_t i = s->kept_first; !err; i++) {
    err = hy_units_next(u, &unit, &more);
    if (err || !more)
      break;
    s->n_units[deal ? hy_prep_split_of(p, i) : 0]++;
  }
  if (!err)
    *n_long += hy_units_long(u);
  hy_units_close(u);
  return err;
}

static int
count_all(hy_prep *p, int deal, int64_t *n_long)
{
  size_t bytes = (size_t)p->n_shards * HY_SPLIT_N * sizeof(int64_t);
  int64_t *n = hy_calloc(1, bytes);
  int err = HY_OK;

  *n_long = 0;
  for (int64_t k = 0; k < p->n_shards && !err; k++)
    if (p->shard[k].owner == p->comm->rank) {
      err = count_shard(p, k, deal, n_long);
      memcpy(n + k * HY_SPLIT_N, p->shard[k].n_units,
             sizeof p->shard[k].n_units);
    }
  err = hy_agree(p->comm, err);
  if (!err) {
    hy_sum_i64(p->comm, n, (int)(p->n_shards * HY_SPLIT_N));
    hy_sum_i64(p->comm, n_long, 1);
  }
  for (int64_t k = 0; k < p->n_shards; k++)
    memcpy(p->shard[k].n_units, n + k * HY_SPLIT_N, sizeof p->shard[k].n_units);
  free(n);
  return err;
}

static int
mark_duplicates(hy_prep *p)
{
  hy_curate_shard *s = hy_calloc((size_t)p->n_shards, sizeof *s);
  int64_t count[3];
  int err;

  for (int64_t k = 0; k < p->n_shards; k++)
    s[k] =
        (hy_curate_shard){hy_part_path(p->dir, k, "sig"),
                          hy_part_path(p->dir, k, "mark"), p->shard[k].n_docs};
  err = hy_curate_unique(p->curate, s, p->n_shards, count, p->comm);
  for (int i = 1; i < 3 && !err; i++)
    if (count[i])
      hy_tally_add(&p->dropped, hy_curate_mark_name[i], count[i]);
  for (int64_t k = 0; k < p->n_shards; k++) {
    free(s[k].sign);
    free(s[k].mark);
  }
  free(s);
  return err;
}

/* Shares to numbers of units. */
static int
set_limits(hy_prep *p)
{
  const hy_reals *r = &p->d->split;
  double sum = 0, done = 0;

  for (int i = 0; i < r->n; i++)
    sum += r->v[i];
  for (int i = 0; i < p->n_files; i++) {
    done += p->n_files == 1 ? sum : r->v[i];
    p->split_at[i + 1] = done >= sum
                             ? p->n_kept
                             : (int64_t)floor((double)p->n_kept * done / sum);
  }
  for (int i = 0; i < p->n_files && p->n_files > 1; i++)
    if (r->v[i] > 0 && p->split_at[i + 1] == p->split_at[i])
      return hy_fail(HY_EDATA,
                     "prepare.split: %lld documents leave none for %s; raise "
                     "its share, or give more data",
                     (long long)p->n_kept, hy_split_name[i]);
  return HY_OK;
}

int
hy_prep_count(hy_prep *p)
{
  int64_t n_long = 0;
  int err = hy_curate_sign_bytes(p->curate) ? mark_duplicates(p) : HY_OK;

  if (!err)
    err = count_all(p, 0, &n_long);
  if (err)
    return err;
  p->n_kept = 0;
  for (int64_t k = 0; k < p->n_shards; k++) {
    p->shard[k].kept_first = p->n_kept;
    p->n_kept += p->shard[k].n_units[0];
  }
  if (n_long)
    hy_tally_add(&p->dropped, "longer than a row", n_long);
  if (p->n_kept == 0)
    return hy_fail(HY_EDATA, "prepare.input: all documents are empty or left "
                             "out; give files with text");
  err = set_limits(p);
  if (!err && p->n_files > 1)
    err = count_all(p, 1, &n_long);
  for (int64_t k = 0; k < p->n_shards && !err; k++)
    for (int f = 0; f < p->n_files; f++) {
      p->shard[k].unit_first[f] = p->file[f].n_units;
      p->file[f].n_units += p->shard[k].n_units[f];
    }
  return err;
}
