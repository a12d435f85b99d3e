/* blend.h: the sources of a mix, and which row of which of them a sample is.
 *
 * A run has one or two phases, each with its own shares (shares.h). A source
 * of both goes on in the second where the first has left it. */
#ifndef HYMN_DATA_BLEND_H
#define HYMN_DATA_BLEND_H

#include "data/rows.h"
#include "deck/deck.h"

typedef struct hy_blend hy_blend; /* fields in blend.c */

/* What the deck says of a mix. */
typedef struct {
  const char *key; /* "data.train", for messages */
  const hy_mix *mix;
  const hy_mix *second;  /* from sample `from` on; NULL or empty: never */
  int64_t switch_tokens; /* where the second begins; a border of steps */
  int64_t global_batch;  /* rows of a step */
  hy_rows_keys rows;     /* seq_len 0: that of the packed files */
} hy_blend_keys;

/* One row to read. */
typedef struct {
  int source;
  int64_t row; /* of the source, counted over all its epochs */
} hy_blend_row;

/** Open all sources. Collective over comm. \return 0, HY_EFILE, HY_EDATA (also
 *  sources of different tokenizers), HY_EDECK (seq_len, weights, the switch),
 *  the same on every rank; on error *b is NULL. */
int hy_blend_open(hy_blend **b, const hy_blend_keys *keys, const hy_comm *comm);
void hy_blend_free(hy_blend *b);

/** Facts of an open mix. Not collective. */
int64_t hy_blend_seq_len(const hy_blend *b);
int hy_blend_n_sources(const hy_blend *b);
const hy_rows *hy_blend_source(const hy_blend *b, int i);
/** First sample of the second phase, -1: there is one phase. */
int64_t hy_blend_switch(const hy_blend *b);
/** Share of a source in a phase (0, 1), 0 where it has none. */
double hy_blend_share(const hy_blend *b, int phase, int source);
/** Hash of tokenizer.json, that of all sources; "" where none is known. */
const char *hy_blend_tok_hash(const hy_blend *b);
/** Samples until a source of the first phase is used up; -1: none ever is. */
int64_t hy_blend_n_rows(const hy_blend *b);

/** What is read as sample i. Allocates nothing. Not collective. */
hy_blend_row hy_blend_at(const hy_blend *b, int64_t i);
/** Rows of a source among the first n samples. */
int64_t hy_blend_count(const hy_blend *b, int source, int64_t n);

/** Read a row; in_order: in the order of the file. As hy_rows_type.row. */
int hy_blend_read(hy_blend *b, hy_blend_row at, int in_order, hy_row *out);
/** As hy_rows_type.pairs. */
double hy_blend_pairs(hy_blend *b, hy_blend_row at, int in_order);

/** Append what the mix is made of to a list of lineage: its source, or an entry
 *  "blend" by weights, switch and content of the sources, with these inside. */
void hy_blend_lineage(const hy_blend *b, hy_buf *list);

#endif
