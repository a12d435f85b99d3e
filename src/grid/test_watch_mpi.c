/* The parts of the watching thread; started on 1, 2 and 4 ranks. Deaths and
 * stalls as a whole are tried in regression/faults.sh. */
#include "grid/watch_impl.h"
#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static hy_comm world; /* set once in main */

/* A process that has ended; unread it is a zombie. */
static int
dead_process(int reaped)
{
  int pid = (int)fork();

  if (pid == 0)
    _exit(0);
  if (reaped)
    waitpid(pid, NULL, 0);
  return pid;
}

/* Each rank looks at a copy of the page in which its neighbour is another
 * process: nobody else sees it. */
static void
test_node(void **state)
{
  hy_node node = {0};
  hy_node_page *shared;
  hy_peer *p;
  int next = (world.rank + 1) % world.size;

  (void)state;
  hy_node_new(&node, &world);
  assert_non_null(node.page);
  assert_int_equal(node.n, world.size);
  assert_int_equal(node.page->peer[next].rank, next);
  assert_int_equal(hy_node_dead(&node, 1), -1);
  shared = node.page;
  node.page = hy_malloc(node.bytes);
  memcpy(node.page, shared, node.bytes);
  p = &node.page->peer[next];
  if (world.size > 1) {
    p->pid = dead_process(1);
    assert_int_equal(hy_node_dead(&node, 0), next);
    p->pid = dead_process(0);
    while (hy_node_dead(&node, 1) != next) /* until it is a zombie */
      usleep(1000);
    p->state = HY_PEER_ENDS; /* it said so */
    assert_int_equal(hy_node_dead(&node, 1), -1);
    p->state = HY_PEER_SIGNALLED; /* the launcher has some seconds */
    node.missed[next] = 0;
    assert_int_equal(hy_node_dead(&node, 1), -1);
    node.missed[next] = hy_now() - 60;
    assert_int_equal(hy_node_dead(&node, 1), next);
    p->state = HY_PEER_RUNS;
    p->pids++; /* a number that means nothing here */
    assert_int_equal(hy_node_dead(&node, 1), -1);
    p->pids--;
    p->pid = shared->peer[next].pid;
    p->born++; /* another process with the same number */
    assert_int_equal(hy_node_dead(&node, 1), next);
  }
  assert_int_equal(hy_node_speak(&node), 1);
  assert_int_equal(hy_node_speak(&node), 0);
  free(node.page);
  node.page = shared;
  hy_agree(&world, 0);
  hy_node_free(&node);
}

/* On one rank of the node alone. */
static void
test_speak(void **state)
{
  hy_node node = {0};
  int64_t n;

  (void)state;
  hy_node_new(&node, &world);
  n = hy_node_speak(&node);
  hy_sum_i64(&world, &n, 1);
  assert_int_equal(n, 1);
  hy_node_free(&node);
}

/* Who is missing, of ranks of which the last computes; then of ranks that all
 * wait: those with the fewest calls. */
static void
check_verdict(const hy_table *t, hy_seen *seen, const hy_seen *self)
{
  int last = world.size - 1;
  char line[1024], want[256];

  snprintf(want, sizeof want,
           "no progress: rank %d (pid %d on here, in step 7 computing for 6 s "
           "after call %d, sum of doubles over dp) missing; %d of %d ranks",
           last, 10 + last, 100 + last, last, world.size);
  hy_table_verdict(t, seen, self, 1, line, sizeof line);
  if (!strstr(line, want))
    fail_msg("%s", line);
  strcpy(seen[last].state, "stalled");
  hy_table_verdict(t, seen, self, 1, line, sizeof line);
  assert_non_null(strstr(line, "no progress: rank 0 (pid 10 on here"));
  if (last == 0)
    return;
  seen[0].seq += 1000;
  hy_table_verdict(t, seen, self, 1, line, sizeof line);
  assert_non_null(strstr(line, "no progress: rank 1 (pid 11 on here"));
}

static void
test_table(void **state)
{
  int last = world.size - 1;
  hy_seen *seen = hy_calloc((size_t)world.size, sizeof *seen);
  hy_seen self = {.pid = 10 + world.rank,
                  .host = "here",
                  .step = 7,
                  .seq = 100 + world.rank,
                  .seconds = 5.5,
                  .call = "sum of doubles over dp"};
  hy_table t;

  (void)state;
  hy_table_new(&t, &world, "test_watch.dir");
  assert_int_equal(hy_table_read(&t, seen), -1);
  assert_int_equal(hy_table_put(&t, &self, 1), -1); /* no such folder */
  hy_agree(&world, 0);
  strcpy(self.state, world.rank == last ? "computing" : "stalled");
  assert_int_equal(hy_table_put(&t, &self, 2), 0);
  hy_agree(&world, 0);
  assert_int_equal(hy_table_read(&t, seen), last);
  for (int r = 0; r < world.size; r++) {
    assert_int_equal(seen[r].rank, r);
    assert_int_equal(seen[r].pid, 10 + r);
    assert_int_equal(seen[r].seq, 100 + r);
    assert_int_equal(seen[r].step, 7);
    assert_string_equal(seen[r].host, "here");
    assert_string_equal(seen[r].call, "sum of doubles over dp");
    assert_string_equal(seen[r].state, r == last ? "computing" : "stalled");
  }
  check_verdict(&t, seen, &self);
  t.run++; /* lines of another run */
  assert_int_equal(hy_table_read(&t, seen), 0);
  assert_int_equal(seen[0].time, 0);
  hy_agree(&world, 0);
  hy_table_free(&t);
  hy_agree(&world, 0);
  if (world.rank == 0)
    assert_int_equal(rmdir("test_watch.dir"), 0);
  free(seen);
}

/* A signal to one rank is seen there and nowhere else. */
static void
test_signal(void **state)
{
  hy_meter meter = {0};
  hy_grid g = {.world = world, .meter = &meter};
  hy_watcher *w = hy_watcher_new(&g, ".", 0, 1);

  (void)state;
  assert_int_equal(hy_watcher_signal(NULL), 0);
  assert_int_equal(hy_watcher_signal(w), 0);
  if (world.rank == world.size - 1) {
    kill(getpid(), SIGUSR1);
    for (int i = 0; i < 10000 && !hy_watcher_signal(w); i++)
      usleep(1000);
    kill(getpid(), SIGTERM); /* the first one counts */
    usleep(20000);
    assert_int_equal(hy_watcher_signal(w), SIGUSR1);
  }
  hy_agree(&world, 0);
  if (world.rank != world.size - 1)
    assert_int_equal(hy_watcher_signal(w), 0);
  hy_watcher_free(w);
}

int
main(int argc, char **argv)
{
  const struct CMUnitTest test[] = {
      cmocka_unit_test(test_node), cmocka_unit_test(test_speak),
      cmocka_unit_test(test_table), cmocka_unit_test(test_signal)};
  int failed;

  hy_watcher_block();
  MPI_Init(&argc, &argv);
  world = hy_comm_of(MPI_COMM_WORLD);
  failed = cmocka_run_group_tests(test, NULL, NULL);
  MPI_Finalize();
  return failed;
}
