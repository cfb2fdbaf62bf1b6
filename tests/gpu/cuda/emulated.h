/* emulated.h: device memory and kernels of the emulator, for tests: each kernel runs with its threads in every order, nothing may
 * be found by the emulator, and nothing may be left behind. */
#ifndef PB_TESTS_GPU_CUDA_EMULATED_H
#define PB_TESTS_GPU_CUDA_EMULATED_H

#include "arrays.h"
#include "emulator.h"
#include "gpu/cuda/kernels.h"
#include "gpu/ref.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static const emulator_order ORDERS[] = {EMULATOR_RISING, EMULATOR_FALLING, EMULATOR_SHUFFLED};

static inline void assert_cuda(cudaError_t error) {
    cr_assert_eq(error, cudaSuccess, "%s %s", cudaGetErrorName(error), emulator_first_fault());
}

/* Device memory with these bytes, or with `bytes` of 0xFF for NULL. */
static inline void *on_device(const void *from, size_t bytes) {
    void *memory;
    assert_cuda(cudaSetDevice(0));
    assert_cuda(cudaMalloc(&memory, bytes));
    if (from)
        assert_cuda(cudaMemcpyAsync(memory, from, bytes, cudaMemcpyHostToDevice, NULL));
    return memory;
}

/* Copies back and frees. */
static inline void off_device(void *to, void *memory, size_t bytes) {
    assert_cuda(cudaMemcpyAsync(to, memory, bytes, cudaMemcpyDeviceToHost, NULL));
    assert_cuda(cudaFree(memory));
}

/* At the end of a case: no fault of the kernels, and all memory freed. */
static inline void assert_sound(void) {
    cr_assert_eq(emulator_faults(), 0, "%s", emulator_first_fault());
    cr_assert_eq(emulator_living(), 0);
}

#endif
