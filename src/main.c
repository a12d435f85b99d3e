/* main.c: only dispatches; the command line is in job/cli.c. */
#include "job/cli.h"

int
main(int argc, char **argv)
{
  return hy_cli(argc, argv);
}
