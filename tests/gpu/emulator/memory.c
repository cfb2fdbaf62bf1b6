/* The memory of the emulated device, and who has touched which place of it when. */
#include "emulator.h"

#include "cuda_runtime.h"
#include "inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of four bytes: who wrote and read them last, and in which interval. A thread is 1 + its number in the grid. */
typedef struct cell {
    uint32_t writer, written;
    uint32_t reader, read;
} cell;

#define MANY (UINT32_MAX - 1)  /* threads of more than one block */
#define ATOMIC UINT32_MAX      /* whoever uses atomic operations */
#define OF_BLOCK 0x80000000u   /* | block: several threads of that block */

typedef struct range {
    char *base;
    size_t bytes;
    bool shared;
    cell *cells;
} range;

enum { RANGES = 4096, ALIGNMENT = 256 }; /* the last as CUDA has it */
static range ranges[RANGES];
static size_t range_count, last_hit;
static int reaching; /* how deep */

/* Device memory begins ALIGNMENT bytes behind a page's start, so that nothing can rely on more. */
static char *pages_of(const range *r) { return r->base - ALIGNMENT; }

static void protect(const range *r) {
    if (!r->shared && mprotect(pages_of(r), r->bytes + ALIGNMENT, reaching ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        abort();
}

void emulator_reach(bool begin) {
    const int before = reaching;
    reaching += begin ? 1 : -1;
    if (!before == !reaching)
        return;
    for (size_t r = 0; r < range_count; r++)
        protect(&ranges[r]);
}

static char *take_pages(size_t bytes) {
    void *memory = mmap(NULL, bytes + ALIGNMENT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : (char *)memory + ALIGNMENT;
}

static void release_memory(const range *r) {
    if (r->shared)
        free(r->base);
    else
        (void)munmap(pages_of(r), r->bytes + ALIGNMENT);
}

void *emulator_take(size_t bytes, bool shared) {
    range taken = {.bytes = bytes, .shared = shared};
    if (range_count == RANGES || bytes > (size_t)1 << 40)
        return NULL;
    taken.base = shared ? aligned_alloc(ALIGNMENT, (bytes / ALIGNMENT + 1) * ALIGNMENT) : take_pages(bytes);
    if (!taken.base)
        return NULL;
    taken.cells = calloc(bytes / 4 + 1, sizeof *taken.cells);
    if (!taken.cells) {
        release_memory(&taken);
        return NULL;
    }
    memset(taken.base, 0xFF, bytes);
    protect(&taken);
    ranges[range_count++] = taken;
    return taken.base;
}

void emulator_give(void *memory) {
    for (size_t r = 0; r < range_count; r++)
        if (ranges[r].base == memory) {
            free(ranges[r].cells);
            release_memory(&ranges[r]);
            ranges[r] = ranges[--range_count];
            last_hit = 0;
            return;
        }
    emulator_fault("freed what was not allocated");
}

static range *range_of(const void *address, size_t bytes) {
    const char *at = address;
    for (size_t i = 0; i < range_count; i++) {
        size_t r = (last_hit + i) % range_count;
        if (at >= ranges[r].base && at - ranges[r].base <= (ptrdiff_t)ranges[r].bytes &&
            bytes <= ranges[r].bytes - (size_t)(at - ranges[r].base)) {
            last_hit = r;
            return &ranges[r];
        }
    }
    return NULL;
}

bool emulator_has(const void *memory, size_t bytes) {
    const range *found = range_of(memory, bytes);
    return bytes == 0 || (found && !found->shared);
}

size_t emulator_taken(void) { return range_count; }

void emulator_forget_shared(void) {
    for (size_t r = 0; r < range_count; r++)
        if (ranges[r].shared)
            memset(ranges[r].cells, 0, (ranges[r].bytes / 4 + 1) * sizeof(cell));
}

static uint32_t self(void) { return emulator_is.block * emulator_is.threads + emulator_is.thread + 1; }

static bool other_block(uint32_t who) {
    if (who == MANY || who == ATOMIC)
        return true;
    return (who & OF_BLOCK ? who & ~OF_BLOCK : (who - 1) / emulator_is.threads) != emulator_is.block;
}

/* Whether nothing orders what `who` did at `when` before what this thread does now. */
static bool unordered(const range *r, uint32_t who, uint32_t when) {
    if (who == 0 || who == self() || when < emulator_is.launch)
        return false;
    return when == emulator_is.interval || (!r->shared && other_block(who));
}

static void note_reader(const range *r, cell *c) {
    const bool past = c->reader == 0 || c->read < emulator_is.launch;
    if (past || c->reader == self() || (!other_block(c->reader) && c->read < emulator_is.interval))
        c->reader = self();
    else
        c->reader = !r->shared && other_block(c->reader) ? MANY : OF_BLOCK | emulator_is.block;
    c->read = emulator_is.interval;
}

static void race(const range *r, size_t place, const char *how) {
    emulator_fault("%s: thread %u of block %u %s %s memory at byte %zu, with no barrier between", emulator_is.kernel,
                   emulator_is.thread, emulator_is.block, how, r->shared ? "shared" : "device", place * 4);
}

static void touch(range *r, size_t place, bool write, bool atomic) {
    cell *c = &r->cells[place];
    if (r->shared && !write && c->writer == 0)
        emulator_fault("%s: thread %u of block %u reads shared memory at byte %zu that nobody wrote", emulator_is.kernel,
                       emulator_is.thread, emulator_is.block, place * 4);
    if (!(atomic && c->writer == ATOMIC) && unordered(r, c->writer, c->written))
        race(r, place, write ? "writes what another wrote in" : "reads what another wrote in");
    if (write && unordered(r, c->reader, c->read))
        race(r, place, "writes what another read in");
    if (write) {
        c->writer = atomic ? ATOMIC : self();
        c->written = emulator_is.interval;
    } else {
        note_reader(r, c);
    }
}

static bool lies_in(const void *address, const void *place, size_t bytes) {
    const char *at = address, *first = place;
    return at >= first && at < first + bytes;
}

/* A thread's stack; and what no thread may change: its indices and the kernel's arguments. */
static bool is_of_thread(const void *address, bool write) {
    if (lies_in(address, emulator_is.stack, emulator_is.stack_bytes))
        return true;
    return !write && (lies_in(address, emulator_is.arguments, emulator_is.argument_bytes) ||
                      lies_in(address, &threadIdx, sizeof threadIdx) || lies_in(address, &blockIdx, sizeof blockIdx) ||
                      lies_in(address, &blockDim, sizeof blockDim) || lies_in(address, &gridDim, sizeof gridDim));
}

static void access_memory(const void *address, size_t bytes, bool write, bool atomic) {
    if (!emulator_is.running || is_of_thread(address, write))
        return;
    range *r = range_of(address, bytes);
    if (!r) {
        emulator_fault("%s: thread %u of block %u %s %zu bytes outside of all memory", emulator_is.kernel, emulator_is.thread,
                       emulator_is.block, write ? "writes" : "reads", bytes);
        emulator_end_launch();
    }
    const size_t first = (size_t)((const char *)address - r->base);
    for (size_t at = first / 4; bytes >= 4 && at < (first + bytes + 3) / 4; at++)
        touch(r, at, write, atomic);
}

void emulator_atomic(const void *address, size_t bytes) { access_memory(address, bytes, true, true); }

/* What gcc calls for every access. */
#define CALLED(name) void __tsan_##name(void *address); void __tsan_##name(void *address)
CALLED(read1) { access_memory(address, 1, false, false); }
CALLED(read2) { access_memory(address, 2, false, false); }
CALLED(read4) { access_memory(address, 4, false, false); }
CALLED(read8) { access_memory(address, 8, false, false); }
CALLED(read16) { access_memory(address, 16, false, false); }
CALLED(write1) { access_memory(address, 1, true, false); }
CALLED(write2) { access_memory(address, 2, true, false); }
CALLED(write4) { access_memory(address, 4, true, false); }
CALLED(write8) { access_memory(address, 8, true, false); }
CALLED(write16) { access_memory(address, 16, true, false); }
CALLED(unaligned_read2) { access_memory(address, 2, false, false); }
CALLED(unaligned_read4) { access_memory(address, 4, false, false); }
CALLED(unaligned_read8) { access_memory(address, 8, false, false); }
CALLED(unaligned_write2) { access_memory(address, 2, true, false); }
CALLED(unaligned_write4) { access_memory(address, 4, true, false); }
CALLED(unaligned_write8) { access_memory(address, 8, true, false); }
CALLED(func_entry) { (void)address; }

void __tsan_read_range(void *address, size_t bytes);
void __tsan_read_range(void *address, size_t bytes) { access_memory(address, bytes, false, false); }
void __tsan_write_range(void *address, size_t bytes);
void __tsan_write_range(void *address, size_t bytes) { access_memory(address, bytes, true, false); }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_init(void);
void __tsan_init(void) {}
