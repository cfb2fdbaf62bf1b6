/* Blocks of threads as fibers: who runs when, barriers, and what lanes of a warp exchange. */
#include "emulator.h"

#include "cuda_runtime.h"
#include "inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { THREADS_MOST = 1024, WARP = 32, STACK = 64 << 10, ARGUMENTS_MOST = 4096 }; /* the last as CUDA has it */
enum { SHARED_MOST = 48 << 10 }; /* without asking for more */

struct emulator_index threadIdx, blockIdx, blockDim, gridDim;
emulator_now emulator_is;

typedef enum state { READY, AT_BARRIER, AT_WARP, ENDED } state;
typedef enum operation { SHUFFLE, BALLOT, MULTIPLY } operation; /* of a warp */

/* Where a fiber, or the scheduler, goes on: gcc's own jumps, since swapcontext asks the system at every switch. */
typedef void *place[5];

typedef struct fiber {
    place place;
    bool begun; /* it has a stack, and waits somewhere or for its next kernel */
    state state;
    int line;                 /* of the source, at which it waits */
    unsigned mask;            /* of a warp operation */
    operation operation;
    int lanes;                /* of a shuffle: whose value it wants */
    unsigned long long value; /* what it gives, then what it gets */
    emulator_fragment fragment; /* of a product */
} fiber;

static fiber fibers[THREADS_MOST];
static char *stacks;
static place scheduler;
static emulator_order turns;
static uint32_t shuffled = 1;
static bool launch_ended;
static void *shared;

typedef struct launch {
    const char *kernel;
    void (*run)(const void *arguments);
    size_t argument_bytes, shared_bytes;
    unsigned grid, threads;
    _Alignas(16) char arguments[ARGUMENTS_MOST];
} launch;

static launch launched;

static size_t fault_count;
static char first_fault[256];

void emulator_fault(const char *format, ...) {
    if (fault_count++ > 0)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(first_fault, sizeof first_fault, format, arguments);
    va_end(arguments);
}

size_t emulator_faults(void) {
    size_t count = fault_count;
    fault_count = 0;
    emulator_set_error(cudaSuccess, true);
    if (count > 0)
        fprintf(stderr, "emulator: %zu faults, the first: %s\n", count, first_fault);
    return count;
}

const char *emulator_first_fault(void) { return first_fault; }

void emulator_turns(emulator_order order) { turns = order; }

void *emulator_shared(void) { return shared; }

/* ---- within a thread ---- */

/* A function out of which one jumps: no caller may know which registers it leaves alone, since another fiber uses them all. */
#define APART __attribute__((noipa))

static _Noreturn APART void schedule(void) {
    emulator_is.running = false;
    __builtin_longjmp(scheduler, 1);
}

static APART void pause_thread(void) {
    if (__builtin_setjmp(fibers[emulator_is.thread].place) == 0)
        schedule();
}

_Noreturn void emulator_end_launch(void) {
    launch_ended = true;
    schedule();
}

static void wait_at(state what, int line) {
    fibers[emulator_is.thread].state = what;
    fibers[emulator_is.thread].line = line;
    pause_thread();
}

void emulator_barrier(int line) { wait_at(AT_BARRIER, line); }

static unsigned long long exchange(fiber give, int line) {
    fiber *me = &fibers[emulator_is.thread];
    me->mask = give.mask;
    me->operation = give.operation;
    me->fragment = give.fragment;
    me->lanes = give.lanes;
    me->value = give.value;
    wait_at(AT_WARP, line);
    return me->value;
}

unsigned long long emulator_shuffle_xor(unsigned mask, unsigned long long value, int lanes, int line) {
    return exchange((fiber){.mask = mask, .value = value, .lanes = lanes}, line);
}

unsigned emulator_ballot(unsigned mask, int predicate, int line) {
    return (unsigned)exchange((fiber){.mask = mask, .value = predicate != 0, .operation = BALLOT}, line);
}

void emulator_multiply(float sums[4], const unsigned rows[4], const unsigned columns[2], int line) {
    exchange((fiber){.mask = UINT32_MAX, .operation = MULTIPLY, .fragment = {sums, rows, columns}}, line);
}

#define ATOMICALLY(name, condition)                                                          \
    unsigned long long name(unsigned long long *cell, unsigned long long value) {            \
        emulator_atomic(cell, sizeof *cell);                                                 \
        unsigned long long old = *cell;                                                      \
        *cell = condition;                                                                   \
        return old;                                                                          \
    }
ATOMICALLY(atomicMax, value > old ? value : old)
ATOMICALLY(atomicMin, value < old ? value : old)
ATOMICALLY(atomicAdd, old + value)

/* A fiber runs one kernel after the other, as the thread of its number. */
static void enter_thread(void) {
    for (;;) {
        launched.run(launched.arguments);
        fibers[emulator_is.thread].state = ENDED;
        pause_thread();
    }
}

/* ---- of a block ---- */

static APART void begin_fiber(unsigned t) {
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks + (size_t)t * STACK;
    context.uc_stack.ss_size = STACK;
    context.uc_link = NULL;
    makecontext(&context, enter_thread, 0);
    fibers[t].begun = true;
    setcontext(&context);
}

static APART void go_on(unsigned t) {
    if (fibers[t].begun)
        __builtin_longjmp(fibers[t].place, 1);
    begin_fiber(t);
}

static APART void run_thread(unsigned t) {
    threadIdx.x = t;
    emulator_is.thread = t;
    emulator_is.stack = stacks + (size_t)t * STACK;
    emulator_is.stack_bytes = STACK;
    emulator_is.running = true;
    if (__builtin_setjmp(scheduler) == 0)
        go_on(t);
}

/* Hands out what all lanes of a whole warp have multiplied. */
static void multiply(const fiber *lanes) {
    emulator_fragment fragments[WARP];
    for (unsigned lane = 0; lane < WARP; lane++)
        fragments[lane] = lanes[lane].fragment;
    emulator_multiply_warp(fragments);
}

/* Lets the lanes of a warp that all wait at the same operation have its result. */
static void finish_warp(unsigned first, unsigned threads) {
    const unsigned lanes = threads - first < WARP ? threads - first : WARP;
    unsigned waiting = 0, votes = 0;
    unsigned long long values[WARP] = {0};
    for (unsigned lane = 0; lane < lanes; lane++) {
        const fiber *f = &fibers[first + lane];
        if (f->state != AT_WARP)
            continue;
        waiting |= 1u << lane;
        votes |= (f->value != 0 ? 1u : 0u) << lane;
        values[lane] = f->value;
    }
    for (unsigned lane = 0; lane < lanes; lane++) {
        const fiber *f = &fibers[first + lane];
        if (f->state == AT_WARP && f->operation == MULTIPLY && lanes < WARP)
            return; /* half a warp cannot */
        const unsigned here = lanes == WARP ? f->mask : f->mask & ((1u << lanes) - 1);
        if (f->state != AT_WARP || here != waiting || f->line != fibers[first + (unsigned)__builtin_ctz(waiting)].line)
            return; /* one is missing, or waits elsewhere */
    }
    if (fibers[first + (unsigned)__builtin_ctz(waiting)].operation == MULTIPLY)
        multiply(fibers + first);
    for (unsigned lane = 0; lane < lanes; lane++) {
        fiber *f = &fibers[first + lane];
        f->value = f->operation == BALLOT ? votes : values[(lane ^ (unsigned)f->lanes) % WARP];
        f->state = READY;
    }
}

static unsigned count_of(state what, unsigned threads) {
    unsigned count = 0;
    for (unsigned t = 0; t < threads; t++)
        count += fibers[t].state == what;
    return count;
}

static unsigned turn(unsigned i, unsigned threads) {
    if (turns == EMULATOR_FALLING)
        return threads - 1 - i;
    if (turns == EMULATOR_RISING)
        return i;
    return (unsigned)(((uint64_t)i * 7919 + shuffled) % threads); /* 7919 is prime and no factor of a number of threads */
}

/* All that can run have run. Whether a barrier has been passed; if not, and not all have ended, they wait for ever. */
static bool pass_barrier(unsigned threads) {
    const unsigned waiting = count_of(AT_BARRIER, threads);
    bool together = waiting == threads;
    for (unsigned t = 0; t < threads; t++)
        together = together && fibers[t].line == fibers[0].line;
    if (!together) {
        emulator_fault("%s: block %u: a barrier or warp operation that %u of %u threads do not reach", emulator_is.kernel,
                       emulator_is.block, threads - waiting, threads);
        launch_ended = true;
        return false;
    }
    for (unsigned t = 0; t < threads; t++)
        fibers[t].state = READY;
    emulator_is.interval++;
    return true;
}

static void run_block(unsigned threads) {
    emulator_is.interval++;
    emulator_forget_shared();
    for (unsigned t = 0; t < threads; t++)
        fibers[t].state = READY;
    while (!launch_ended && count_of(ENDED, threads) < threads) {
        shuffled = shuffled * 1664525u + 1013904223u;
        for (unsigned i = 0; i < threads && !launch_ended; i++) {
            const unsigned t = turn(i, threads);
            if (fibers[t].state == READY)
                run_thread(t);
        }
        const bool exchanging = count_of(AT_WARP, threads) > 0;
        for (unsigned first = 0; first < threads && exchanging; first += WARP)
            finish_warp(first, threads);
        if (!launch_ended && count_of(READY, threads) == 0 && count_of(ENDED, threads) < threads)
            pass_barrier(threads);
    }
}

static void *map_stacks(void) {
    void *memory = mmap(NULL, (size_t)THREADS_MOST * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void run_launch(void *data) {
    launched = *(const launch *)data;
    emulator_kernels++;
    emulator_is.arguments = launched.arguments;
    emulator_is.argument_bytes = launched.argument_bytes;
    shared = emulator_take(launched.shared_bytes, true);
    blockDim.x = launched.threads;
    gridDim.x = launched.grid;
    emulator_is.kernel = launched.kernel;
    emulator_is.threads = launched.threads;
    emulator_is.launch = ++emulator_is.interval;
    launch_ended = false;
    for (unsigned b = 0; b < launched.grid && !launch_ended; b++) {
        blockIdx.x = emulator_is.block = turns == EMULATOR_FALLING ? launched.grid - 1 - b : b;
        run_block(launched.threads);
    }
    emulator_give(shared);
    if (launch_ended) { /* fibers stand in the middle of it */
        memset(fibers, 0, sizeof fibers);
        emulator_set_error(cudaErrorIllegalAddress, true);
    }
}

void emulator_launch(const char *kernel, void (*run)(const void *arguments), const void *arguments, size_t argument_bytes,
                     unsigned grid, unsigned threads, size_t shared_bytes, cudaStream_t stream) {
    stacks = stacks ? stacks : map_stacks();
    if (grid < 1 || grid > INT32_MAX || threads < 1 || threads > THREADS_MOST || shared_bytes > SHARED_MOST ||
        argument_bytes > ARGUMENTS_MOST || !stacks) {
        emulator_set_error(cudaErrorInvalidConfiguration, false);
        return;
    }
    if (!emulator_is_stream(stream))
        emulator_fault("%s: launched on what is no stream", kernel);
    if (emulator_is_busy())
        emulator_fault("%s: launched on a stream that waits", kernel);
    launch queued = {.kernel = kernel, .run = run, .argument_bytes = argument_bytes, .shared_bytes = shared_bytes, .grid = grid,
                     .threads = threads};
    memcpy(queued.arguments, arguments, argument_bytes);
    emulator_queue(stream, run_launch, &queued, sizeof queued);
}
