/* backend.h: what a kind of processor gives to the program: memory, what is
 * done to flat arrays in it, and the bodies of the ops.
 *
 * "Backend memory" is where tensors live: the host's for the CPU, the GPU's for
 * CUDA. Nothing outside a backend reads or writes it; the calls below do. They
 * return at once where the backend works in a stream; the stream keeps their
 * order, and hy_mem.read and hy_mem.wait wait for it. A call that fails ends
 * the run (hy_die), except those that say what they return. */
#ifndef HYMN_OP_BACKEND_H
#define HYMN_OP_BACKEND_H

#include "base/mem.h"
#include "fmt/fmt.h"
#include "grid/grid.h"

typedef struct hy_rec hy_rec;
typedef struct hy_ctx hy_ctx;
typedef struct hy_op hy_op;
typedef struct hy_backend hy_backend;

/* What a backend does side by side, each in its own order: its work, copies
 * from the host, copies to the host. */
enum { HY_LANE_WORK, HY_LANE_IN, HY_LANE_OUT, HY_N_LANE };

/* Memory of a backend. */
typedef struct {
  /** Zeroed memory for the whole run; NULL when there is no room. */
  void *(*get)(size_t bytes);
  void (*put)(void *p);
  /** Memory of the host that copies to and from the backend reach fast. */
  void *(*get_host)(size_t bytes);
  void (*put_host)(void *p);
  void (*zero)(void *p, size_t bytes);
  /** n_rows rows of `bytes` bytes, step bytes apart. */
  void (*zero_rows)(void *p, size_t step, size_t bytes, int64_t n_rows);
  /** Inside backend memory; the two may overlap. */
  void (*copy)(void *to, const void *from, size_t bytes);
  /** n_rows rows of `bytes` bytes, to_step and from_step bytes apart; no
   *  overlap. */
  void (*copy_rows)(void *to, size_t to_step, const void *from,
                    size_t from_step, size_t bytes, int64_t n_rows);
  /** From the host; the host's memory may be changed after the return. */
  void (*load)(void *to, const void *host, size_t bytes);
  /** To the host; waits until it is there. */
  void (*read)(void *host, const void *from, size_t bytes);
  /** A few bytes to the host without keeping the backend: they are where the
   *  return value says once fetched, which waits for nothing that is asked for
   *  after fetch, has returned; until the next fetch. */
  const void *(*fetch)(const void *from, size_t bytes);
  void (*fetched)(void);
  /** All that was started has ended, in every lane. */
  void (*wait)(void);
  /** Copies beside the work, in HY_LANE_IN and HY_LANE_OUT, from and to memory
   *  of get_host, which has to be left alone until they have ended. With
   *  host_memory NULL, as there is nothing to bring. */
  void (*load_start)(void *to, const void *host, size_t bytes);
  void (*read_start)(void *host, const void *from, size_t bytes);
  /** What lane a is asked for from now on begins when all that lane b was asked
   *  for so far has ended. */
  void (*follow)(int a, int b);
  /** Bytes that this rank may still get, on a GPU that it shares its part. */
  size_t (*room)(void);
  /** Bytes that this process has taken at most, as the system sees it. */
  size_t (*used)(void);
  const hy_space *space; /* of arenas */
} hy_mem;

/* Neighbours in the flat arrays of parameters, as the optimizer walks them;
 * what a call does not use may be NULL. */
typedef struct {
  float *w, *m, *v; /* master and moments */
  const float *g;
  void *low; /* renewed from w in format fmt; NULL: nothing reads it */
  hy_fmt fmt;
  int decay; /* weight decay applies */
  int64_t n;
} hy_run;

/* A list of them as a backend keeps it. */
typedef struct hy_runs hy_runs;

/* What a step of AdamW does; keep: factor of weights without and with decay. */
typedef struct {
  float beta1, beta2, eps, scale, rate, c1, c2, keep[2];
} hy_adamw_rates;

/* Rows and choices on their way to the ranks of experts and back
 * (op/region_ep.c). Rank d has the experts d own .. (d+1) own - 1; to each rank
 * that a row needs goes one copy of it, with those of its choices. */
typedef struct {
  int32_t expert; /* of the destination; ~expert: first choice of its copy */
  float weight;
} hy_choice;

/* Where they lie on their way, by destination, then row: of the choices (n_row,
 * top_k) of rows, experts ascending. */
typedef struct {
  int64_t n_row, top_k;
  int32_t *row;    /* place of the copy that this choice is the first of; -1: an
                      earlier one is */
  int32_t *choice; /* place of the choice */
} hy_places;

/** Bytes of scratch of hy_travel_kit's sorts of n items by one of n_keys: room
 *  to count each unit of items by itself. */
enum { HY_TRAVEL_UNIT = 256 };
static inline size_t
hy_travel_room(int64_t n, int64_t n_keys)
{
  int64_t n_unit = (n + HY_TRAVEL_UNIT - 1) / HY_TRAVEL_UNIT;

  return (size_t)(n_keys * (n_unit + 1)) * sizeof(int32_t);
}

/* What is done with them. n_threads: of the host; rows have n numbers, copies
 * lie one after another. */
typedef struct {
  /** The places. at[d], d <= n_rank: place of the first choice for rank d;
   *  at[n_rank + d] - at[n_rank]: of the first copy.
   *  \param at       (2 n_rank + 1)
   *  \param idx      (n_row, top_k) experts
   *  \param scratch  hy_travel_room of 2 n_row top_k by 2 n_rank */
  void (*places)(const hy_places *p, int32_t *at, const int32_t *idx,
                 int64_t own, int n_rank, void *scratch);
  /** Copies of the rows of `from` to their places. */
  void (*spread)(const hy_places *p, void *to, const void *from, int64_t ld,
                 hy_fmt fmt, int64_t n, int n_threads);
  /** to[t] = beta to[t] + the copies of row t, in the order of destinations,
   *  rounded once; beta 0 or 1, 0 does not read `to`. */
  void (*gather)(const hy_places *p, void *to, int64_t ld, const void *from,
                 hy_fmt fmt, int64_t n, float beta, int n_threads);
  /** The choices to their places; w: their weights, rows ld apart. */
  void (*pack)(const hy_places *p, hy_choice *to, const int32_t *idx,
               const float *w, int64_t ld, int64_t own);
  /** n_choice choices that came, of n_row rows: experts, weights, and the first
   *  choice of each row, list (n_row + 1).
   *  \param scratch  hy_travel_room of n_choice by 1 */
  void (*unpack)(const hy_choice *from, int64_t n_choice, int64_t n_row,
                 int32_t *idx, int32_t *list, float *w, void *scratch);
  /** Gradients of the weights from where they came: g = beta g + from. */
  void (*weights)(const hy_places *p, float *g, int64_t ld, const float *from,
                  float beta);
} hy_travel_kit;

/* What is done to arrays in backend memory outside of ops: by regions, by the
 * store of parameters and by the optimizer. Each has a body in every backend.
 * Lengths and strides are in elements. */
typedef struct {
  /** n elements from one format to another (HY_F32, HY_BF16). */
  void (*cast)(void *to, hy_fmt to_fmt, const void *from, hy_fmt from_fmt,
               int64_t n);
  /** y[r][j] = beta y[r][j] + x[r][j] for rows of n; beta 0 or 1, 0 does not
   *  read y. */
  void (*add)(void *y, int64_t ldy, const void *x, int64_t ldx, hy_fmt fmt,
              int64_t rows, int64_t n, float beta);
  /** out[i] = sum over k of part[k n + i], in the order of k, in fp32, rounded
   *  once; more: added to what out holds. out may be part itself. */
  void (*sum_parts)(void *out, const void *part, hy_fmt fmt, int64_t n,
                    int n_part, int more);
  /** to[i] += x[i]. */
  void (*add_counts)(int64_t *to, const int32_t *x, int64_t n);
  /** *to = min(*to, *x). */
  void (*least)(float *to, const float *x);
  /** Row t of each of n_part parts (rows HY_CE_STAT) to the row of the whole
   *  vocabulary, in their order. */
  void (*merge_stat)(float *out, const float *part, int64_t rows, int n_part);
  /* States of a scan (op/region_cp.c): items of n_heads times n numbers, then a
   * decay for each head. */
  /** n_item items that change nothing: states 0, decays 1. */
  void (*carry_none)(float *item, int64_t n_item, int64_t n_heads, int64_t n);
  /** The item of two pieces, the nearer one (state, decay) in two places: its
   *  state + decay * the farther one's, and the product of their decays. A
   *  decay of 0 lets nothing through, not even a NaN of another document. `to`
   *  may be the nearer one. */
  void (*carry_join)(float *to, const float *state, const float *decay,
                     const float *far, int64_t n_heads, int64_t n);
  /** to = beta to + the gradient of a span's own state and decays, from the
   *  gradient g of the state that it leaves and the state `in` before it: g,
   *  and for each head <g, in>. beta 0 does not read `to`. */
  void (*carry_grad)(float *to, const float *g, const float *in,
                     int64_t n_heads, int64_t n, float beta);
  const hy_travel_kit *travel;

  /* ---- the optimizer, outside of any graph ---- */

  /** A list that a step uses again and again; the array may go. */
  hy_runs *(*runs_new)(const hy_run *run, int64_t n);
  void (*runs_free)(hy_runs *r);
  /** Sum of the squares of all g, the same bits each time; waits for it. */
  double (*sum_squares)(hy_runs *r);
  /** bad[i] = 1 if g of run i has a number that is not finite, else 0, on the
   *  host; waits for it. */
  void (*not_finite)(hy_runs *r, unsigned char *bad);
  /** For each element, with g' = scale g:
   *    m = beta1 m + (1-beta1) g', v = beta2 v + (1-beta2) g'^2,
   *    w = keep w - rate (c1 m) / (sqrt(c2 v) + eps), low = w. */
  void (*adamw)(hy_runs *r, const hy_adamw_rates *k, int n_threads);
  /** bias[e] += rate sign(mean(count) - count[e]). */
  void (*bias_update)(float *bias, const int64_t *count, int64_t n, float rate);
} hy_kit;

/* Pieces of a program that a backend can record and play again. */
typedef struct hy_recording hy_recording;
typedef struct {
  /** Run the piece, or play what earlier calls have recorded of it: the same
   *  calls of the backend with the same arguments. \param r  NULL before the
   *  first call  \return 1: run was called, so the host's side has happened */
  int (*play)(hy_recording **r, void (*run)(void *), void *arg);
  void (*drop)(hy_recording *r);
} hy_record;

struct hy_backend {
  const char *name;
  hy_fmt act;      /* of activations, their gradients and matrices */
  int ssd_chunk;   /* tokens of the scan from one saved state to the next */
  const hy_op *op; /* by HY_OP_name */
  int dry;         /* shapes without storage: bodies are not called */
  int host_memory; /* the host may read and write backend memory */
  const hy_backend *plan; /* the dry one with the same shapes and scratch */
  /* bytes a body wants while it runs, forward (0) or backward (1) */
  size_t (*scratch)(const hy_ctx *, const hy_rec *, int backward);
  void (*init)(void); /* before the first body; may be called again */
  const hy_mem *mem;  /* of a dry backend: NULL, as is kit */
  const hy_kit *kit;
  /** Seconds that a body takes, alone. */
  double (*timed)(void (*body)(hy_ctx *, hy_rec *), hy_ctx *c, hy_rec *r);
  /** The limits that benchmarks divide by, the best of `repeats`: FLOP/s of
   *  large products in the format of activations, bytes/s that a copy reads and
   *  writes. */
  double (*product_rate)(int n_threads, int repeats);
  double (*copy_rate)(int n_threads, int repeats);
  const char *product_name; /* what that product is: "sgemm" */
  const hy_record *record;  /* NULL: nothing can be recorded */
};

/** The CPU fp32 reference, and its dry twin. */
extern const hy_backend hy_backend_cpu, hy_backend_plan;

/** The backend on which a rank computes: grid->backend, else the CPU. */
static inline const hy_backend *
hy_backend_of(const hy_grid *grid)
{
  return grid->backend ? grid->backend : &hy_backend_cpu;
}

/** Its dry twin. */
static inline const hy_backend *
hy_backend_dry(const hy_grid *grid)
{
  const hy_backend *be = hy_backend_of(grid);

  return be->dry ? be : be->plan;
}

#endif
