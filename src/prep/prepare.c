#include "prep/prepare.h"
#include "base/err.h"
#include "prep/prepare_impl.h"

#include <stdlib.h>

static int
do_work(hy_prep *p)
{
  int err = hy_prep_shards(p);

  if (!err)
    err = hy_prep_count(p);
  return err ? err : hy_prep_write(p);
}

int
hy_prep_run(hy_prep *p, const hy_deck *deck, const hy_comm *comm,
            const char *done)
{
  int err;

  *p = (hy_prep){
      .deck = deck, .d = &deck->prepare, .comm = comm, .begun = MPI_Wtime()};
  err = hy_prep_setup(p);
  if (!err && done)
    hy_prep_done_read(p, done);
  if (!err && !p->was_done)
    err = do_work(p);
  if (!err && !p->was_done && done)
    err = hy_agree(comm, comm->rank == 0 ? hy_prep_done_write(p, done) : 0);
  if (!err && comm->rank == 0 && !p->d->keep_parts)
    hy_prep_clear(p);
  return err;
}

void
hy_prep_free(hy_prep *p)
{
  for (int i = 0; i < p->n_src && p->src; i++)
    hy_input_free(&p->src[i].in);
  for (int i = 0; i < HY_SPLIT_N; i++) {
    free(p->file[i].path);
    hy_tally_free(&p->file[i].notes);
  }
  hy_curate_free(p->curate);
  hy_reader_free(p->reader);
  hy_tok_free(p->tok);
  hy_tally_free(&p->dropped);
  hy_tally_free(&p->notes);
  free(p->src);
  free(p->shard);
  free(p->dir);
}

int
hy_prepare(const hy_deck *deck, const hy_comm *comm, FILE *report)
{
  hy_prep p;
  int err;

  if (*deck->prepare.blend)
    return hy_prep_blend(deck, comm, report);
  err = hy_prep_run(&p, deck, comm, NULL);
  if (!err && comm->rank == 0)
    hy_prep_report(&p, report);
  hy_prep_free(&p);
  return err;
}
