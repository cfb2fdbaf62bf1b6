/* emulator.h: a small CUDA device on the CPU, for tests of the kernels and the host code of gpu/cuda/, which are compiled
 * unchanged: against the headers of this folder, the kernels as C with gcc's -fsanitize=thread. That option makes the compiler
 * call a function for every access to memory; here these functions are not the thread sanitizer's but the emulator's, so that it
 * sees every access of every thread of a kernel, without a word in the kernel. It finds
 *   - an access outside of all allocations, shared memory and the kernel's arguments: the launch ends with an illegal address;
 *   - two accesses to one place by two threads, one of them a write, with no barrier between: of the same block, or, in device
 *     memory, of different blocks. Accesses of less than four bytes are not looked at for this;
 *   - a read of shared memory that nobody wrote;
 *   - host code that touches device memory: the process ends there, as it would with a GPU (SIGSEGV);
 *   - a barrier that not all threads of a block reach, or not the same one; a warp operation that not all lanes of it reach.
 * The threads of a block run one after the other, each until it waits or ends, in an order that the test chooses; blocks run in
 * the order of their numbers, or backwards. What kernels must not depend on, no order may change.
 *
 * A warp operation waits for the lanes of its mask, but counts for nothing where memory is exchanged: threads that rely on it
 * for that are reported.
 */
#ifndef PB_TESTS_EMULATOR_H
#define PB_TESTS_EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum emulator_order { EMULATOR_RISING, EMULATOR_FALLING, EMULATOR_SHUFFLED, EMULATOR_ORDERS } emulator_order;

/* How threads take turns from now on. */
void emulator_turns(emulator_order order);

/* How many faults were found since the last call, and the first of them in words ("" when none ever was). Makes a device usable
 * again whose launch ended with an illegal address. */
size_t emulator_faults(void);
const char *emulator_first_fault(void);

/* Allocations, pinned ones too, streams, events and graphs that have not been freed. */
size_t emulator_living(void);

/* The runtime's call number `call` from now on (1 is the next) fails once with `error`, whatever it is; 0: none. Returns how many
 * calls were made since the last call of this function. Calls that free cannot fail; a query that finds an event not ready does
 * not count, nor does cudaGetLastError after it. */
size_t emulator_fail(size_t call, int error);

/* From now on notes for each call that emulator_fail counts, the first `room` of them, by which way it was come to: a number that
 * is the same for calls of one loop, and another for every other chain of callers. ways: of the caller, who keeps it. */
void emulator_note_ways(uint64_t *ways, size_t room);

/* What cudaGetDeviceCount says: devices, or an error. */
void emulator_devices(int count, int error);

/* What the bytes of the devices' UUIDs are, plus the device's number; 0 at the start. Each process has devices of its own, which
 * are then other ones. */
void emulator_identity(int byte);

/* Streams made from now on whose number (0 is the first of a device) is a bit of `which` do their work as late as they may: when
 * somebody waits for it, or when memory is freed. The others do everything at once. */
void emulator_lazy(unsigned which);

/* Graphs launched, and kernels that have run, so far. */
extern size_t emulator_launches, emulator_kernels;

/* All streams wait until advance(context) is true, which is called when CUDA is asked; until then an event that is recorded is
 * not ready, and other work on a stream is a fault: it would have to wait, and here all work is done at once. NULL: for
 * nothing. */
void emulator_wait_for(bool (*advance)(void *context), void *context);

#endif
