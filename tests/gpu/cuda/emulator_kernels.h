/* emulator_kernels.h: what the emulator must find, and the two that are right. The order is that of emulator_kernels.cu. */
#ifndef PB_TESTS_GPU_CUDA_EMULATOR_KERNELS_H
#define PB_TESTS_GPU_CUDA_EMULATOR_KERNELS_H

#include <cuda_runtime_api.h>

enum { FAULT_THREADS = 64 };

typedef enum fault {
    FAULT_NONE,
    FAULT_NO_BARRIER,
    FAULT_NOBODY_WROTE,
    FAULT_NO_SECOND_BARRIER,
    FAULT_READS_BEYOND,
    FAULT_WRITES_BEFORE,
    FAULT_SHARED_BEYOND,
    FAULT_BLOCKS_WRITE,
    FAULT_BLOCKS_READ,
    FAULT_PLAIN_MEETS_ATOMIC,
    FAULT_NONE_ATOMIC,
    FAULT_BARRIER_OF_SOME,
    FAULT_TWO_BARRIERS,
    FAULT_LANE_MISSING,
    FAULT_PRODUCT_OF_SOME
} fault;

/* Runs floats / FAULT_THREADS blocks over that many floats. */
cudaError_t launch_fault(fault what, float *memory, size_t floats, unsigned threads);

/* sums[16][8] += rows[16][16] times columns[8][16], of halves, by one warp. */
cudaError_t launch_product(const unsigned short *rows, const unsigned short *columns, float *sums);

#endif
