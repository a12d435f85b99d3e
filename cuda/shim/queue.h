/* queue.h: streams as queues of work, events, and the record of a capture. */
#ifndef HYMN_SHIM_QUEUE_H
#define HYMN_SHIM_QUEUE_H

#include "shim.h"

#include <deque>
#include <functional>
#include <memory>
#include <vector>

namespace shim
{

/** A piece of work: true when it is done, false to be asked again later. */
typedef std::function<bool()> Step;

/** Work in a graph, after other work of it (by index, all smaller). */
struct Node {
  Step step;
  std::vector<int> after;
};
typedef std::vector<Node> Graph;

struct Stream;

/** A capture under way. */
struct Capture {
  Stream *origin;
  cudaStreamCaptureMode mode;
  bool active = true, broken = false;
  Graph graph;
};

struct Stream {
  std::deque<Step> items;
  bool blocking = true, busy = false;
  std::shared_ptr<Capture> capture; /* NULL: not captured */
  std::vector<int> tail;            /* nodes that the next one comes after */
};

/** A record of an event: what waits for it keeps it. */
struct Mark {
  bool yes = false;
  double ms = 0;
};

struct Event {
  std::shared_ptr<Mark> mark; /* NULL: not recorded */
  Stream *stream = nullptr;
  std::shared_ptr<Capture> capture; /* of its last record */
  std::vector<int> tail;
};

extern std::vector<Stream *> streams;
Stream *stream_of(cudaStream_t s);

/** Add work, or a node to the graph that the stream is captured into. */
void post(Stream *s, std::function<void()> f);
void post_step(Stream *s, Step f);

/** Go on without waiting until the stream is empty or *until; true if something
 *  has ended. */
bool advance(Stream *s, const bool *until = nullptr);
bool advance_all();
/** The same, and wait. */
void drain(Stream *s, const bool *until = nullptr);

/** Capture of a stream: the next node, a wait for an event. */
void capture_add(Stream *s, Step f);
cudaError_t capture_wait(Stream *s, const Event *e);

/** A call that cannot be captured: the error that it gives while a capture is
 *  under way (of this stream; NULL: of any one that is not relaxed). */
cudaError_t not_captured(const Stream *s);

/** One run of a graph. */
Step replay(std::shared_ptr<const Graph> graph);

} // namespace shim

#endif
