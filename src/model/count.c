#include "model/count.h"

#include <string.h>

hy_count_of
hy_plan_count(const hy_plan *plan)
{
  hy_count_of c = {0};

  for (int i = 0; i < plan->n_spec; i++) {
    const hy_spec *s = &plan->spec[i];
    int64_t size = hy_spec_size(s);

    c.total += size;
    c.n_tensor += s->stacked ? s->dim[0] : 1;
    if (!strncmp(s->name, "mtp.", 4))
      c.mtp += size;
    else if (i == plan->head)
      c.head += size;
    else if (i == plan->embed)
      c.embed += size;
    else
      c.body +=
          s->stacked ? size / plan->cfg->n_experts * plan->cfg->top_k : size;
  }
  return c;
}

int64_t
hy_plan_n_params(const hy_plan *plan)
{
  return hy_plan_count(plan).total;
}

int64_t
hy_plan_n_active(const hy_plan *plan)
{
  hy_count_of c = hy_plan_count(plan);

  return c.body + c.head;
}
