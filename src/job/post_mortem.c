#include "job/post_mortem.h"
#include "base/err.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 1024 /* bytes of one rank's lines in the text */ };

/* What is not finite on this rank. */
static void
describe(const hy_train *r, const hy_step_result *s, char text[LINE])
{
  const hy_params *p = &r->model.params;
  unsigned char *bad = hy_malloc((size_t)p->n + 1);
  char host[64] = "?";
  int n_bad = 0;
  hy_buf b = {0};

  gethostname(host, sizeof host - 1);
  hy_buf_printf(&b, "rank %d on %s: loss of its own targets %g, gradients",
                r->grid->world.rank, host, s->own_loss);
  hy_grad_bad(&r->trainer.opt, bad);
  for (int i = 0; i < p->n; i++)
    if (bad[i]) {
      n_bad++;
      if (b.len < LINE - 256)
        hy_buf_printf(&b, " %s", p->ref[i].spec->name);
    }
  hy_buf_printf(&b, " (%d not finite)\n", n_bad);
  snprintf(text, LINE, "%s", b.data);
  free(b.data);
  free(bad);
}

static int
write_text(const hy_train *r, const char *dir, const hy_step_result *s,
           const char *all)
{
  char *name = hy_asprintf("step_%07lld.txt", (long long)r->step);
  char *path = hy_path_join(dir, name);
  hy_buf b = {0};
  int err;

  hy_buf_printf(&b,
                "step %lld diverged: loss %g, gradient norm %g; its update was "
                "not made\nstep_%07lld.h5 beside this holds weights and "
                "moments of before, after step %lld\ngradients are those "
                "summed over ranks, each rank those it answers for\n",
                (long long)r->step + 1, s->loss, s->norm, (long long)r->step,
                (long long)r->step);
  for (int i = 0; i < r->grid->world.size; i++)
    hy_buf_printf(&b, "%s", all + (size_t)i * LINE);
  err = hy_file_write(path, b.data, b.len);
  free(b.data);
  free(path);
  free(name);
  return err;
}

void
hy_train_post_mortem(hy_train *r, const hy_step_result *s)
{
  hy_comm host = hy_comm_host(&r->grid->world), *world = &host;
  int64_t *at = hy_calloc((size_t)world->size + 1, sizeof *at);
  char *all = hy_calloc((size_t)world->size, LINE);
  char *dir = hy_path_join(r->deck->job.dir, "diverged");
  char *told = hy_strdup(hy_err_text());
  int err = HY_OK;

  hy_err_clear();
  for (int i = 0; i < world->size; i++)
    at[i + 1] = i + 1;
  describe(r, s, all + (size_t)world->rank * LINE);
  hy_all_gather(world, all, at, LINE);
  if (world->rank == 0) {
    err = hy_make_dirs(dir);
    err = err ? err : write_text(r, dir, s, all);
  }
  err = hy_agree(world, err);
  err = err ? err : hy_train_write(r, dir, 1);
  if (world->rank == 0 && err)
    fprintf(stderr, "hymn: note: no state for a post-mortem: %s\n",
            hy_err_text());
  else if (world->rank == 0)
    printf("kept for a post-mortem: %s/step_%07lld.h5 and .txt\n", dir,
           (long long)r->step);
  snprintf(hy_err_text(), HY_ERR_LEN, "%s", told);
  free(told);
  free(dir);
  free(all);
  free(at);
}
