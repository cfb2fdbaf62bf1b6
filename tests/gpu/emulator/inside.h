/* inside.h: what the files of the emulator share: emulator.c runs threads, memory.c watches memory, multiply.c is the tensor
 * core, runtime.c is the API. */
#ifndef PB_TESTS_EMULATOR_INSIDE_H
#define PB_TESTS_EMULATOR_INSIDE_H

#include "cuda_runtime_api.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which thread runs, and since when nothing is ordered. Numbers of intervals only rise: at a launch, at a block's start and at
 * each of its barriers. */
typedef struct emulator_now {
    bool running;             /* a thread of a kernel, as against host code */
    uint32_t thread, threads; /* thread of the block, threads a block */
    uint32_t block;
    uint32_t interval, launch; /* the present interval, and that at which the launch began */
    const char *kernel;
    const void *stack, *arguments; /* of the thread, and of the kernel */
    size_t stack_bytes, argument_bytes;
} emulator_now;

extern emulator_now emulator_is;

/* Notes a fault. */
void emulator_fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the launch from within a thread, which must go no further: with an illegal address. */
_Noreturn void emulator_end_launch(void);

/* Memory in which accesses are watched; `shared`: that of a block. Takes bytes of 0xFF. */
void *emulator_take(size_t bytes, bool shared);
void emulator_give(void *memory);

/* Device memory is out of the host's reach, as a GPU's is, but for work that is done on the device: from begin to end. */
void emulator_reach(bool begin);

/* Whether these bytes are device memory (bytes may be 0). */
bool emulator_has(const void *memory, size_t bytes);
size_t emulator_taken(void);

/* No thread of the next block has written to shared memory. */
void emulator_forget_shared(void);

/* An access that other atomic ones may meet. */
void emulator_atomic(const void *address, size_t bytes);

/* Counts a call that may be made to fail, and says what it must answer then; of work on a stream, which must have nothing to wait
 * for (emulator_wait_for). What a function begins with. */
cudaError_t emulator_call(void);
cudaError_t emulator_work(void);

#define EMULATOR_BEGIN(how)              \
    do {                                 \
        cudaError_t begun_ = (how)();    \
        if (begun_ != cudaSuccess)       \
            return begun_;               \
    } while (0)
#define EMULATOR_CALL() EMULATOR_BEGIN(emulator_call)
#define EMULATOR_WORK() EMULATOR_BEGIN(emulator_work)

/* Notes an error as the last one. */
cudaError_t emulator_result(cudaError_t error);
cudaError_t emulator_not_ready(void);

/* Whether cudaSetDevice was called; else that is a fault. */
bool emulator_has_device(void);

/* Work for a stream: run(data), data being copied here. At once, later (emulator_lazy), or as a part of what is captured. */
void emulator_queue(cudaStream_t stream, void (*run)(void *data), void *data, size_t bytes);

/* Does all that is queued. */
void emulator_finish(void);

/* Whether something is captured, which a call like this one spoils. */
bool emulator_spoils_capture(void);

/* Streams, events and graphs. */
size_t emulator_open(void);
/* What a lane has of a product (warp_multiply of gpu/cuda/lanes.h). */
typedef struct emulator_fragment {
    float *sums;
    const unsigned *rows, *columns;
} emulator_fragment;

/* Multiplies what the 32 lanes of a warp have. */
void emulator_multiply_warp(const emulator_fragment lanes[32]);

/* Whether it is a stream that exists, or NULL: the one that always does. */
bool emulator_is_stream(const void *stream);

/* Whether streams wait (emulator_wait_for). */
bool emulator_is_busy(void);

/* The last error, which a failed launch leaves to whoever asks next. */
void emulator_set_error(int error, bool sticky);

#endif
