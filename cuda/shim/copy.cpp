/* copy.cpp: copies and fills, as work of streams. Both sides must be the memory
 * that the call says; a copy is checked when it is posted. */
#include "memory.h"
#include "queue.h"

#include <memory>
#include <vector>

namespace shim
{

/* Rows of bytes. */
struct Rows {
  char *p;
  size_t pitch;
};

static size_t
span(const Rows &r, size_t width, size_t height)
{
  return height ? (height - 1) * r.pitch + width : 0;
}

static bool
is_as_said(const Rows &r, size_t bytes, bool device)
{
  return device ? is_device(r.p, bytes) : kind_of(r.p) != DEVICE;
}

static cudaError_t
check(const Rows &to, const Rows &from, size_t width, size_t height,
      cudaMemcpyKind kind)
{
  bool to_device =
      kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device =
      kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;

  if (kind == cudaMemcpyDefault) {
    to_device = kind_of(to.p) == DEVICE;
    from_device = kind_of(from.p) == DEVICE;
  }
  if (width > to.pitch || width > from.pitch ||
      !is_as_said(to, span(to, width, height), to_device) ||
      !is_as_said(from, span(from, width, height), from_device))
    return cudaErrorInvalidValue;
  return status();
}

static void
move(const Rows &to, const Rows &from, size_t width, size_t height)
{
  if (width == to.pitch && width == from.pitch)
    memmove(to.p, from.p, width * height);
  else
    for (size_t r = 0; r < height; r++)
      memmove(to.p + r * to.pitch, from.p + r * from.pitch, width);
}

/* Pageable memory of the host is read when the call returns, and written
 * before, as CUDA does it. */
static cudaError_t
copy(Rows to, Rows from, size_t width, size_t height, cudaMemcpyKind kind,
     Stream *s)
{
  cudaError_t e;
  bool from_pageable, to_pageable;

  if (width == 0 || height == 0)
    return status();
  e = check(to, from, width, height, kind);
  if (e != cudaSuccess)
    return fail(e);
  from_pageable = kind_of(from.p) == PAGEABLE && !s->capture;
  to_pageable = kind_of(to.p) == PAGEABLE && !s->capture;
  if (from_pageable && settings().lazy) {
    auto staged = std::make_shared<std::vector<char>>(
        from.p, from.p + span(from, width, height));

    post(s, [=] { move(to, {staged->data(), from.pitch}, width, height); });
  } else {
    post(s, [=] { move(to, from, width, height); });
  }
  if (to_pageable)
    drain(s);
  return status();
}

static void
set(const Rows &r, int value, size_t width, size_t height)
{
  for (size_t i = 0; i < height; i++)
    memset(r.p + i * r.pitch, value, width);
}

static cudaError_t
fill(Rows r, int value, size_t width, size_t height, Stream *s)
{
  if (width == 0 || height == 0)
    return status();
  if (width > r.pitch || !is_device(r.p, span(r, width, height)))
    return fail(cudaErrorInvalidValue);
  post(s, [=] { set(r, value, width, height); });
  return status();
}

/* A call without a stream: the default one, and waits. */
static cudaError_t
at_once(cudaError_t e)
{
  if (e == cudaSuccess)
    drain(streams[0]);
  return e != cudaSuccess ? e : status();
}

} // namespace shim

using namespace shim;

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                cudaStream_t s)
{
  return copy({(char *)to, bytes}, {(char *)from, bytes}, bytes, 1, kind,
              stream_of(s));
}

cudaError_t
cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
  return at_once(cudaMemcpyAsync(to, from, bytes, kind, 0));
}

cudaError_t
cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from,
                  size_t from_pitch, size_t width, size_t height,
                  cudaMemcpyKind kind, cudaStream_t s)
{
  return copy({(char *)to, to_pitch}, {(char *)from, from_pitch}, width, height,
              kind, stream_of(s));
}

cudaError_t
cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
             size_t width, size_t height, cudaMemcpyKind kind)
{
  return at_once(cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width,
                                   height, kind, 0));
}

cudaError_t
cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t s)
{
  return fill({(char *)p, bytes}, value, bytes, 1, stream_of(s));
}

cudaError_t
cudaMemset(void *p, int value, size_t bytes)
{
  return at_once(cudaMemsetAsync(p, value, bytes, 0));
}

cudaError_t
cudaMemset2DAsync(void *p, size_t pitch, int value, size_t width, size_t height,
                  cudaStream_t s)
{
  return fill({(char *)p, pitch}, value, width, height, stream_of(s));
}
