/* namelist.h: Fortran namelist text as a stream of assignments.
 *
 *   &group  key = 1, 2*3  word = 'it''s', "so"  ! comment
 *   /
 *
 * Group and key names are case-insensitive and arrive in lower case. Values
 * are separated by commas or blanks, n*v repeats v, a group ends at / or
 * &end. A quoted string may go over several lines. */
#ifndef HYMN_DECK_NAMELIST_H
#define HYMN_DECK_NAMELIST_H

typedef struct {
  char *text; /* without its quotes */
  int quoted;
} hy_nml_value;

typedef struct {
  const char *group; /* with its label: "model:teacher" */
  const char *key;   /* NULL: the group opens here */
  int line;          /* of the key, from 1 */
  int n;             /* values; may be 0 */
  const hy_nml_value *v;
} hy_nml_item;

/** What to do with an item; not 0 ends the reading with this code. */
typedef int hy_nml_fn(void *arg, const hy_nml_item *item);

/** Call fn for each group opening and each assignment, in order.
 *  \param where  names the text in errors, "where:line: ..."
 *  \return 0, HY_EDECK for bad syntax, or what fn returned. Not collective. */
int hy_nml_read(const char *text, const char *where, hy_nml_fn *fn, void *arg);

/** Cut the text of a command-line value. Without quotes it is one bare value,
 *  or with `list` one for each part between commas (none if it is empty);
 *  quotes around a part are taken off and '' inside them is '.
 *  The caller frees with hy_nml_free. Not collective; cannot fail. */
int hy_nml_split(const char *text, int list, hy_nml_value **v);
void hy_nml_free(hy_nml_value *v, int n);

#endif
