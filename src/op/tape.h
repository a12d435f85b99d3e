/* tape.h: records of what was computed, and the context they run in.
 *
 * An op is called once, forward, by a function of op.h: it makes a record and
 * executes it. With a tape the record stays, and hy_backward runs the records
 * last to first. Without one (tape off) nothing is kept: inference. */
#ifndef HYMN_OP_TAPE_H
#define HYMN_OP_TAPE_H

#include "op/backend.h"
#include "op/batch.h"
#include "op/tensor.h"

enum { HY_MAX_IN = 8, HY_MAX_OUT = 2, HY_MAX_SAVE = 6 };

typedef struct hy_column_room hy_column_room;
typedef struct hy_timer hy_timer;

typedef struct {
  double fwd, bwd; /* FLOPs, multiply and add counted as two */
  double bytes;    /* read and written by the forward pass */
} hy_cost;

/* Work by intensity, for the planner: entry i holds what has 2^i to 2^(i+1)
 * FLOP a byte, the first also what has less, the last what has more. */
enum { HY_N_WORK = 16 };
typedef struct {
  double flops, bytes;
} hy_work;

struct hy_op {
  const char *name;
  /* Bodies of a region that has nothing to do in one direction are NULL. */
  void (*fwd)(hy_ctx *, hy_rec *);
  /* For each i with in[i]->grad: grad = beta[i] * grad + contribution.
   * NULL grad: skip that product. out[]->grad is read only. */
  void (*bwd)(hy_ctx *, hy_rec *);
  hy_cost (*cost)(const hy_rec *);
  /* 1: the bodies talk to other ranks and are called by a dry backend too, to
   * be counted; then they make their calls and touch no data */
  int counts;
};

/* Sequences that continue from a cache (generation): segment s is the rows
 * start[s] .. start[s+1]-1 of the batch, appended to slot[s], which already
 * holds past[s] tokens. Prompts of any lengths and single new tokens need no
 * padding. */
typedef struct {
  int n_seg;
  const int64_t *start; /* (n_seg + 1) */
  const int32_t *slot;  /* (n_seg) */
  const int64_t *past;  /* (n_seg) */
} hy_segments;

typedef struct {
  float eps, scale;
  int64_t n_heads, n_kv_heads, n_groups, top_k, n_group, topk_group;
  int norm_topk;
  const int32_t *id;        /* token ids, or targets */
  int64_t first_id;         /* that row or column 0 is */
  int64_t width;            /* features behind a sum of squares */
  const float *weight;      /* loss weights */
  const int32_t *seq_start; /* NULL with segments */
  const uint8_t *pad;
  const hy_segments *seg; /* generation: state lies in the cache */
  hy_tensor *state[2];    /* cache of this op in this layer */
  const int32_t *offset;  /* (n_experts + 1): rows of each expert */
  const int32_t *pos;     /* (n_tokens, top_k): row of each choice */
  const int32_t *idx;     /* (n_tokens, top_k): experts, ascending; of a
                             router: NULL, it has to choose them */
  const int32_t *list;    /* (rows + 1): choices of each row; NULL: top_k */
  const int32_t *doc;     /* (n_tokens): cut document of each; NULL: none */
  int64_t token0;         /* of the batch, that row 0 is */
  const struct hy_travel *travel; /* of rows between ranks of experts */
  /* of a loss: its gradient's factor is factor / max(*over, 1); over NULL: 1.
   * Like value, where it adds itself, *over is in backend memory */
  double factor;
  const double *over;
  double *value;
  int64_t seq_len;
  int64_t layer;
  size_t mark;            /* of the activation arena, for layer_begin */
  int unit[2];            /* of parameters, for layer_begin; -1: none */
  int first[2];           /* no segment before uses them */
  struct hy_again *again; /* of a piece that runs again in backward */
  hy_rec *before;         /* layer_begin: the segment before; NULL: none */
  const hy_comm *comm;    /* of a region */
  const int64_t *at;      /* (comm->size + 1) first element of each rank */
  size_t room[2];         /* bytes of scratch its bodies want, forward and
                             backward; both 0: as many as in[0] has */
  int64_t n_span;         /* how cp cut the rows, as in hy_batch */
  const hy_span *span;
  const int64_t *row_start;
} hy_attr;

struct hy_rec {
  const hy_op *op;
  int n_in, n_out, n_save;
  hy_tensor *in[HY_MAX_IN], *out[HY_MAX_OUT], *save[HY_MAX_SAVE];
  float beta[HY_MAX_IN];
  hy_attr attr;
  void *scratch; /* while a body runs */
};

typedef struct {
  int n, max;
  hy_rec **rec;
} hy_tape;

/* Who gathers the parameters of a unit before they are used and takes their
 * gradients after (zero 3, reductions that overlap backward). A unit is used in
 * a segment of the tape, from one hy_layer_begin to the next. `backward` is 0
 * around its forward, 1 around its backward, in which segments come last to
 * first. Collective, in the same order on all ranks of a stage. */
typedef struct {
  void (*acquire)(void *arg, int unit, int backward);
  /* last: in backward, no segment before this one uses the unit */
  void (*release)(void *arg, int unit, int backward, int last);
  void *arg;
} hy_fetch;

/* One for each model and micro-batch in flight. */
struct hy_ctx {
  const hy_backend *be;
  const hy_grid *grid; /* of a dry backend: one that only counts */
  int n_threads;
  hy_tape tape;
  int taping;       /* 0: inference */
  hy_arena act;     /* activations, released as backward leaves a layer */
  hy_arena turn[2]; /* two in turn: gradients of activations; in inference
                       the activations themselves */
  hy_arena host;    /* records and tensor headers */
  int cur;          /* the arena whose turn it is */
  size_t lent;      /* bytes lent of it, in front of the next gradients */
  const hy_batch *batch;    /* what the host reads of it */
  const hy_batch *columns;  /* the same with columns in backend memory; NULL:
                               batch's own are there */
  hy_column_room *room;     /* of columns, see op/columns.h */
  const hy_segments *seg;   /* its arrays are in backend memory */
  struct hy_cache *cache;   /* generation: states by layer (op/cache.h) */
  hy_tensor *const *weight; /* parameters by spec index */
  /* what came from the pipeline stage before, where it lies, and what goes to
   * the stage behind; NULL at the ends */
  struct {
    void *from;
    hy_tensor *in, *out;
  } pipe;
  const hy_fetch *fetch; /* NULL: all parameters are always there */
  hy_rec *segment;       /* the last begun; NULL: none on this tape */
  int in_use[2];         /* units that the forward pass holds; -1: none */
  size_t unit_bytes;     /* of a planned context: buffers that fetch takes */
  int64_t layer;         /* flat index, MTP layers behind the backbone; or -1 */
  int depth;             /* 0 backbone, k: prediction depth k */
  hy_cost planned;       /* of the program that sized the arenas */
  hy_cost cost;          /* of everything run since the caller cleared it */
  /* bytes this rank sends to others, by axis, of the program that sized the
   * arenas */
  double sent[HY_N_AXES];
  double calls[HY_N_AXES]; /* and collectives */
  hy_work work[HY_N_WORK]; /* as cost, with what is computed again */
  double *aux;             /* sum of the balance losses, in backend memory;
                              NULL: none wanted */
  float aux_scale; /* 1/depths inside a prediction block used by them all */
  int64_t *count;  /* (n_layers, n_experts) tokens routed, or NULL */
  float *margin;   /* smallest margin of a router so far, or NULL; both in
                      backend memory */
  struct hy_again *again; /* while a piece runs again; NULL: the first time */
  hy_timer *timer; /* op/timer.h; NULL: nobody times */
  /* gives (rows, top_k) experts in backend memory that the next router takes,
   * or NULL: it chooses (benchmarks, comparisons); NULL: they all choose */
  const int32_t *(*choose)(void *arg, const hy_ctx *c, int64_t rows,
                           int64_t top_k);
  void *choose_arg;
  int worst;       /* dry: plan for the worst routing, not the expected */
  size_t expected; /* bytes of all arenas by the plan */
  /* shows named intermediate results (compare, monitors); may be NULL. Their
   * numbers are in backend memory: hy_tensor_look */
  void (*watch)(void *arg, int64_t layer, const char *name, const hy_tensor *t,
                unsigned axis);
  void *watch_arg;
};

/** The columns of the batch, where bodies read them. */
static inline const hy_batch *
hy_columns(const hy_ctx *c)
{
  return c->columns ? c->columns : c->batch;
}

/** A context without memory for tensors: of a dry backend it is ready to count
 *  (and has a dry copy of the grid, c->grid, with a meter of its own), of
 *  another hy_ctx_reserve follows. n_layers sizes the records of a dry one. */
void hy_ctx_init(hy_ctx *c, const hy_backend *be, const hy_grid *grid,
                 int n_threads, int64_t n_layers);
/** Arenas of the sizes that `plan` (a context of the dry backend that ran the
 *  same program) has found. 0 or HY_ERES. Not collective. */
int hy_ctx_reserve(hy_ctx *c, const hy_ctx *plan);
/** Take costs, bytes sent and memory expected from another plan than the one
 *  that sized the arenas (routing decides with ep). */
void hy_ctx_expect(hy_ctx *c, const hy_ctx *plan);
void hy_ctx_free(hy_ctx *c);

/** Forget all records and activations: the start of a micro-batch. */
void hy_ctx_reset(hy_ctx *c, int taping);

/** A new tensor in the arena of activations; data is not cleared. */
hy_tensor *hy_new(hy_ctx *c, hy_fmt fmt, int64_t rows, int64_t cols);
/** Columns first .. first+n-1 of t, without a copy. */
hy_tensor *hy_cols_of(hy_ctx *c, hy_tensor *t, int64_t first, int64_t n);
/** Keep only the first rows of t and give back the memory behind them; nothing
 *  happens when t is not the newest tensor. Nobody may read the rest again. */
void hy_shrink(hy_ctx *c, const hy_tensor *t, int64_t rows);
/** An activation whose rows lie elsewhere; with its gradient wanted. */
hy_tensor *hy_from(hy_ctx *c, void *data, int64_t rows, int64_t cols);
/** A tensor that later layers read again: its gradient outlives the turn of
 *  the two arenas. Call it right after t was made. Training only. */
void hy_keep(hy_ctx *c, hy_tensor *t);

/** A record with n inputs; the caller sets attr, out and save and then calls
 *  hy_exec. */
hy_rec *hy_rec_new(hy_ctx *c, const hy_op *op, int n_in, hy_tensor **in);
hy_tensor *hy_rec_out(hy_ctx *c, hy_rec *r, int64_t rows, int64_t cols);
/** An output in another format than activations have. */
hy_tensor *hy_rec_out_fmt(hy_ctx *c, hy_rec *r, hy_fmt fmt, int64_t rows,
                          int64_t cols);
/** An output with the format of in[0] that only this segment reads and whose
 *  forward is cheap: its memory is lent until the segment ends, and backward makes it again. */
hy_tensor *hy_rec_lend(hy_ctx *c, hy_rec *r, int64_t rows, int64_t cols);
/** Memory that backward reads; not kept in inference. */
hy_tensor *hy_rec_save(hy_ctx *c, hy_rec *r, hy_fmt fmt, int64_t rows,
                       int64_t cols);
/** Run forward; returns out[0] (NULL if none). */
hy_tensor *hy_exec(hy_ctx *c, hy_rec *r);

/** Marks the start of a segment, a layer or a part of the model outside the
 *  layers (-1): in backward everything after it is released here.
 *  \param a, b  units of parameters (HY_UNIT_*) that it uses; -1: none */
void hy_layer_begin(hy_ctx *c, int64_t layer, int a, int b);

/** The end of the last segment of a forward pass: its units are released.
 *  hy_backward and hy_ctx_reset do it too. */
void hy_layers_end(hy_ctx *c);

/** Run all records last to first. Regions in it are collective. */
void hy_backward(hy_ctx *c);

/** Show t to c->watch, if there is one.
 *  \param axis  whose ranks have other columns of it each (HY_TP); 0: none */
void hy_watch(hy_ctx *c, const char *name, const hy_tensor *t, unsigned axis);
/** The numbers of t, wherever they lie, as fp32 (as int32 if they are that) one
 *  row behind the other. \return memory to be freed. Not collective. */
void *hy_tensor_look(const hy_backend *be, const hy_tensor *t);

void hy_watch_i32(hy_ctx *c, const char *name, const int32_t *v, int64_t rows,
                  int64_t cols);

/** Add n counts to those of the current layer, if they are wanted. */
void hy_count(hy_ctx *c, const int32_t *count, int64_t n);
/** Keep the smallest margin, if it is wanted. */
void hy_margin(hy_ctx *c, const float *margin);

#endif
