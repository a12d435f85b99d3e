/* main.c: only dispatches; the command line is in job/cli.c. */
#include "job/version.h"

int
main(void)
{
  hy_version_print(stdout);
  return 0;
}
