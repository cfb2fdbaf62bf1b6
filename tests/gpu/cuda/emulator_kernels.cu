/* Kernels with faults, for test_emulator.c, and their correct twins. */
#include "emulator_kernels.h"

#include "gpu/cuda/lanes.h"

typedef struct fault_arguments {
    fault what;
    float *memory;
    size_t floats;
} fault_arguments;

enum { THREADS = FAULT_THREADS };

/* Turns values of a block round through shared memory. */
static void reversed(const fault_arguments a) {
    SHARED(float, slab);
    const size_t first = (size_t)blockIdx.x * THREADS;
    if (a.what != FAULT_NOBODY_WROTE || threadIdx.x > 0)
        slab[threadIdx.x] = a.memory[first + threadIdx.x];
    if (a.what != FAULT_NO_BARRIER)
        __syncthreads();
    a.memory[first + threadIdx.x] = slab[THREADS - 1 - threadIdx.x];
    if (a.what == FAULT_NO_SECOND_BARRIER)
        slab[threadIdx.x] = 0;
}

static void beyond(const fault_arguments a) {
    if (a.what == FAULT_READS_BEYOND)
        a.memory[threadIdx.x] = a.memory[a.floats];
    if (a.what == FAULT_WRITES_BEFORE)
        a.memory[-1] = 0;
    if (a.what == FAULT_SHARED_BEYOND) {
        SHARED(float, slab);
        slab[threadIdx.x + 1] = 0;
    }
}

static void blocks_meet(const fault_arguments a) {
    const size_t last = a.floats - 1;
    if (threadIdx.x > 0)
        return;
    if (a.what == FAULT_BLOCKS_WRITE)
        a.memory[last] = 1;
    else if (a.what == FAULT_BLOCKS_READ && blockIdx.x == 0)
        a.memory[0] = 1;
    else if (a.what == FAULT_BLOCKS_READ)
        a.memory[THREADS] = a.memory[0];
    else if (a.what == FAULT_PLAIN_MEETS_ATOMIC && blockIdx.x == 0)
        atomicMax((packed_pair *)a.memory, 1);
    else if (a.what == FAULT_PLAIN_MEETS_ATOMIC)
        a.memory[THREADS] = a.memory[0];
    else
        atomicMax((packed_pair *)a.memory, 1);
}

static void waits(const fault_arguments a) {
    if (a.what == FAULT_BARRIER_OF_SOME && threadIdx.x < THREADS / 2)
        __syncthreads();
    if (a.what == FAULT_TWO_BARRIERS) {
        if (threadIdx.x % 2)
            __syncthreads();
        else
            __syncthreads();
    }
    if (a.what == FAULT_LANE_MISSING && threadIdx.x != 7)
        a.memory[threadIdx.x] = (float)__ballot_sync(ALL_LANES, 1);
    if (a.what == FAULT_PRODUCT_OF_SOME && threadIdx.x % WARP > 0) {
        float sums[4] = {0};
        const unsigned rows[4] = {0}, columns[2] = {0};
        warp_multiply(sums, rows, columns);
    }
}

KERNEL(faulty, fault_arguments, THREADS, 1) {
    if (a.what <= FAULT_NO_SECOND_BARRIER)
        reversed(a);
    else if (a.what <= FAULT_SHARED_BEYOND)
        beyond(a);
    else if (a.what <= FAULT_NONE_ATOMIC)
        blocks_meet(a);
    else
        waits(a);
}

cudaError_t launch_fault(fault what, float *memory, size_t floats, unsigned threads) {
    const fault_arguments arguments = {what, memory, floats};
    LAUNCH(faulty, (unsigned)(floats / THREADS), threads, THREADS * sizeof(float), NULL, arguments);
    return cudaGetLastError();
}

typedef struct product_arguments {
    const unsigned short *rows, *columns;
    float *sums;
} product_arguments;

static unsigned two_halves(const unsigned short *first) { return first[0] | (unsigned)first[1] << 16; }

/* Places as lanes.h has them. */
KERNEL(product, product_arguments, WARP, 1) {
    const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    const unsigned short *row = a.rows + g * 16 + 2 * t, *column = a.columns + g * 16 + 2 * t;
    const unsigned rows[4] = {two_halves(row), two_halves(row + 8 * 16), two_halves(row + 8), two_halves(row + 8 * 16 + 8)};
    const unsigned columns[2] = {two_halves(column), two_halves(column + 8)};
    float *upper = a.sums + g * 8 + 2 * t, *lower = upper + 8 * 8;
    float sums[4] = {upper[0], upper[1], lower[0], lower[1]};
    warp_multiply(sums, rows, columns);
    upper[0] = sums[0];
    upper[1] = sums[1];
    lower[0] = sums[2];
    lower[1] = sums[3];
}

cudaError_t launch_product(const unsigned short *rows, const unsigned short *columns, float *sums) {
    const product_arguments arguments = {rows, columns, sums};
    LAUNCH(product, 1, WARP, 0, NULL, arguments);
    return cudaGetLastError();
}
