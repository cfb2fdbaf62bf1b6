/* The FMA rate of a GPU: 8 chains a thread, which is more than the latency of 4 needs, 8 warps a scheduler, nothing but
 * registers. The result is stored so that nothing is left out; x and c are arguments so that nothing is known beforehand. */
extern "C" {
#include "ceiling.h"
}

enum { CHAINS = 8, THREADS = 256, ROUNDS = 1 << 14, LAUNCHES = 7 };

__global__ static void chains(float x, float c, float *out) {
    float sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = (float)(threadIdx.x + i);
#pragma unroll 4
    for (int round = 0; round < ROUNDS; round++)
#pragma unroll
        for (int i = 0; i < CHAINS; i++)
            sums[i] = __fmaf_rn(sums[i], x, c);
    float all = 0;
    for (int i = 0; i < CHAINS; i++)
        all += sums[i];
    out[blockIdx.x * THREADS + threadIdx.x] = all;
}

/* Seconds of a launch, or 0. The first one is for loading the code. */
static float least_seconds(unsigned blocks, float *out, cudaEvent_t begun, cudaEvent_t ended) {
    float least = 0;
    for (int launch = 0; launch <= LAUNCHES; launch++) {
        float milliseconds = 0;
        cudaEventRecord(begun);
        chains<<<blocks, THREADS>>>(0.999f, 0.001f, out);
        cudaEventRecord(ended);
        if (cudaEventSynchronize(ended) != cudaSuccess || cudaEventElapsedTime(&milliseconds, begun, ended) != cudaSuccess)
            return 0;
        if (launch > 0 && (least == 0 || milliseconds < least))
            least = milliseconds;
    }
    return least / 1000;
}

double bench_gpu_fma_rate(int ordinal) {
    int multiprocessors = 0;
    float *out = NULL;
    cudaEvent_t begun = NULL, ended = NULL;
    double rate = 0;
    cudaSetDevice(ordinal);
    cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, ordinal);
    const unsigned blocks = (unsigned)multiprocessors * 4 * 8; /* 8 rounds of 4 blocks */
    if (blocks > 0 && cudaMalloc((void **)&out, (size_t)blocks * THREADS * sizeof *out) == cudaSuccess &&
        cudaEventCreate(&begun) == cudaSuccess && cudaEventCreate(&ended) == cudaSuccess) {
        const float seconds = least_seconds(blocks, out, begun, ended);
        rate = seconds > 0 ? (double)blocks * THREADS * CHAINS * ROUNDS / seconds : 0;
    }
    if (ended)
        cudaEventDestroy(ended);
    if (begun)
        cudaEventDestroy(begun);
    cudaFree(out);
    return rate;
}
