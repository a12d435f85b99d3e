/* driver.c: libFuzzer's entry. HYMN_FUZZ names the target. */
#include "fuzz.h"
#include "base/err.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const hy_fuzz_target *target;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
  const char *name = getenv("HYMN_FUZZ");

  (void)argc;
  (void)argv;
  target = hy_fuzz_find(name ? name : "");
  if (!target)
    hy_die(HY_EUSAGE,
           "HYMN_FUZZ='%s' is no target; regression/fuzz.sh -l "
           "names them",
           name ? name : "");
  return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
  target->run(data, n);
  return 0;
}
