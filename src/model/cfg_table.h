/* cfg_table.h: what each key of config.json is to hymn. Included by cfg.c,
 * which reads, and cfg_write.c, which writes. */
#ifndef HYMN_MODEL_CFG_TABLE_H
#define HYMN_MODEL_CFG_TABLE_H

#include <jansson.h>
#include <stddef.h>

typedef enum { HY_CFG_INT, HY_CFG_REAL, HY_CFG_BOOL } hy_cfg_kind;

/* config key <-> &model key. Several spellings of one key may stand side by
 * side in a file and then have to agree. */
typedef struct {
  const char *key, *deck;
  hy_cfg_kind kind;
  size_t at;     /* offset in hy_deck_model */
  int published; /* written when the file had no such key */
} hy_cfg_row;

extern const hy_cfg_row hy_cfg_rows[];
extern const int hy_cfg_n_rows;

/* A key that may only have this value (JSON text). */
typedef struct {
  const char *key, *value;
} hy_cfg_only_row;

extern const hy_cfg_only_row hy_cfg_only[];
extern const int hy_cfg_n_only;

/* Keys without effect here. */
extern const char *const hy_cfg_no_effect[];
extern const int hy_cfg_n_no_effect;

/** Layer letter of a name in layers_block_type, 0 for none; and the name. */
char hy_cfg_letter(const char *type);
const char *hy_cfg_type(char letter);

/** Parse config.json text, which may have Infinity and NaN as Python writes
 *  them (they become strings that hy_cfg_dump turns back). NULL with *why set
 *  when it is no JSON object. */
json_t *hy_cfg_parse(const char *text, json_error_t *why);

#endif
