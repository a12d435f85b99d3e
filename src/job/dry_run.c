#include "job/dry_run.h"

#include <stdio.h>
#include <stdlib.h>

int
hy_dry_run(hy_deck *deck, const hy_grid *grid)
{
  hy_buf text = {0};

  hy_deck_print(deck, &text, 0);
  printf("! resolved deck\n%s", text.data);
  free(text.data);
  printf("! ranks %d = pp %d, dp %d, cp %d, tp %d\n", grid->world.size,
         grid->pp.size, grid->dp.size, grid->cp.size, grid->tp.size);
  return 0;
}
