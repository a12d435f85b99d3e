/* main.c: only dispatches; the command line is in job/cli.c. */
#include "cpu/cpu.h"
#include "job/cli.h"

int
main(int argc, char **argv)
{
  cpu_choose_kernels(argv);
  return hy_cli(argc, argv);
}
