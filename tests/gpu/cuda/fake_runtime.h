/* fake_runtime.h, private to tests/gpu/cuda/: the calls of CUDA's runtime that networks make, on the CPU, and the kernels at both
 * ends of a network and of its layers on tokens.
 *
 * Device memory is memory of the process, exactly as long as asked for and full of 0xFF. Streams do everything at once, unless
 * work is captured: then it is done when the graph is launched. The fake cuDNN's work goes the same way, and that of layers on
 * tokens, which the plain twin does.
 */
#ifndef PB_TESTS_GPU_CUDA_FAKE_RUNTIME_H
#define PB_TESTS_GPU_CUDA_FAKE_RUNTIME_H

#include <cuda_runtime_api.h>
#include <stddef.h>

typedef struct fake_runtime {
    int fail_at;            /* number of the call that fails, from 1; 0: none */
    cudaError_t failure;    /* what it answers */
    int calls;              /* made so far, of those that may fail */
    int allocations;        /* alive */
    size_t bytes, most;     /* allocated now, and at most */
    size_t room;            /* cudaMalloc refuses to go over it; 0: no limit */
    int kernels;            /* of layers on tokens, queued */
} fake_runtime;

extern fake_runtime fake_cuda;

/* A stream to pass around. */
#define FAKE_STREAM ((cudaStream_t)(void *)&fake_cuda)

/* Makes the fake cuDNN's work go to the stream. Once, before the first network. */
void fake_runtime_begin(void);

#endif
