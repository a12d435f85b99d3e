/* hf_export.c: parameters -> weight folder. */
#include "io/hf.h"
#include "io/hf_plan.h"
#include "base/err.h"
#include "base/progress.h"
#include "base/file.h"
#include "model/cfg.h"
#include "model/host.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What a rank owns of a tensor. */
typedef struct {
  hy_shard shard;
  hy_own own;
} slice;

/* The next run of s inside elements [a, b) of the global tensor. */
static int
next_run(const hy_pieces *p, const slice *s, int64_t a, int64_t b, int64_t *i,
         hy_piece *run)
{
  while (hy_own_next(p, &s->own, i, run)) {
    int64_t lo = run->global > a ? run->global : a;
    int64_t hi = run->global + run->n < b ? run->global + run->n : b;

    if (lo >= hi)
      continue;
    *run = (hy_piece){lo, run->local + lo - run->global, hi - lo};
    return 1;
  }
  return 0;
}

/* Copy what s has of elements [a, b) into a packed array, in rising order.
 * Returns their number. */
static int64_t
pack(const hy_spec *spec, const slice *s, const hy_held *held,
     const float *flat, int64_t a, int64_t b, float *out)
{
  int64_t n = 0;
  hy_pieces p;
  hy_piece r;

  hy_pieces_of(&p, spec, &s->shard);
  for (int64_t i = 0; next_run(&p, s, a, b, &i, &r); n += r.n)
    memcpy(out + n, flat + held->at + (r.local - held->from),
           hy_bytes(HY_F32, r.n));
  return n;
}

static void
unpack(const hy_spec *spec, const slice *s, const float *packed, int64_t a,
       int64_t b, float *tensor)
{
  hy_pieces p;
  hy_piece r;

  hy_pieces_of(&p, spec, &s->shard);
  for (int64_t i = 0; next_run(&p, s, a, b, &i, &r); packed += r.n)
    memcpy(tensor + r.global - a, packed, hy_bytes(HY_F32, r.n));
}

enum { TAG_SHARD = 71, TAG_DATA, MAX_MESSAGE = 1 << 28 };

static void
move_floats(float *x, int64_t n, int peer, int send, const hy_comm *comm)
{
  for (int64_t at = 0; at < n; at += MAX_MESSAGE) {
    int m = n - at < MAX_MESSAGE ? (int)(n - at) : MAX_MESSAGE;

    if (send)
      MPI_Send(x + at, m, MPI_FLOAT, peer, TAG_DATA, comm->mpi);
    else
      MPI_Recv(x + at, m, MPI_FLOAT, peer, TAG_DATA, comm->mpi,
               MPI_STATUS_IGNORE);
  }
}

/* What a rank says about its part before it sends it. */
typedef struct {
  slice s;
  int64_t n;
} part_head;

typedef struct {
  const hy_params *p;
  hy_host host;
  int spec; /* whose numbers are at w as `held` says; -1: none */
  const float *w;
  hy_held held;
  const hy_comm *comm;
  unsigned char *mine;  /* (n_spec) of this rank */
  unsigned char *owner; /* rank 0: (size, n_spec) */
  float *part, *tensor; /* the largest tensor */
  void *narrow;         /* rank 0: in the format of the file */
  hy_progress bar;
} gather;

static void
gather_new(gather *g, const hy_params *p, const hy_grid *grid)
{
  size_t n = (size_t)p->n, largest = 0;
  int root = grid->world.rank == 0;

  *g = (gather){
      .p = p, .comm = &grid->world, .mine = hy_calloc(n, 1), .spec = -1};
  hy_host_begin(&g->host, p, NULL, NULL);
  for (int i = 0; i < p->n; i++) {
    const hy_spec *spec = p->ref[i].spec;
    size_t each = hy_bytes(HY_F32, hy_spec_size(spec) / hy_spec_n_tensor(spec));

    g->mine[i] = p->ref[i].own.from < p->ref[i].own.to;
    largest = each > largest ? each : largest;
  }
  g->part = hy_malloc(largest);
  if (root) {
    g->owner = hy_calloc(n * (size_t)grid->world.size, 1);
    g->tensor = hy_malloc(largest);
    g->narrow = hy_malloc(largest);
  }
  MPI_Gather(g->mine, p->n, MPI_BYTE, g->owner, p->n, MPI_BYTE, 0,
             grid->world.mpi);
}

static void
gather_free(gather *g)
{
  hy_host_end(&g->host);
  free(g->mine);
  free(g->owner);
  free(g->part);
  free(g->tensor);
  free(g->narrow);
}

/* Tensor t in g->tensor of rank 0. Collective, by messages to rank 0. */
static void
gather_tensor(gather *g, const hy_out *t)
{
  const hy_param_ref *ref = g->p->ref + t->spec;
  int64_t each = hy_spec_size(ref->spec) / hy_spec_n_tensor(ref->spec);
  int64_t a = t->expert * each, b = a + each;
  part_head head = {.s = {ref->shard, ref->own}};

  if (g->mine[t->spec] && g->spec != t->spec) { /* not for each expert */
    g->w = hy_host_read(&g->host, HY_PART_W, t->spec, &g->held);
    g->spec = t->spec;
  }
  if (g->mine[t->spec])
    head.n = pack(ref->spec, &head.s, &g->held, g->w, a, b, g->part);
  if (g->comm->rank != 0) {
    if (g->mine[t->spec]) {
      MPI_Send(&head, sizeof head, MPI_BYTE, 0, TAG_SHARD, g->comm->mpi);
      move_floats(g->part, head.n, 0, 1, g->comm);
    }
    return;
  }
  for (int r = 0; r < g->comm->size; r++) {
    if (!g->owner[(size_t)r * (size_t)g->p->n + (size_t)t->spec])
      continue;
    if (r > 0) {
      MPI_Recv(&head, sizeof head, MPI_BYTE, r, TAG_SHARD, g->comm->mpi,
               MPI_STATUS_IGNORE);
      move_floats(g->part, head.n, r, 0, g->comm);
    }
    unpack(ref->spec, &head.s, g->part, a, b, g->tensor);
  }
}

/* One file; rank 0 writes, and goes on receiving after a failure. */
static int
write_file(gather *g, const hy_out_plan *plan, int64_t first, int64_t last,
           const char *dir)
{
  int root = g->comm->rank == 0, err = 0;
  hy_st_writer *w = NULL;

  if (root) {
    char *path = hy_path_join(dir, plan->file[plan->t[first].file]);

    w = hy_st_writer_new(path);
    free(path);
    for (int64_t i = first; i < last; i++)
      hy_st_declare(w, plan->t[i].name, hy_st_dtype_of(plan->t[i].fmt),
                    plan->t[i].n_dim, plan->t[i].dim);
    err = hy_st_begin(w, 0, "pt"); /* the plan is in order */
  }
  for (int64_t i = first; i < last; i++) {
    gather_tensor(g, plan->t + i);
    hy_progress_at(&g->bar, (double)i);
    if (!root || err)
      continue;
    hy_from_f32(g->narrow, g->tensor, plan->t[i].fmt, plan->t[i].n);
    err = hy_st_put(w, g->narrow, hy_bytes(plan->t[i].fmt, plan->t[i].n));
  }
  if (root && !err)
    err = hy_st_commit(w);
  hy_st_writer_free(w);
  return err;
}

/* What rank 0 writes besides the tensors; config.json last. */
static int
write_rest(const hy_params *p, const hy_out_plan *plan, const char *dir,
           const hy_hf_options *opt)
{
  char *path = hy_path_join(dir, "config.json");
  char *index = hy_path_join(dir, "model.safetensors.index.json");
  const char *dtype = "float32";
  hy_buf text = {0};
  int err = HY_OK;

  for (int i = 0; i < p->n; i++)
    if (opt->fmt[i] == HY_BF16)
      dtype = "bfloat16";
  if (opt->source)
    err = hy_hf_copy_files(opt->source, dir);
  if (!err && plan->n_file > 1) {
    hy_out_index(plan, &text);
    err = hy_file_write(index, text.data, text.len);
    text.len = 0;
  }
  if (!err) {
    hy_cfg_write(p->plan->cfg, dtype, opt->config, &text);
    err = hy_file_write(path, text.data, text.len);
  }
  free(text.data);
  free(index);
  free(path);
  return err;
}

static int
is_empty(const char *dir)
{
  DIR *d = opendir(dir);
  struct dirent *e;
  int n = 0;

  while (d && (e = readdir(d)))
    n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
  if (d)
    closedir(d);
  return n == 0;
}

static void
remove_dir(const char *dir)
{
  DIR *d = opendir(dir);
  struct dirent *e;

  while (d && (e = readdir(d))) {
    char *path = hy_path_join(dir, e->d_name);

    if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
      unlink(path);
    free(path);
  }
  if (d)
    closedir(d);
  rmdir(dir);
}

/* The folder beside dir in which the export is made. */
static char *
temporary_dir(const char *dir)
{
  size_t n = strlen(dir);

  while (n > 1 && dir[n - 1] == '/')
    n--;
  return hy_asprintf("%.*s.tmp", (int)n, dir);
}

static int
make_place(const char *dir, const char *tmp)
{
  char *parent = hy_path_dir(tmp);
  int err = HY_OK;

  if (hy_path_exists(dir) && (!hy_path_is_dir(dir) || !is_empty(dir)))
    err = hy_fail(HY_EFILE,
                  "%s: is there already and not empty; set job.dir to a new "
                  "folder",
                  dir);
  if (!err) {
    remove_dir(tmp); /* what a killed export left */
    err = hy_make_dirs(parent);
  }
  if (!err && mkdir(tmp, 0777))
    err = hy_fail(HY_EFILE, "%s: cannot make this folder: %s", tmp,
                  strerror(errno));
  free(parent);
  return err;
}

static int
write_all(const hy_params *p, const hy_out_plan *plan, const char *tmp,
          const char *dir, const hy_hf_options *opt, const hy_grid *grid)
{
  int root = grid->world.rank == 0, err = HY_OK;
  gather g;

  gather_new(&g, p, grid);
  hy_progress_begin(&g.bar, "export", (double)plan->n, root);
  for (int64_t i = 0, j; i < plan->n; i = j) {
    int e;

    for (j = i; j < plan->n && plan->t[j].file == plan->t[i].file;)
      j++;
    e = err ? err : write_file(&g, plan, i, j, tmp);
    err = hy_agree(&grid->world, e);
    if (err)
      break;
  }
  hy_progress_end(&g.bar);
  gather_free(&g);
  if (root && !err)
    err = write_rest(p, plan, tmp, opt);
  if (root && !err)
    err = hy_hf_seal(tmp, p->plan, opt->lineage);
  if (root && !err && rename(tmp, dir))
    err = hy_fail(HY_EFILE, "%s: cannot be renamed to %s: %s", tmp, dir,
                  strerror(errno));
  return err;
}

int
hy_hf_export(const hy_params *p, const char *dir, const hy_hf_options *opt,
             const hy_grid *grid, int64_t *n_tensor)
{
  int root = grid->world.rank == 0, err = HY_OK;
  char *tmp = temporary_dir(dir);
  hy_out_plan plan = {0};

  if (root) {
    hy_out_plan_new(&plan, p->plan, opt);
    err = make_place(dir, tmp);
  }
  err = hy_agree(&grid->world, err);
  hy_out_plan_share(&plan, &grid->world);
  if (!err) {
    err = write_all(p, &plan, tmp, dir, opt, grid);
    if (root && err)
      remove_dir(tmp);
    err = hy_agree(&grid->world, err);
  }
  if (n_tensor)
    *n_tensor = plan.n;
  hy_out_plan_free(&plan);
  free(tmp);
  return err;
}
