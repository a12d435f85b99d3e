/* warp.cpp: the lanes of a warp meet: shuffles, votes, products. */
#include "block.h"

namespace shim
{

int
lane()
{
  return current->thread & 31;
}

static Meeting *
meeting_of(Warp &w, unsigned mask)
{
  Meeting *m;

  for (int i = 0; i < w.n; i++)
    if (w.meeting[(size_t)i].mask == mask)
      return &w.meeting[(size_t)i];
  if ((size_t)w.n == w.meeting.size())
    w.meeting.emplace_back();
  m = &w.meeting[(size_t)w.n++];
  m->mask = mask;
  m->in = 0;
  m->turn = 0;
  return m;
}

static void
check_meeting(Meeting *m, int warp, Site at)
{
  if (!m->in)
    m->at = at;
  else if (m->at.line != at.line || strcmp(m->at.op, at.op))
    die("lanes of warp %d meet at different operations: %s %s:%d and %s %s:%d",
        warp, at.op, at.file, at.line, m->at.op, m->at.file, m->at.line);
}

const void *
warp_meet(unsigned mask, const void *mine, size_t bytes, Site at)
{
  Quiet quiet;
  int warp = current->thread / 32, l = lane(), last = block.n - 32 * warp;
  Meeting *m;
  int turn;

  if (last < 32)
    mask &= (1u << last) - 1; /* lanes that do not exist */
  if (!(mask >> l & 1))
    die("thread %d calls %s with a mask without itself, %s:%d", current->thread,
        at.op, at.file, at.line);
  m = meeting_of(block.warp[(size_t)warp], mask);
  check_meeting(m, warp, at);
  turn = m->turn;
  memcpy(m->slot[turn][l], mine, bytes);
  release(&m->sync[turn]);
  m->in |= 1u << l;
  if (m->in != mask) {
    thread_wait(at);
  } else {
    m->in = 0;
    m->turn = (turn + 1) & 3;
    for (int i = 0; i < 32; i++)
      if (i != l && mask >> i & 1)
        thread_wake(block.thread[(size_t)(32 * warp + i)], true);
  }
  acquire(&m->sync[turn]);
  return m->slot[turn];
}

} // namespace shim
