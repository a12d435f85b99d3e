/* test_fixture.h: where the files of the tests lie. */
#ifndef HYMN_PREP_TEST_FIXTURE_H
#define HYMN_PREP_TEST_FIXTURE_H

#include "base/mem.h"

#include <stdlib.h>

/* Path of a file below regression/fixtures; the caller frees it. */
static char *
fixture(const char *name)
{
  const char *top = getenv("HYMN_SRCDIR");

  if (!top)
    top = getenv("srcdir");
  return hy_asprintf("%s/regression/fixtures/%s", top ? top : ".", name);
}

#endif
