/* graph.cpp: work of streams recorded as a graph, and played again. */
#include "queue.h"

#include <algorithm>

namespace shim
{

static std::vector<Capture *> under_way;

static void
merge(std::vector<int> &into, const std::vector<int> &from)
{
  for (int i : from)
    if (std::find(into.begin(), into.end(), i) == into.end())
      into.push_back(i);
}

void
capture_add(Stream *s, Step f)
{
  Graph &g = s->capture->graph;

  g.push_back({std::move(f), s->tail});
  s->tail.assign(1, (int)g.size() - 1);
}

/* A stream that waits for an event of a capture joins it. */
cudaError_t
capture_wait(Stream *s, const Event *e)
{
  if (!e->capture && !e->mark)
    return cudaSuccess; /* never recorded */
  if (!e->capture || !e->capture->active) {
    if (!s->capture)
      return fail(cudaErrorCapturedEvent);
    s->capture->broken = true;
    return fail(cudaErrorStreamCaptureIsolation);
  }
  if (s->capture && s->capture != e->capture) {
    s->capture->broken = e->capture->broken = true;
    return fail(cudaErrorStreamCaptureMerge);
  }
  s->capture = e->capture;
  merge(s->tail, e->tail);
  return cudaSuccess;
}

cudaError_t
not_captured(const Stream *s)
{
  for (Capture *c : under_way) {
    bool mine = s && s->capture.get() == c;

    if (!mine && (s || c->mode == cudaStreamCaptureModeRelaxed))
      continue;
    c->broken = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return status();
}

/* Every stream that joined must have been waited for by the one that began. */
static bool
is_joined(const Capture &c, const std::vector<int> &tail)
{
  std::vector<char> before(c.graph.size(), 0);

  for (const Node &n : c.graph)
    for (int i : n.after)
      before[(size_t)i] = 1;
  for (int i : tail)
    before[(size_t)i] = 1;
  return std::find(before.begin(), before.end(), 0) == before.end();
}

static cudaError_t
begin(Stream *s, cudaStreamCaptureMode mode)
{
  if (s == streams[0])
    return fail(cudaErrorStreamCaptureUnsupported);
  if (s->capture)
    return fail(cudaErrorInvalidValue);
  s->capture = std::make_shared<Capture>();
  s->capture->origin = s;
  s->capture->mode = mode;
  s->tail.clear();
  under_way.push_back(s->capture.get());
  return status();
}

static cudaError_t
end(Stream *s, cudaGraph_t *out)
{
  std::shared_ptr<Capture> c = s->capture;
  bool joined;

  *out = nullptr;
  if (!c)
    return fail(cudaErrorInvalidValue);
  if (c->origin != s) {
    c->broken = true;
    return fail(cudaErrorStreamCaptureUnmatched);
  }
  joined = is_joined(*c, s->tail);
  for (Stream *x : streams)
    if (x->capture == c) {
      x->capture = nullptr;
      x->tail.clear();
    }
  c->active = false;
  under_way.erase(std::find(under_way.begin(), under_way.end(), c.get()));
  if (c->broken)
    return fail(cudaErrorStreamCaptureInvalidated);
  if (!joined)
    return fail(cudaErrorStreamCaptureUnjoined);
  *out = (cudaGraph_t) new std::shared_ptr<Graph>(
      std::make_shared<Graph>(std::move(c->graph)));
  return status();
}

/* --- playing ------------------------------------------------------------- */

struct Replay {
  std::shared_ptr<const Graph> graph;
  std::vector<char> done;
  size_t left;
};

static bool
is_ready(const Replay &r, const Node &n)
{
  for (int i : n.after)
    if (!r.done[(size_t)i])
      return false;
  return true;
}

/* Nodes whose predecessors have ended, in the order of the record or, with a
 * seed, from a random one on, as streams of a GPU may do it. */
static bool
play(Replay &r)
{
  size_t n = r.graph->size();
  bool any = true;

  while (any && r.left > 0) {
    size_t first = settings().seed ? random_bits() % n : 0;

    any = false;
    for (size_t k = 0; k < n; k++) {
      size_t i = (first + k) % n;
      const Node &node = (*r.graph)[i];

      if (r.done[i] || !is_ready(r, node) || !node.step())
        continue;
      r.done[i] = 1;
      r.left--;
      any = true;
    }
  }
  return r.left == 0;
}

Step
replay(std::shared_ptr<const Graph> graph)
{
  size_t n = graph->size();
  auto r = std::make_shared<Replay>(
      Replay{std::move(graph), std::vector<char>(n, 0), n});

  return [r] { return play(*r); };
}

} // namespace shim

using namespace shim;

cudaError_t
cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode)
{
  return begin(stream_of(s), mode);
}

cudaError_t
cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
  return end(stream_of(s), graph);
}

cudaError_t
cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *out)
{
  const Stream *x = stream_of(s);

  *out = !x->capture          ? cudaStreamCaptureStatusNone
         : x->capture->broken ? cudaStreamCaptureStatusInvalidated
                              : cudaStreamCaptureStatusActive;
  return status();
}

cudaError_t
cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode *)
{
  return status();
}

cudaError_t
cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                     unsigned long long)
{
  *exec = (cudaGraphExec_t) new std::shared_ptr<Graph>(
      *(std::shared_ptr<Graph> *)graph);
  return status();
}

cudaError_t
cudaGraphUpload(cudaGraphExec_t, cudaStream_t)
{
  return status();
}

cudaError_t
cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
  post_step(stream_of(s), replay(*(std::shared_ptr<Graph> *)exec));
  return status();
}

cudaError_t
cudaGraphExecDestroy(cudaGraphExec_t exec)
{
  delete (std::shared_ptr<Graph> *)exec;
  return status();
}

cudaError_t
cudaGraphDestroy(cudaGraph_t graph)
{
  delete (std::shared_ptr<Graph> *)graph;
  return status();
}

cudaError_t
cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *n)
{
  if (nodes)
    return fail(cudaErrorNotSupported);
  *n = (*(std::shared_ptr<Graph> *)graph)->size();
  return status();
}
