/* raw_blend.h: what prepare.blend names: data sets that are to be prepared, and
 * their weights in one or two phases of a training.
 *
 *   {"datasets": [{"name": "web", "path": "web/part-*.jsonl", "weight": 0.7},
 *                 {"name": "code", "path": ["c.parquet", "h.parquet"],
 *                  "weight": 0.3, "text_field": "content"}]}
 *   {"phases": [{"tokens": 1000000, "datasets": [...]},
 *               {"tokens": 200000, "datasets": [...]}]}
 *
 * path: file, pattern, folder, or a list of them, relative to the JSON file.
 * split: of a folder's files those that begin with it ("train-00000..."), or
 * the folder of that name in it. reader, text_field, prompt, answer, template,
 * loss, turns, preference: as the keys of &prepare (text_field: field). A data
 * set of both phases is described the same way in both. */
#ifndef HYMN_PREP_RAW_BLEND_H
#define HYMN_PREP_RAW_BLEND_H

#include "deck/deck.h"

#include <stdint.h>

#define HY_RAW_KEYS 8
#define HY_RAW_PHASES 2

typedef struct {
  char *name;
  hy_strs path;                 /* joined with the folder of the JSON file */
  char *split;                  /* "" for none */
  char *value[HY_RAW_KEYS];     /* of hy_raw_key, NULL: as in the deck */
  double weight[HY_RAW_PHASES]; /* 0: not in that phase */
} hy_raw_set;

/* Keys of a data set that are keys of &prepare. */
typedef struct {
  const char *key, *deck;
} hy_raw_key_row;
extern const hy_raw_key_row hy_raw_key[HY_RAW_KEYS];

typedef struct {
  hy_raw_set *set;
  int n_sets, n_phases;
  int64_t tokens[HY_RAW_PHASES]; /* of a phase; 0: not said */
} hy_raw_blend;

/** Read the text of such a file. Not collective.
 *  \param path  for messages and relative paths
 *  \return 0, HY_EDATA (naming data set and key); free in any case. */
int hy_raw_blend_parse(hy_raw_blend *b, const char *text, size_t n,
                       const char *path);
void hy_raw_blend_free(hy_raw_blend *b);

/** The deck of one data set: that of the job with what the blend says.
 *  \param d     [out] shares its memory with deck and set; not to be freed
 *  \param file  of the blend, for messages
 *  \return 0, HY_EDATA (a value that the key does not take). */
int hy_raw_set_deck(hy_deck *d, const hy_deck *deck, const hy_raw_set *set,
                    const char *file);

#endif
