/* shared.cpp: the shared memory of a block, and asynchronous copies into it.
 * Each block gets fresh memory, full of NaN, with red zones for
 * AddressSanitizer; variables of one launch lie apart from each other. */
#include "block.h"

#include <cstdlib>

namespace shim
{

static std::vector<void *> site; /* memory of each variable; NULL: not yet */

int
new_site()
{
  Quiet quiet;

  site.push_back(nullptr);
  return (int)site.size() - 1;
}

void *
shared(int number, size_t bytes)
{
  Quiet quiet;
  void *&p = site[(size_t)number];

  if (!p) {
    if (posix_memalign(&p, 128, bytes))
      die("no memory for shared memory");
    memset(p, 0xff, bytes);
  }
  return p;
}

void *
dyn_shared()
{
  return block.dynamic;
}

void
shared_free()
{
  for (void *&p : site) {
    free(p);
    p = nullptr;
  }
}

/* --- asynchronous copies ------------------------------------------------- */

void
cp_async(void *to, const void *from, size_t bytes, size_t zeros)
{
  Copy c = {to, bytes, {0}};

  if (bytes != 4 && bytes != 8 && bytes != 16)
    die("asynchronous copy of %zu bytes", bytes);
  if ((uintptr_t)to % bytes || (uintptr_t)from % bytes)
    die("asynchronous copy: address not aligned to %zu", bytes);
  if (zeros > bytes)
    die("asynchronous copy: %zu of %zu bytes are zeros", zeros, bytes);
  memcpy(c.value, from, bytes - zeros);
  memset(to, 0xff, bytes); /* NaN until the wait */

  Quiet quiet;
  current->copies.push_back(c);
}

void
cp_commit()
{
  Quiet quiet;
  size_t n = current->copies.size();

  for (size_t g : current->groups)
    n -= g;
  current->groups.push_back(n);
}

void
cp_wait(int keep)
{
  Fiber *f = current;
  size_t n = 0, groups = f->groups.size();

  if (groups <= (size_t)keep)
    return;
  groups -= (size_t)keep;
  for (size_t i = 0; i < groups; i++)
    n += f->groups[i];
  for (size_t i = 0; i < n; i++)
    memcpy(f->copies[i].to, f->copies[i].value, f->copies[i].bytes);

  Quiet quiet;
  f->copies.erase(f->copies.begin(), f->copies.begin() + (ptrdiff_t)n);
  f->groups.erase(f->groups.begin(), f->groups.begin() + (ptrdiff_t)groups);
}

} // namespace shim
