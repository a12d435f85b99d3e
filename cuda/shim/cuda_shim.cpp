// cuda_shim.cpp: scheduler of the fibers, memory, streams and events behind
// cuda_shim.h.  Compile this file WITHOUT -fsanitize=thread (the kernels with).
//
// HYMN_SHIM_ORDER  forward (default) | reverse | greedy (a warp runs on until the
//                  next block barrier) | a seed > 0 for a random schedule
// HYMN_SHIM_LAZY   1: streams run nothing until someone waits for them, so that
//                  a missing synchronisation or event wait gives wrong data
// HYMN_SHIM_BLOCKS 1, in a build for ThreadSanitizer: also report races between
//                  blocks (kernels must use HYMN_SHARED, not plain __shared__;
//                  at most some 8000 threads in the grid)
// HYMN_SHIM_TRACE  1: one line for each launch
// HYMN_SHIM_GPUS   number of GPUs that a process sees (1)
// HYMN_SHIM_PATIENCE  seconds after which a stream that does not move ends the
//                  process (100)
#include "include/cuda_runtime.h"
#include "stream.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <memory>
#include <new>
#include <sched.h>
#include <time.h>
#include <vector>
#ifdef SHIM_TSAN // the kernels are compiled with -fsanitize=thread
#include <sanitizer/tsan_interface.h>
extern "C" { void AnnotateIgnoreReadsBegin(const char *, int); void AnnotateIgnoreReadsEnd(const char *, int);
             void AnnotateIgnoreWritesBegin(const char *, int); void AnnotateIgnoreWritesEnd(const char *, int); }
// The shim's own data is no kernel's data: nothing of it is checked.
struct Quiet {
    Quiet() { AnnotateIgnoreReadsBegin("", 0); AnnotateIgnoreWritesBegin("", 0); }
    ~Quiet() { AnnotateIgnoreWritesEnd("", 0); AnnotateIgnoreReadsEnd("", 0); }
};
#else
struct Quiet { Quiet() {} ~Quiet() {} };
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace shim {
static void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "cuda_shim: block (%u,%u,%u): ", blockIdx.x, blockIdx.y, blockIdx.z);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

// ---- fibers -----------------------------------------------------------------
enum { STACK = 64 << 10 };
struct Fiber {
    void *sp = nullptr;
    char *stack = nullptr;
    int tid = -1;
    bool done = false;
    Site at{};
    void *tsan = nullptr, *asan = nullptr;
    struct Copy { void *d; std::vector<char> bytes; };
    std::vector<std::vector<Copy>> groups; // cp.async: [open .. committed]
    std::vector<Copy> open;
};
struct Warp { // one rendezvous for each mask in use; a ring of four sets of slots
    struct Meet { unsigned mask = 0, in = 0; int par = 0; Site at{}; char val[4][32][16], sync[4]; };
    std::deque<Meet> m;
};
static struct Block {
    int n = 0, started = 0, ndone = 0, waiting = 0, gen = 0, red[2][3];
    char *sync = nullptr;
    Site at{};
    std::vector<int> order;
    std::deque<Fiber *> ready;
    std::vector<Fiber *> all, idle, by_tid;
    std::vector<Warp> warps;
    std::vector<std::pair<void *, size_t>> sites;
    void *dyn = nullptr;
    std::function<void()> *body = nullptr;
} B;
static Fiber Main, *Cur = &Main;
static char GridEnd; // what the host and later launches wait for
static unsigned Rnd = 0; // 0: no random schedule
static bool Reverse = false, Greedy = false, Lazy = false, Trace = false, TsanBlocks = false;
static unsigned rnd() { Rnd ^= Rnd << 13; Rnd ^= Rnd >> 17; Rnd ^= Rnd << 5; return Rnd; }

extern "C" void shim_swap(void **save, void *load);
#if defined(__x86_64__)
asm(".text\n.globl shim_swap\n.type shim_swap,@function\nshim_swap:\n"
    "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
    "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
    "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
    ".size shim_swap,.-shim_swap\n");
#else
#error "shim_swap: write the register switch for this CPU (or use ucontext)"
#endif

static void set_tid(int t)
{
    threadIdx.x = (unsigned)t % blockDim.x;
    threadIdx.y = (unsigned)t / blockDim.x % blockDim.y;
    threadIdx.z = (unsigned)t / (blockDim.x * blockDim.y);
}
static void go(Fiber *to) // switch to a fiber or to Main
{
    Fiber *from = Cur;
    Cur = to;
    if (to != &Main) set_tid(to->tid);
#ifdef SHIM_TSAN
    __tsan_switch_to_fiber(to->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&from->asan, to == &Main ? Main.stack : to->stack, to == &Main ? 8 << 20 : STACK);
#endif
    shim_swap(&from->sp, to->sp);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(from->asan, nullptr, nullptr);
#endif
}
static void acquire(void *p) { (void)p;
#ifdef SHIM_TSAN
    __tsan_acquire(p);
#endif
}
static void release(void *p) { (void)p;
#ifdef SHIM_TSAN
    __tsan_release(p);
#endif
}
static void fiber_main()
{
#ifdef __SANITIZE_ADDRESS__
    const void *s; size_t n;
    __sanitizer_finish_switch_fiber(nullptr, &s, &n);
    if (!Main.stack) Main.stack = (char *)s;
#endif
    for (;;) {
        (*B.body)();
        if (!Cur->open.empty() || !Cur->groups.empty()) die("thread %d ended with copies in flight (no __pipeline_wait_prior)", Cur->tid);
        B.ndone++;
        if (B.waiting) die("thread %d ended while %d thread(s) wait at %s, %s:%d", Cur->tid, B.waiting, B.at.op, B.at.file, B.at.line);
#ifndef SHIM_TSAN
        // The next thread can use this stack at once: kernels without barriers
        // cost no switch at all.
        if (B.started < B.n && (!Rnd || rnd() & 3)) {
            Cur->tid = B.order[(size_t)B.started++];
            B.by_tid[(size_t)Cur->tid] = Cur;
            set_tid(Cur->tid);
            continue;
        }
#endif
        Cur->done = true;
        release(&GridEnd);
        go(&Main);
    }
}
static Fiber *new_fiber()
{
    Fiber *f;
    if (!B.idle.empty()) { f = B.idle.back(); B.idle.pop_back(); }
    else { f = new Fiber; f->stack = (char *)malloc(STACK); B.all.push_back(f);
           void **sp = (void **)((uintptr_t)(f->stack + STACK) & ~(uintptr_t)63);
           *--sp = nullptr; *--sp = (void *)fiber_main;
           for (int i = 0; i < 6; i++) *--sp = nullptr;
           f->sp = sp; }
    f->done = false;
#ifdef SHIM_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}
static void wake(Fiber *f, bool warp)
{
    bool front = Greedy ? warp || (Rnd && rnd() & 1) : Rnd && rnd() & 1;
    if (front) B.ready.push_front(f); else B.ready.push_back(f);
}
#ifdef SHIM_TSAN
static std::vector<void *> Graves;
#endif
static void run_block()
{
    Quiet q; // for Main; every fiber has its own state
    B.started = B.ndone = B.waiting = B.gen = 0;
    memset(B.red, 0, sizeof B.red);
    B.warps.assign((size_t)(B.n + 31) / 32, Warp());
    B.order.resize((size_t)B.n);
    B.by_tid.assign((size_t)B.n, nullptr);
    B.sync = (char *)malloc(2); // new addresses: nothing carries over between blocks
    for (int i = 0; i < B.n; i++) B.order[(size_t)i] = Reverse ? B.n - 1 - i : i;
    if (Rnd) Greedy = rnd() & 1; // half of the blocks
    if (Rnd) for (int i = B.n - 1; i > 0; i--) std::swap(B.order[(size_t)i], B.order[rnd() % (unsigned)(i + 1)]);
    while (B.ndone < B.n) {
        Fiber *f;
        bool fresh = B.started < B.n && (B.ready.empty() || (!Greedy && (!Rnd || rnd() & 3)));
        if (fresh) { f = new_fiber(); f->tid = B.order[(size_t)B.started++]; B.by_tid[(size_t)f->tid] = f; }
        else if (!B.ready.empty()) { f = B.ready.front(); B.ready.pop_front(); }
        else {
            for (Fiber *w : B.all) if (w->tid >= 0 && !w->done)
                fprintf(stderr, "cuda_shim: thread %d waits at %s, %s:%d\n", w->tid, w->at.op, w->at.file, w->at.line);
            die("deadlock: %d of %d threads ended", B.ndone, B.n);
        }
        go(f);
        if (f->done) {
            f->tid = -1;
#ifdef SHIM_TSAN // a new stack each time, else its reuse looks like a race
            if (TsanBlocks) Graves.push_back(f->tsan); // its id must not be used again
            else __tsan_destroy_fiber(f->tsan);
            for (size_t i = 0; i < B.all.size(); i++) if (B.all[i] == f) { B.all[i] = B.all.back(); B.all.pop_back(); break; }
            free(f->stack); delete f;
#else
            B.idle.push_back(f);
#endif
        }
    }
    if (!TsanBlocks) acquire(&GridEnd);
    free(B.sync);
    for (auto &s : B.sites) { free(s.first); s.first = nullptr; }
}
static std::vector<Fiber *> Waiters; // of the block barrier
static void block_wait(Site at)
{
    Cur->at = at;
    Fiber *next = &Main;
    // Once all threads have started, hand over without a detour through Main.
    if (B.started == B.n && !B.ready.empty()) { next = B.ready.front(); B.ready.pop_front(); }
    if (next != Cur) go(next);
}

int syncthreads(Site at, Vote kind, int mine)
{
    Quiet q;
    int g = B.gen & 1;
    if (B.waiting == 0) { B.at = at; }
    else if (B.at.line != at.line || strcmp(B.at.file, at.file))
        die("threads of one block wait at different barriers: %s:%d (thread %d) and %s:%d", at.file, at.line, Cur->tid, B.at.file, B.at.line);
    if (B.ndone) die("thread %d waits at %s, %s:%d after %d thread(s) ended", Cur->tid, at.op, at.file, at.line, B.ndone);
    B.red[g][0] += mine;
    release(&B.sync[g]);
    if (++B.waiting < B.n) { Waiters.push_back(Cur); block_wait(at); }
    else {
        B.waiting = 0;
        B.gen++;
        memset(B.red[B.gen & 1], 0, sizeof B.red[0]);
        for (Fiber *f : Waiters) wake(f, false);
        Waiters.clear();
        if (Rnd && rnd() & 1) { wake(Cur, false); block_wait(at); }
    }
    acquire(&B.sync[g]);
    return kind == VOTE_OR ? B.red[g][0] != 0 : kind == VOTE_AND ? B.red[g][0] == B.n : B.red[g][0];
}
int lane() { return Cur->tid & 31; }
const void *warp_meet(unsigned mask, const void *val, size_t n, Site at)
{
    Quiet q;
    int w = Cur->tid / 32, l = Cur->tid & 31, last = B.n - 32 * w;
    if (last < 32) mask &= (1u << last) - 1; // lanes that do not exist
    if (!(mask >> l & 1)) die("thread %d calls %s with a mask without itself, %s:%d", Cur->tid, at.op, at.file, at.line);
    Warp::Meet *m = nullptr;
    for (auto &x : B.warps[(size_t)w].m) if (x.mask == mask) m = &x;
    if (!m) { B.warps[(size_t)w].m.emplace_back(); m = &B.warps[(size_t)w].m.back(); m->mask = mask; }
    if (!m->in) m->at = at;
    else if (m->at.line != at.line || strcmp(m->at.op, at.op))
        die("lanes of warp %d meet at different operations: %s %s:%d and %s %s:%d", w, at.op, at.file, at.line, m->at.op, m->at.file, m->at.line);
    int par = m->par;
    memcpy(m->val[par][l], val, n);
    release(&m->sync[par]);
    m->in |= 1u << l;
    if (m->in != mask) block_wait(at);
    else {
        m->in = 0; m->par = (m->par + 1) & 3;
        for (int i = 0; i < 32; i++)
            if (i != l && mask >> i & 1) wake(B.by_tid[(size_t)(32 * w + i)], true);
    }
    acquire(&m->sync[par]);
    return m->val[par];
}

// ---- shared memory, asynchronous copies -------------------------------------
int new_site() { B.sites.emplace_back(nullptr, 0); return (int)B.sites.size() - 1; }
void *shared(int site, size_t bytes)
{
    Quiet q;
    auto &s = B.sites[(size_t)site];
    if (!s.first) { s.first = malloc(bytes); s.second = bytes; memset(s.first, 0xff, bytes); } // NaN
    return s.first;
}
void *dyn_shared() { return B.dyn; }
void cp_async(void *d, const void *s, size_t n, size_t zeros)
{
    if (n != 4 && n != 8 && n != 16) die("asynchronous copy of %zu bytes", n);
    if ((uintptr_t)d % n || (uintptr_t)s % n) die("asynchronous copy: address not aligned to %zu", n);
    char *buf;
    { Quiet q; Cur->open.push_back({ d, std::vector<char>(n) }); buf = Cur->open.back().bytes.data(); }
    if (zeros < n) memcpy(buf, s, n - zeros);
    memset(d, 0xff, n);
}
void cp_commit() { Quiet q; Cur->groups.push_back(std::move(Cur->open)); Cur->open.clear(); }
void cp_wait(int keep)
{
    while ((int)Cur->groups.size() > keep) {
        for (auto &c : Cur->groups.front()) memcpy(c.d, c.bytes.data(), c.bytes.size());
        Quiet q;
        Cur->groups.erase(Cur->groups.begin());
    }
}

// ---- launches, streams, events ----------------------------------------------
static double now() { timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6; }
static double Patience = 100; // seconds without any progress
static void (*Tell)(void) = nullptr;
static void stuck()
{
    if (Tell) Tell();
    die("nothing has ended in any stream for %g s", Patience);
}
static cudaError_t Err = cudaSuccess;
static cudaError_t fail(cudaError_t e) { if (e) Err = e; return e; }
// What a stream does next: true when it is done, false to be asked again later.
typedef std::function<bool()> Item;
typedef std::vector<Item> Graph; // of one stream: what it was given
struct Stream { std::deque<Item> q; bool blocking = true, busy = false; Graph *record = nullptr; };
struct Event { Stream *s = nullptr; std::shared_ptr<bool> fired; double t = 0; };
static Stream Default;
static std::vector<Stream *> Streams{ &Default };
static Stream *str(cudaStream_t s) { return s && s != cudaStreamLegacy && s != cudaStreamPerThread ? (Stream *)s : &Default; }
// As far as it goes without waiting; true if something ended.
static bool advance(Stream *s, const bool *until = nullptr)
{
    bool any = false;
    if (s->busy) return false; // asked for by one of its own items
    s->busy = true;
    while (!s->q.empty() && !(until && *until) && s->q.front()()) { s->q.pop_front(); any = true; }
    s->busy = false;
    return any;
}
static bool advance_all()
{
    bool any = false, more;
    do { more = false; for (size_t i = 0; i < Streams.size(); i++) more |= advance(Streams[i]); any |= more; } while (more);
    return any;
}
// Until the stream is empty, or *until. What it waits for may come from another
// process, which may wait for any stream of this one.
static void drain(Stream *s, const bool *until = nullptr)
{
    double since = 0;
    advance(s, until);
    while (!s->q.empty() && !(until && *until)) {
        if (s->busy) die("a stream is waited for by its own work");
        if (advance(s, until) || advance_all()) { since = 0; continue; }
        if (since == 0) since = now();
        else if (now() - since > Patience * 1e3) stuck();
        sched_yield();
    }
}
static void post_item(Stream *s, Item f)
{
    if (s->record) { s->record->push_back(std::move(f)); return; }
    // The default stream and the blocking streams wait for each other.
    if (s == &Default) { for (size_t i = 0; i < Streams.size(); i++) if (Streams[i] != s && Streams[i]->blocking) drain(Streams[i]); }
    else if (s->blocking) drain(&Default);
    s->q.push_back(std::move(f));
    if (!Lazy) advance_all();
}
static void post(Stream *s, std::function<void()> f) { post_item(s, [f]() { f(); return true; }); }

static void run_grid(const char *name, dim3 g, dim3 b, size_t shmem, std::function<void()> &body)
{
    if (Trace) fprintf(stderr, "cuda_shim: %s<<<(%u,%u,%u),(%u,%u,%u),%zu>>>\n", name, g.x, g.y, g.z, b.x, b.y, b.z, shmem);
    gridDim = g; blockDim = b; B.n = (int)(b.x * b.y * b.z); B.body = &body;
#ifdef SHIM_TSAN
    Main.tsan = __tsan_get_current_fiber();
#endif
    unsigned total = g.x * g.y * g.z;
    for (unsigned i = 0; i < total; i++) {
        unsigned k = Reverse ? total - 1 - i : i;
        blockIdx.x = k % g.x; blockIdx.y = k / g.x % g.y; blockIdx.z = k / (g.x * g.y);
        B.dyn = shmem ? aligned_alloc(128, (shmem + 127) & ~(size_t)127) : nullptr;
#ifdef __SANITIZE_ADDRESS__
        free(B.dyn); B.dyn = shmem ? malloc(shmem) : nullptr; // exact size for the red zone
#endif
        if (shmem) memset(B.dyn, 0xff, shmem);
        run_block();
        free(B.dyn);
    }
    acquire(&GridEnd);
#ifdef SHIM_TSAN
    for (void *t : Graves) __tsan_destroy_fiber(t);
    Graves.clear();
#endif
}
static struct Init {
    Init()
    {
        const char *o = getenv("HYMN_SHIM_ORDER"), *l = getenv("HYMN_SHIM_LAZY");
        Reverse = o && !strcmp(o, "reverse");
        Greedy = o && !strcmp(o, "greedy");
        Rnd = o ? (unsigned)atoi(o) * 2654435761u : 0;
        Lazy = l && *l == '1';
        Trace = getenv("HYMN_SHIM_TRACE") != nullptr;
        if (getenv("HYMN_SHIM_PATIENCE")) Patience = atof(getenv("HYMN_SHIM_PATIENCE"));
        TsanBlocks = getenv("HYMN_SHIM_BLOCKS") != nullptr;
    }
} Init_;
void launch(const char *name, dim3 g, dim3 b, size_t shmem, cudaStream_t s, std::function<void()> body)
{
    unsigned n = b.x * b.y * b.z;
    if (!n || n > 1024 || b.z > 64 || !g.x || !g.y || !g.z || g.y > 65535 || g.z > 65535) { fail(cudaErrorInvalidConfiguration); return; }
    if (shmem > 227 << 10) { fail(cudaErrorInvalidValue); return; }
    post(str(s), [=]() mutable { run_grid(name, g, b, shmem, body); });
}
} // namespace shim
using namespace shim;

extern "C" {
void shim_post(cudaStream_t s, int (*poll)(void *), void *arg) { post_item(str(s), [=] { return poll(arg) != 0; }); }
void shim_progress(void) { advance_all(); }
void shim_lazy(int on) { cudaDeviceSynchronize(); Lazy = on != 0; }
void shim_on_stuck(void (*tell)(void)) { Tell = tell; }
}

// ---- the part of the runtime's C interface that the project calls -----------
static std::map<char *, size_t> Mem;
static bool is_dev(const void *p)
{
    auto it = Mem.upper_bound((char *)p);
    return it != Mem.begin() && (--it, (char *)p < it->first + it->second);
}
void shim_memory(void *p, size_t n)
{
    if (n) Mem[(char *)p] = n; else Mem.erase((char *)p);
}
static cudaError_t check_kind(const void *d, const void *s, cudaMemcpyKind k)
{
    if (k == cudaMemcpyDefault) return cudaSuccess;
    bool wd = k == cudaMemcpyHostToDevice || k == cudaMemcpyDeviceToDevice, ws = k == cudaMemcpyDeviceToHost || k == cudaMemcpyDeviceToDevice;
    return is_dev(d) == wd && is_dev(s) == ws ? cudaSuccess : fail(cudaErrorInvalidValue);
}
extern "C" {
cudaError_t cudaMalloc(void **p, size_t n)
{
    if (!(*p = n ? malloc(n) : nullptr) && n) return fail(cudaErrorMemoryAllocation);
    if (n) { Mem[(char *)*p] = n; memset(*p, 0xff, n); } // NaN until written
    return cudaSuccess;
}
cudaError_t cudaFree(void *p) { if (p && !Mem.erase((char *)p)) return fail(cudaErrorInvalidValue); cudaDeviceSynchronize(); free(p); return cudaSuccess; }
cudaError_t cudaMallocHost(void **p, size_t n) { *p = malloc(n ? n : 1); return *p ? cudaSuccess : fail(cudaErrorMemoryAllocation); }
cudaError_t cudaFreeHost(void *p) { cudaDeviceSynchronize(); free(p); return cudaSuccess; }
cudaError_t cudaMemcpyAsync(void *d, const void *s, size_t n, cudaMemcpyKind k, cudaStream_t st)
{ if (check_kind(d, s, k)) return cudaErrorInvalidValue; post(str(st), [=] { memcpy(d, s, n); }); return cudaSuccess; }
cudaError_t cudaMemcpy(void *d, const void *s, size_t n, cudaMemcpyKind k)
{ cudaError_t e = cudaMemcpyAsync(d, s, n, k, 0); drain(&Default); return e; }
cudaError_t cudaMemsetAsync(void *d, int v, size_t n, cudaStream_t st)
{ if (!is_dev(d)) return fail(cudaErrorInvalidValue); post(str(st), [=] { memset(d, v, n); }); return cudaSuccess; }
cudaError_t cudaMemset(void *d, int v, size_t n) { return cudaMemsetAsync(d, v, n, 0); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags) { auto *p = new Stream; p->blocking = !(flags & cudaStreamNonBlocking); Streams.push_back(p); *s = (cudaStream_t)p; return cudaSuccess; }
cudaError_t cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { drain(str(s)); return cudaSuccess; }
cudaError_t cudaStreamDestroy(cudaStream_t s) { Stream *p = str(s); drain(p); for (auto &x : Streams) if (x == p) { x = Streams.back(); Streams.pop_back(); break; } delete p; return cudaSuccess; }
cudaError_t cudaDeviceSynchronize(void) { for (size_t i = 0; i < Streams.size(); i++) drain(Streams[i]); return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) { *e = (cudaEvent_t) new Event; return cudaSuccess; }
cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t e) { delete (Event *)e; return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    auto *v = (Event *)e; v->s = str(s); v->fired = std::make_shared<bool>(false);
    auto f = v->fired; post(v->s, [v, f] { *f = true; v->t = now(); }); return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e) { auto *v = (Event *)e; if (v->fired) drain(v->s, v->fired.get()); return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b) { *ms = (float)(((Event *)b)->t - ((Event *)a)->t); return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    auto *v = (Event *)e; if (!v->fired) return cudaSuccess;
    auto f = v->fired; auto *o = v->s; post_item(str(s), [f, o] { if (!*f) advance(o, f.get()); return *f; }); return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t s, cudaHostFn_t fn, void *arg) { post(str(s), [=] { fn(arg); }); return cudaSuccess; }
cudaError_t cudaFuncSetAttribute(const void *, cudaFuncAttribute, int v) { return v <= 227 << 10 ? cudaSuccess : fail(cudaErrorInvalidValue); }
cudaError_t cudaGetDeviceCount(int *n) { const char *e = getenv("HYMN_SHIM_GPUS"); *n = e ? atoi(e) : 1; return cudaSuccess; }
static int Device = 0;
cudaError_t cudaSetDevice(int d) { int n; cudaGetDeviceCount(&n); if (d < 0 || d >= n) return fail(cudaErrorInvalidDevice); Device = d; return cudaSuccess; }
cudaError_t cudaGetDevice(int *d) { *d = Device; return cudaSuccess; }
cudaError_t cudaGetLastError(void) { cudaError_t e = Err; Err = cudaSuccess; return e; }
cudaError_t cudaPeekAtLastError(void) { return Err; }
const char *cudaGetErrorName(cudaError_t e) { return e == cudaSuccess ? "cudaSuccess" : e == cudaErrorInvalidConfiguration ? "cudaErrorInvalidConfiguration" : e == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "cudaErrorInvalidValue"; }
const char *cudaGetErrorString(cudaError_t e) { return cudaGetErrorName(e); }
}
extern "C" cudaError_t cudaMemcpy2DAsync(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h, cudaMemcpyKind k, cudaStream_t st)
{
    if (check_kind(d, s, k)) return cudaErrorInvalidValue;
    post(str(st), [=] { for (size_t r = 0; r < h; r++) memcpy((char *)d + r * dp, (const char *)s + r * sp, w); });
    return cudaSuccess;
}

extern "C" {
cudaError_t cudaMemGetInfo(size_t *f, size_t *t) { *t = (size_t)16 << 30; size_t used = 0; for (auto &m : Mem) used += m.second; *f = *t - used; return cudaSuccess; }
cudaError_t cudaHostAlloc(void **p, size_t n, unsigned) { return cudaMallocHost(p, n); }
cudaError_t cudaEventQuery(cudaEvent_t e) { auto *v = (Event *)e; if (v->fired) advance(v->s, v->fired.get()); return !v->fired || *v->fired ? cudaSuccess : cudaErrorNotReady; }
cudaError_t cudaStreamQuery(cudaStream_t s) { advance(str(s)); return str(s)->q.empty() ? cudaSuccess : cudaErrorNotReady; }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *s, unsigned flags, int) { return cudaStreamCreateWithFlags(s, flags); }
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int *v) { *v = CUDART_VERSION; return cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int *v) { *v = CUDART_VERSION; return cudaSuccess; }
cudaError_t cudaMemcpy2D(void *d, size_t dp, const void *s, size_t sp, size_t w, size_t h, cudaMemcpyKind k) { cudaError_t e = cudaMemcpy2DAsync(d, dp, s, sp, w, h, k, 0); drain(&Default); return e; }
cudaError_t cudaMemset2DAsync(void *d, size_t p, int v, size_t w, size_t h, cudaStream_t st) { post(str(st), [=] { for (size_t r = 0; r < h; r++) memset((char *)d + r * p, v, w); }); return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int d) { memset(p, 0, sizeof *p); p->uuid.bytes[0] = (char)(d + 1); strcpy(p->name, "CPU"); p->major = 9; p->totalGlobalMem = (size_t)16 << 30; p->multiProcessorCount = 132; p->warpSize = 32; p->maxThreadsPerBlock = 1024; p->sharedMemPerBlock = 48 << 10; p->sharedMemPerBlockOptin = 227 << 10; return cudaSuccess; }
}
extern "C" {
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode)
{
    if (str(s) == &Default || str(s)->record) return fail(cudaErrorInvalidValue);
    str(s)->record = new Graph;
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, cudaStreamCaptureStatus *st)
{
    *st = str(s)->record ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
    *g = (cudaGraph_t)str(s)->record;
    str(s)->record = nullptr;
    return *g ? cudaSuccess : fail(cudaErrorInvalidValue);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *e, cudaGraph_t g, unsigned long long) { *e = (cudaGraphExec_t) new Graph(*(Graph *)g); return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) { for (auto &f : *(Graph *)e) post_item(str(s), f); return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) { delete (Graph *)e; return cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t g) { delete (Graph *)g; return cudaSuccess; }
}
