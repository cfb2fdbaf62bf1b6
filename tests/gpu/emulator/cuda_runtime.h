/* cuda_runtime.h: what kernels use of CUDA C, in C, for the emulator. A kernel's threads are fibers of one thread of the process,
 * so these "registers" are plain variables that change with the fiber.
 */
#ifndef PB_TESTS_EMULATOR_CUDA_RUNTIME_H
#define PB_TESTS_EMULATOR_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define __global__
#define __device__

struct emulator_index {
    unsigned x;
};
extern struct emulator_index threadIdx, blockIdx, blockDim, gridDim;

void emulator_barrier(int line);
unsigned long long emulator_shuffle_xor(unsigned mask, unsigned long long value, int lanes, int line);
unsigned emulator_ballot(unsigned mask, int predicate, int line);
void emulator_multiply(float sums[4], const unsigned rows[4], const unsigned columns[2], int line);
unsigned long long atomicMax(unsigned long long *cell, unsigned long long value);
unsigned long long atomicMin(unsigned long long *cell, unsigned long long value);
unsigned long long atomicAdd(unsigned long long *cell, unsigned long long value);

#define __syncthreads() emulator_barrier(__LINE__)
#define __shfl_xor_sync(mask, value, lanes) emulator_shuffle_xor((mask), (value), (lanes), __LINE__)
#define __ballot_sync(mask, predicate) emulator_ballot((mask), (predicate), __LINE__)
#define __popc(bits) __builtin_popcount(bits)

/* 16 bytes that move at once. */
typedef struct uint4 {
    _Alignas(16) unsigned x;
    unsigned y, z, w;
} uint4;

static inline unsigned __float_as_uint(float value) {
    unsigned bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float __uint_as_float(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* What stands for kernel<<<grid, threads, shared, stream>>>(arguments); run calls the kernel with a copy of its arguments. */
void emulator_launch(const char *kernel, void (*run)(const void *arguments), const void *arguments, size_t argument_bytes,
                     unsigned grid, unsigned threads, size_t shared_bytes, cudaStream_t stream);

/* The block's shared memory. */
void *emulator_shared(void);

#endif
