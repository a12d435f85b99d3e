#include "grid/share.h"

#include <stdlib.h>
#include <string.h>

/* A string of rank 0, the old one freed elsewhere; may be NULL. */
static void
share_str(char **s, const hy_comm *comm)
{
  size_t n = *s ? strlen(*s) + 1 : 0;

  hy_bcast(comm, &n, sizeof n, 0);
  if (comm->rank != 0) {
    free(*s);
    *s = n ? hy_malloc(n) : NULL;
  }
  hy_bcast(comm, *s, n, 0);
}

int
hy_deck_share(hy_deck *d, const hy_comm *comm)
{
  hy_buf text = {0};
  int err = 0;

  if (comm->size == 1)
    return 0;
  if (comm->rank == 0)
    hy_deck_print(d, &text, 1);
  share_str(&text.data, comm);
  if (comm->rank != 0) {
    hy_deck_free(d);
    hy_deck_init(d);
    /* paths are resolved already: relative to the current directory */
    err = hy_deck_parse(d, text.data, "deck of rank 0", "");
  }
  free(text.data);
  err = hy_agree(comm, err);
  share_str(&d->path, comm);
  share_str(&d->dir, comm);
  hy_bcast(comm, d->source, sizeof d->source, 0);
  return err;
}
