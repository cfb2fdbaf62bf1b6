/* inside.h: what the files of the emulator share: emulator.c runs threads, memory.c watches memory, multiply.c is the tensor
 * core, runtime.c is the API. */
#ifndef PB_TESTS_EMULATOR_INSIDE_H
#define PB_TESTS_EMULATOR_INSIDE_H

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

/* Whether these bytes are device memory (bytes may be 0). */
bool emulator_has(const void *memory, size_t bytes);
size_t emulator_taken(void);

/* No thread of the next block has written to shared memory. */
void emulator_forget_shared(void);

/* An access that other atomic ones may meet. */
void emulator_atomic(const void *address, size_t bytes);

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
