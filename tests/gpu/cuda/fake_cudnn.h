/* fake_cudnn.h, private to tests/gpu/cuda/: a libcudnn.so.9 that does what the real one says it does, on the CPU.
 *
 * Objects keep the attributes they were given. Execution plans are run by the simulator, from the attributes alone: nothing of
 * gpu/cuda/ tells it what the graph was meant to be. What the real library would not accept (an object used before it is
 * finalized, or after one it refers to was destroyed; a type of sum other than float) aborts.
 */
#ifndef PB_TESTS_GPU_CUDA_FAKE_CUDNN_H
#define PB_TESTS_GPU_CUDA_FAKE_CUDNN_H

#include <cudnn.h>
#include <stdbool.h>

/* An engine configuration that heuristics propose, and what becomes of a plan of it. */
typedef struct fake_engine {
    cudnnBackendHeurMode_t mode;
    int note_count;
    cudnnBackendNumericalNote_t notes[4];
    int64_t workspace;
    cudnnStatus_t refusal; /* of the plan; CUDNN_STATUS_SUCCESS: none */
    bool only_io_bias;     /* refuses graphs whose bias has not the type of the source */
    bool no_attention;     /* refuses attention */
} fake_engine;

typedef struct fake_cudnn {
    size_t version;
    const fake_engine *engines;
    int engine_count;
    int driver;            /* version of, in the description of a device that is named by its number */
    int fail_at;           /* number of the call that fails, from 1; 0: none */
    cudnnStatus_t failure; /* what it answers */
    int calls;             /* made so far, of those that may fail */
    int objects, handles;  /* alive */
    int plans_made, plans_restored, runs;
    int attention_refused; /* plans for it */
    void (*queue)(void (*run)(void *), void (*drop)(void *), void *work); /* what a stream does with work; NULL: run and drop */
} fake_cudnn;

/* Its state, which a test changes. At first: version 91900, one engine of mode A without notes. */
extern fake_cudnn fake;

#endif
