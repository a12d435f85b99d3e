/* prepare_window.c: a limited number of units in memory, and how they share
 * rows. */
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "prep/prepare_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
hy_window_free(hy_window *w)
{
  free(w->piece);
  free(w->unit);
  free(w->order);
  free(w->first);
  *w = (hy_window){0};
}

static void
begin_unit(hy_window *w)
{
  if (w->n_units + 1 >= w->cap_units) {
    size_t n = (size_t)(w->cap_units ? 2 * w->cap_units : 1024);

    w->cap_units = (int64_t)n;
    w->unit = hy_realloc(w->unit, n * sizeof *w->unit);
    w->order = hy_realloc(w->order, n * sizeof *w->order);
    w->first = hy_realloc(w->first, n * sizeof *w->first);
  }
  w->unit[w->n_units++] = w->n_pieces;
  w->unit[w->n_units] = w->n_pieces;
}

static void
add_piece(hy_window *w, hy_piece_at piece)
{
  if (w->n_pieces == w->cap_pieces) {
    w->cap_pieces = w->cap_pieces ? 2 * w->cap_pieces : 1024;
    w->piece = hy_realloc(w->piece, (size_t)w->cap_pieces * sizeof *w->piece);
  }
  w->piece[w->n_pieces++] = piece;
  w->unit[w->n_units] = w->n_pieces;
  w->n_tokens += piece.n;
}

/* A unit, cut to rows where it is longer than one. */
static void
add_unit(hy_window *w, const hy_prep *p, const hy_unit *u)
{
  int64_t most =
      p->packing == HY_PACK_CONCATENATIVE ? INT64_MAX : p->d->seq_len;
  int split = !strcmp(p->d->over_long, "split"), more = 1;
  int64_t room = most;

  begin_unit(w);
  if (u->n_tokens > most && split)
    w->n_split++;
  else if (u->n_tokens > most) {
    w->n_cut++;
    w->n_lost += u->n_tokens - most;
  }
  for (int i = 0; i < u->n && more; i++) {
    hy_piece_at piece = u->piece[i];

    while (piece.n > 0 && more) {
      hy_piece_at part = piece;

      if (room == 0) {
        more = split;
        if (!more)
          break;
        begin_unit(w);
        room = most;
      }
      part.n = piece.n < room ? piece.n : room;
      add_piece(w, part);
      room -= part.n;
      piece.at += part.n;
      piece.n -= part.n;
    }
  }
}

/* The shard that holds unit i of file f. */
static int64_t
shard_of(const hy_prep *p, int f, int64_t i)
{
  int64_t lo = 0, hi = p->n_shards;

  while (hi - lo > 1) {
    int64_t mid = lo + (hi - lo) / 2;

    if (p->shard[mid].unit_first[f] <= i)
      lo = mid;
    else
      hi = mid;
  }
  return lo;
}

/* Units from .. to-1 of file f that are in shard k. */
static int
load_shard(hy_window *w, const hy_prep *p, int f, int64_t k, int64_t from,
           int64_t to)
{
  int64_t i = p->shard[k].kept_first, in_file = p->shard[k].unit_first[f];
  hy_units *u;
  hy_unit *unit;
  int more = 1, err = hy_units_open(&u, p, k);

  while (!err && in_file < to) {
    err = hy_units_next(u, &unit, &more);
    if (err || !more)
      break;
    if (hy_prep_split_of(p, i++) != f)
      continue;
    if (in_file++ >= from)
      add_unit(w, p, unit);
  }
  hy_units_close(u);
  return err;
}

static void
pack(hy_window *w, const hy_prep *p, int f, int64_t number)
{
  int64_t n = w->n_units, *len;
  char name[64];

  if (p->packing == HY_PACK_CONCATENATIVE) {
    for (int64_t i = 0; i < n; i++)
      w->order[i] = w->first[i] = i;
    w->first[n] = n;
    w->n_groups = n;
    return;
  }
  len = hy_calloc((size_t)n, sizeof *len);
  for (int64_t i = 0; i < n; i++)
    for (int64_t k = w->unit[i]; k < w->unit[i + 1]; k++)
      len[i] += w->piece[k].n;
  snprintf(name, sizeof name, "pack:%d:%lld", f, (long long)number);
  w->n_groups = hy_pack(p->packing, len, n, p->d->seq_len,
                        hy_rng_key((uint64_t)p->deck->job.seed, name), w->order,
                        w->first);
  free(len);
}

int
hy_window_load(hy_window *w, const hy_prep *p, int f, int64_t number)
{
  int64_t from = number * HY_WINDOW_UNITS, to = from + HY_WINDOW_UNITS;
  int err = HY_OK;

  w->n_pieces = w->n_units = w->n_groups = w->n_tokens = 0;
  w->n_cut = w->n_lost = w->n_split = 0;
  if (to > p->file[f].n_units)
    to = p->file[f].n_units;
  for (int64_t k = shard_of(p, f, from);
       !err && k < p->n_shards && p->shard[k].unit_first[f] < to; k++)
    err = load_shard(w, p, f, k, from, to);
  if (!err)
    pack(w, p, f, number);
  return err;
}
