/* queue.cpp: streams. Work runs when it is posted, or, with HYMN_SHIM_LAZY,
 * when somebody waits for it. */
#include "queue.h"
#include "memory.h"
#include "stream.h"

#include <sched.h>

namespace shim
{

static Stream standard;
std::vector<Stream *> streams{&standard};
static void (*tell_stuck)(void);

Stream *
stream_of(cudaStream_t s)
{
  return s && s != cudaStreamLegacy && s != cudaStreamPerThread ? (Stream *)s
                                                                : &standard;
}

bool
advance(Stream *s, const bool *until)
{
  bool any = false;

  if (s->busy) /* asked for by its own work */
    return false;
  s->busy = true;
  device_open();
  while (!s->items.empty() && !(until && *until) && s->items.front()()) {
    s->items.pop_front();
    any = true;
  }
  device_close();
  s->busy = false;
  return any;
}

bool
advance_all()
{
  bool any = false, more = true;

  while (more) {
    more = false;
    for (size_t i = 0; i < streams.size(); i++)
      more |= advance(streams[i]);
    any |= more;
  }
  return any;
}

[[noreturn]] static void
stuck()
{
  if (tell_stuck)
    tell_stuck();
  die("nothing has ended in any stream for %g s", settings().patience);
}

/* What the stream waits for may come from another process, which may wait for
 * any stream of this one. */
void
drain(Stream *s, const bool *until)
{
  double since = 0;

  advance(s, until);
  while (!s->items.empty() && !(until && *until)) {
    if (s->busy)
      die("a stream is waited for by its own work");
    if (advance(s, until) || advance_all()) {
      since = 0;
      continue;
    }
    if (since == 0)
      since = now_ms();
    else if (now_ms() - since > settings().patience * 1e3)
      stuck();
    sched_yield();
  }
}

void
post_step(Stream *s, Step f)
{
  if (s->capture) {
    capture_add(s, std::move(f));
    return;
  }
  /* The default stream and the blocking streams wait for each other. */
  if (s == &standard) {
    for (size_t i = 0; i < streams.size(); i++)
      if (streams[i] != s && streams[i]->blocking)
        drain(streams[i]);
  } else if (s->blocking) {
    drain(&standard);
  }
  s->items.push_back(std::move(f));
  if (!settings().lazy)
    advance_all();
}

void
post(Stream *s, std::function<void()> f)
{
  post_step(s, [f]() {
    if (status() == cudaSuccess)
      f();
    return true;
  });
}

static cudaError_t
create(cudaStream_t *out, bool blocking)
{
  Stream *s = new Stream;

  s->blocking = blocking;
  streams.push_back(s);
  *out = (cudaStream_t)s;
  return status();
}

/* Something to wait for that has come, or will. */
static bool
is_done(const std::shared_ptr<Mark> &m)
{
  return !m || m->yes;
}

static cudaError_t
record(Event *e, Stream *s)
{
  e->stream = s;
  e->capture = s->capture;
  e->mark = nullptr;
  if (s->capture) {
    e->tail = s->tail;
    return cudaSuccess;
  }
  std::shared_ptr<Mark> m = e->mark = std::make_shared<Mark>();

  post_step(s, [m] {
    m->yes = true;
    m->ms = now_ms();
    return true;
  });
  return status();
}

static cudaError_t
wait_for(Stream *s, const Event *e)
{
  std::shared_ptr<Mark> m = e->mark;
  Stream *other = e->stream;

  if (s->capture || e->capture)
    return capture_wait(s, e);
  if (!is_done(m))
    post_step(s, [m, other] {
      if (!m->yes)
        advance(other, &m->yes);
      return m->yes;
    });
  return status();
}

} // namespace shim

using namespace shim;

/* --- work from outside --------------------------------------------------- */

void
shim_post(cudaStream_t s, int (*poll)(void *), void *arg)
{
  post_step(stream_of(s), [=] { return poll(arg) != 0; });
}

void
shim_progress(void)
{
  advance_all();
}

void
shim_on_stuck(void (*tell)(void))
{
  tell_stuck = tell;
}

/* --- streams of CUDA ----------------------------------------------------- */

cudaError_t
cudaStreamCreate(cudaStream_t *s)
{
  return create(s, true);
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
  return create(s, !(flags & cudaStreamNonBlocking));
}

cudaError_t
cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int)
{
  return create(s, !(flags & cudaStreamNonBlocking));
}

cudaError_t
cudaStreamDestroy(cudaStream_t handle)
{
  Stream *s = stream_of(handle);

  if (s == &standard)
    return fail(cudaErrorInvalidResourceHandle);
  drain(s);
  for (size_t i = 0; i < streams.size(); i++)
    if (streams[i] == s)
      streams.erase(streams.begin() + (ptrdiff_t)i);
  delete s;
  return status();
}

cudaError_t
cudaStreamSynchronize(cudaStream_t handle)
{
  Stream *s = stream_of(handle);
  cudaError_t e = not_captured(s);

  if (e != cudaSuccess)
    return fail(e);
  drain(s);
  return status();
}

cudaError_t
cudaStreamQuery(cudaStream_t handle)
{
  Stream *s = stream_of(handle);
  cudaError_t e = not_captured(s);

  if (e != cudaSuccess)
    return fail(e);
  advance_all();
  return s->items.empty() ? status() : cudaErrorNotReady;
}

cudaError_t
cudaDeviceSynchronize(void)
{
  for (size_t i = 0; i < streams.size(); i++) {
    cudaError_t e = not_captured(streams[i]);

    if (e != cudaSuccess)
      return fail(e);
    drain(streams[i]);
  }
  return status();
}

cudaError_t
cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t fn, void *arg)
{
  post(stream_of(s), [=] { fn(arg); });
  return status();
}

/* --- events of CUDA ------------------------------------------------------ */

cudaError_t
cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
  *e = (cudaEvent_t) new Event;
  return status();
}

cudaError_t
cudaEventCreate(cudaEvent_t *e)
{
  return cudaEventCreateWithFlags(e, 0);
}

cudaError_t
cudaEventDestroy(cudaEvent_t e)
{
  delete (Event *)e;
  return status();
}

cudaError_t
cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
  return record((Event *)e, stream_of(s));
}

cudaError_t
cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
  return wait_for(stream_of(s), (Event *)e);
}

cudaError_t
cudaEventSynchronize(cudaEvent_t handle)
{
  Event *e = (Event *)handle;

  if (e->capture)
    return fail(cudaErrorCapturedEvent);
  if (!is_done(e->mark))
    drain(e->stream, &e->mark->yes);
  return status();
}

cudaError_t
cudaEventQuery(cudaEvent_t handle)
{
  Event *e = (Event *)handle;

  if (e->capture)
    return fail(cudaErrorCapturedEvent);
  if (!is_done(e->mark))
    advance_all();
  return is_done(e->mark) ? status() : cudaErrorNotReady;
}

cudaError_t
cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to)
{
  Event *a = (Event *)from, *b = (Event *)to;

  if (!a->mark || !b->mark)
    return fail(cudaErrorInvalidResourceHandle);
  if (!a->mark->yes || !b->mark->yes)
    return cudaErrorNotReady;
  *ms = (float)(b->mark->ms - a->mark->ms);
  return status();
}
