/* generate: sample from a model. The dp ranks share the prompts; what comes
 * out for a prompt does not depend on how many there are. */
#include "base/err.h"
#include "base/file.h"
#include "base/rng.h"
#include "gen/gen.h"
#include "gen/prompts.h"
#include "grid/meter.h"
#include "grid/threads.h"
#include "io/source.h"
#include "job/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALL_TOKENS = 512 };

typedef struct {
  hy_deck *d;
  const hy_grid *grid;
  int n_threads;
  hy_model model;
  hy_tok *tok; /* NULL: prompts and answers are ids */
  char *tok_path;
  int32_t eos; /* -1: none */
  hy_prompts prompt;
  hy_ids *answer; /* (n prompts); mine are filled */
} generation;

/* That of the key, else the one beside the weights, else none. */
static int
open_tokenizer(generation *g)
{
  const hy_deck *d = g->d;
  int err = HY_OK;

  g->tok_path = d->generate.tokenizer[0]
                    ? hy_strdup(d->generate.tokenizer)
                    : hy_path_join(d->model.from, "tokenizer.json");
  g->eos = -1;
  if (d->generate.tokenizer[0] || hy_path_exists(g->tok_path))
    err = hy_tok_open(&g->tok, g->tok_path);
  if (g->tok && d->generate.stop_eos)
    g->eos = hy_tok_eos(g->tok);
  return err;
}

/* A model may have more rows than the tokenizer has tokens: those are never
 * chosen. */
static void
forbid(const generation *g, float *z)
{
  int64_t n = g->tok ? hy_tok_n(g->tok) : g->d->model.vocab;

  for (int64_t i = n; i < g->d->model.vocab; i++)
    z[i] = -1e30f;
}

typedef struct {
  int n; /* sequences still running */
  int32_t *slot, *token;
  int64_t *len, *prompt;
  float *z, *work;
} batch_state;

/* Choose the next token of each running sequence; those that end leave. */
static void
choose(generation *g, batch_state *b, const hy_sampler *s)
{
  const hy_deck_generate *d = &g->d->generate;
  int64_t vocab = g->d->model.vocab;
  int left = 0;

  for (int i = 0; i < b->n; i++) {
    float *z = b->z + i * vocab;
    hy_ids *out = &g->answer[b->prompt[i]];
    int32_t id;

    forbid(g, z);
    id = hy_sample(s, (uint64_t)b->prompt[i] << 32 | out->n, z, vocab, b->work);
    if (id == g->eos || (d->stop_eos && id == g->prompt.stop[b->prompt[i]]))
      continue;
    hy_ids_add(out, id);
    if ((int64_t)out->n == d->max_new)
      continue;
    b->slot[left] = b->slot[i];
    b->prompt[left] = b->prompt[i];
    b->token[left] = id;
    b->len[left++] = 1;
  }
  b->n = left;
}

/* Prompts first .. first+n-1 side by side. */
static int
run_batch(generation *g, hy_gen *gen, const hy_sampler *s, int64_t first,
          int64_t n)
{
  int64_t vocab = g->d->model.vocab, total = 0;
  size_t m = (size_t)n;
  batch_state b = {.n = (int)n};
  int err;

  for (int64_t i = 0; i < n; i++)
    total += (int64_t)g->prompt.id[first + i].n;
  b.slot = hy_malloc(m * sizeof *b.slot);
  b.prompt = hy_malloc(m * sizeof *b.prompt);
  b.len = hy_malloc(m * sizeof *b.len);
  b.token = hy_malloc((size_t)(total + n) * sizeof *b.token);
  b.z = hy_malloc(m * (size_t)vocab * sizeof *b.z);
  b.work = hy_malloc(2 * (size_t)vocab * sizeof *b.work);
  total = 0;
  for (int64_t i = 0; i < n; i++) {
    const hy_ids *p = &g->prompt.id[first + i];

    hy_gen_clear(gen, (int32_t)i);
    b.slot[i] = (int32_t)i;
    b.prompt[i] = first + i;
    b.len[i] = (int64_t)p->n;
    memcpy(b.token + total, p->id, p->n * sizeof *p->id);
    total += (int64_t)p->n;
  }
  err = hy_gen_feed(gen, b.n, b.slot, b.len, b.token, b.z);
  while (!err) {
    choose(g, &b, s);
    if (b.n == 0)
      break;
    err = hy_gen_feed(gen, b.n, b.slot, b.len, b.token, b.z);
  }
  free(b.slot);
  free(b.prompt);
  free(b.len);
  free(b.token);
  free(b.z);
  free(b.work);
  return err;
}

/* The prompts of this dp rank, in batches. */
static int
run_mine(generation *g)
{
  const hy_deck *d = g->d;
  int64_t dp = g->grid->dp.size, most = (g->prompt.n + dp - 1) / dp;
  int64_t lo = g->prompt.n * g->grid->dp.rank / dp;
  int64_t hi = g->prompt.n * (g->grid->dp.rank + 1) / dp;
  int64_t longest = 0, n = d->generate.batch < most ? d->generate.batch : most;
  hy_sampler s = {d->generate.temperature, d->generate.top_k, d->generate.top_p,
                  hy_rng_key((uint64_t)d->job.seed, "generate")};
  hy_gen gen;
  int err;

  for (int64_t i = lo; i < hi; i++)
    if ((int64_t)g->prompt.id[i].n > longest)
      longest = (int64_t)g->prompt.id[i].n;
  err = hy_agree(&g->grid->world,
                 hy_gen_new(&gen, &g->model, g->grid, g->n_threads, n,
                            longest + d->generate.max_new,
                            n > CALL_TOKENS ? n : CALL_TOKENS));
  if (!err) {
    for (int64_t i = lo; i < hi && !err; i += n)
      err = run_batch(g, &gen, &s, i, hi - i < n ? hi - i : n);
    hy_gen_join(&gen);
  }
  hy_gen_free(&gen);
  return err;
}

/* Lines of this rank: prompts are split in order, so are the lines. */
static int
my_lines(const generation *g, hy_buf *out)
{
  int64_t lo = g->prompt.n * g->grid->dp.rank / g->grid->dp.size;
  int64_t hi = g->prompt.n * (g->grid->dp.rank + 1) / g->grid->dp.size;
  int mine = g->grid->seq.rank == 0 && g->grid->pp.rank == 0, err = HY_OK;

  hy_buf_add(out, "", 0);
  for (int64_t i = lo; i < hi && !err && mine; i++)
    err = hy_prompts_line(out, g->tok, g->answer[i].id, g->answer[i].n);
  return err;
}

/* All lines on world rank 0, in rank order. */
static void
gather(const generation *g, const hy_buf *mine, hy_buf *all)
{
  const hy_comm *w = &g->grid->world;
  int n = (int)mine->len, *count = hy_malloc((size_t)w->size * sizeof *count);
  int *at = hy_calloc((size_t)w->size, sizeof *at), total = 0;

  hy_meter_enter(w, "gather of lines");
  MPI_Gather(&n, 1, MPI_INT, count, 1, MPI_INT, 0, w->mpi);
  for (int r = 0; r < w->size && w->rank == 0; r++) {
    at[r] = total;
    total += count[r];
  }
  if (w->rank == 0) {
    all->data = hy_malloc((size_t)total + 1);
    all->data[total] = '\0';
    all->len = (size_t)total;
  }
  MPI_Gatherv(mine->data, n, MPI_CHAR, all->data, count, at, MPI_CHAR, 0,
              w->mpi);
  hy_meter_leave(w);
  free(count);
  free(at);
}

/* A single prompt is shown as a text, several as JSON lines. */
static int
show(const generation *g, const hy_buf *all)
{
  const hy_deck_generate *d = &g->d->generate;
  hy_buf text = {0};
  int err;

  if (d->output[0])
    return hy_file_write(d->output, all->data, all->len);
  if (d->input[0] || !g->tok) {
    fwrite(all->data, 1, all->len, stdout);
    return HY_OK;
  }
  hy_buf_printf(&text, "%s", d->prompt);
  err = hy_tok_decode(g->tok, g->answer[0].id, g->answer[0].n, 0, &text);
  if (!err)
    printf("%s\n", text.data);
  free(text.data);
  return err;
}

static int
set_up(generation *g)
{
  const hy_comm *world = &g->grid->world;
  hy_deck *d = g->d;
  int err = HY_OK;

  if (!d->model.from[0])
    err = hy_fail(HY_EDECK, "model.from: not set; name the weight folder or "
                            "checkpoint to sample from");
  err = hy_agree(world, err);
  if (!err)
    err = hy_source_resolve(d, world);
  if (!err)
    err = hy_agree(world, open_tokenizer(g));
  if (!err)
    err = hy_agree(world, hy_prompts_read(&g->prompt, &d->generate, g->tok,
                                          g->tok_path, d->model.vocab));
  if (!err)
    err = hy_agree(world, hy_model_new(&g->model, &d->model, g->grid, 0));
  if (!err)
    err = hy_source_load(&g->model.params, d, g->grid);
  return err;
}

static int
generate_run(hy_deck *deck, const hy_grid *grid)
{
  generation g = {.d = deck, .grid = grid};
  hy_buf mine = {0}, all = {0};
  int err;

  g.n_threads = hy_threads_of(deck, grid);
  err = set_up(&g);
  if (!err) {
    g.answer = hy_calloc((size_t)g.prompt.n, sizeof *g.answer);
    err = run_mine(&g);
    if (!err)
      err = my_lines(&g, &mine);
    err = hy_agree(&grid->world, err);
  }
  if (!err)
    gather(&g, &mine, &all);
  if (!err && grid->world.rank == 0)
    err = show(&g, &all);
  err = hy_agree(&grid->world, err);
  for (int64_t i = 0; g.answer && i < g.prompt.n; i++)
    free(g.answer[i].id);
  free(g.answer);
  free(mine.data);
  free(all.data);
  hy_prompts_free(&g.prompt);
  hy_tok_free(g.tok);
  free(g.tok_path);
  hy_model_free(&g.model);
  return err;
}

const hy_job hy_job_generate = {
    .name = "generate",
    .help = "sample from a model, greedy or at a temperature",
    .computes = 1,
    .run = generate_run};
