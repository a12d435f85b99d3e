/* watch_impl.h: the parts of the watching thread. */
#ifndef HYMN_GRID_WATCH_IMPL_H
#define HYMN_GRID_WATCH_IMPL_H

#include "grid/watch.h"

#include <stdatomic.h>

/* What the ranks of a node tell each other. */
enum { HY_PEER_RUNS, HY_PEER_ENDS, HY_PEER_SIGNALLED };

typedef struct {
  int rank; /* of the world */
  int pid;
  int64_t born;  /* start of the process, in ticks since boot */
  uint64_t pids; /* the name space that pid is a number of */
  _Atomic int state;
} hy_peer;

typedef struct {
  _Atomic int spoken;  /* a rank of the node has told why the run ends */
  _Atomic int stalled; /* its end for a lack of progress is under way */
  hy_peer peer[];
} hy_node_page;

typedef struct {
  hy_node_page *page; /* NULL: nothing shared */
  size_t bytes;
  int me, n;
  double *missed; /* by peer: hy_now() when it was first found gone */
  int turn;       /* whose state is looked up in this round */
} hy_node;

/** Share a page with the ranks of this node. Collective over world. */
void hy_node_new(hy_node *node, const hy_comm *world);
void hy_node_free(hy_node *node);

/** Index of a peer that is gone without having said so, -1 if none.
 *  \param all  look up every process, not some in turn */
int hy_node_dead(hy_node *node, int all);

/** 1 for the one rank of the node that may say why the run ends. */
int hy_node_speak(hy_node *node);

/* What a rank last wrote about itself in ranks.txt. */
typedef struct {
  int rank, pid;
  unsigned run;   /* lines of other runs do not count */
  char host[64];  /* as far as the line has room */
  char state[16]; /* "computing", "waiting", "stalled" */
  char call[64];  /* "sum of doubles over dp" */
  long long time; /* of the line, seconds of the wall clock */
  long long step, seq;
  double seconds; /* in that call, or since it ended */
} hy_seen;

typedef struct {
  char *path, *dir;
  unsigned run;
  int rank, size;
  int fd; /* -1: not open yet */
} hy_table;

/** Collective over world. */
void hy_table_new(hy_table *t, const hy_comm *world, const char *dir);
/** Rank 0 removes the file. */
void hy_table_free(hy_table *t);

/** Write the line of this rank.
 *  \param create  1: make the file if need be, 2: and its folder
 *  \return 0, -1 if it cannot be written */
int hy_table_put(hy_table *t, const hy_seen *s, int create);

/** Read all lines of this run into seen[rank], time 0 where there is none.
 *  \return the number of ranks that are stalled, -1 if unreadable */
int hy_table_read(const hy_table *t, hy_seen *seen);

/** What a run without progress ends with: one line about the ranks that are
 *  missing, \param self  the line of this rank. */
void hy_table_verdict(const hy_table *t, const hy_seen *seen,
                      const hy_seen *self, double period, char *text, size_t n);

#endif
