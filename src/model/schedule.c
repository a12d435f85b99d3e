#include "model/schedule.h"

hy_action
hy_schedule_at(int pp, int stage, int64_t n_micro, int64_t k)
{
  int64_t behind = pp - 1 - stage, ahead = behind < n_micro ? behind : n_micro;
  int64_t j = k - ahead, pairs = n_micro - ahead;

  if (j < 0)
    return (hy_action){0, k};
  if (j < 2 * pairs)
    return (hy_action){j % 2 == 1, j % 2 ? j / 2 : ahead + j / 2};
  return (hy_action){1, j - pairs};
}

int
hy_schedule_in_flight(int pp, int stage, int64_t n_micro)
{
  int64_t n = pp - stage < n_micro ? pp - stage : n_micro;

  return n > 1 ? (int)n : 1;
}
