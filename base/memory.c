/* memory.c: zeroed, aligned memory with checked sizes. Zeroed always: a result never depends on what was there before, and
 * structures that are half filled can be freed. */
#include "base/memory.h"

#include "base/fault.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Pointers go in and out through memcpy: `void *` stands for "address of any object pointer", and a cast to void ** would break
 * the aliasing rules. */
static void *load(const void *pointer) {
    void *value;
    memcpy(&value, pointer, sizeof value);
    return value;
}

static void store(void *pointer, void *value) { memcpy(pointer, &value, sizeof value); }

/* count * size, rounded up to the next multiple of the alignment, as aligned_alloc wants it, and at least that. False when it
 * overflows or is more than PTRDIFF_MAX, beyond which differences of pointers have no meaning. */
static bool rounded_size(size_t count, size_t size, size_t *bytes) {
    size_t product;
    if (__builtin_mul_overflow(count, size, &product) || product > (size_t)PTRDIFF_MAX - PB_ALIGNMENT)
        return false;
    *bytes = (product / PB_ALIGNMENT + 1) * PB_ALIGNMENT;
    return true;
}

/* what and the sizes go into the message: they tell an option that is too large from a machine that is too small. */
pb_status pb_allocate(void *pointer_out, size_t count, size_t size, const char *what) {
    store(pointer_out, NULL);
    size_t bytes;
    bool possible = rounded_size(count, size, &bytes) && !pb_fault("base.allocate");
    void *memory = possible ? aligned_alloc(PB_ALIGNMENT, bytes) : NULL;
    if (!memory)
        return pb_fail(PB_E_SYSTEM, "out of memory for %s: %zu items of %zu bytes", what, count, size);
    memset(memory, 0, bytes);
    store(pointer_out, memory);
    return pb_ok();
}

/* A new block, a copy and a free rather than realloc, which keeps neither the alignment nor zeroes what is new. Both blocks are
 * there for a moment. */
pb_status pb_resize(void *pointer_inout, size_t old_count, size_t count, size_t size, const char *what) {
    void *old = load(pointer_inout);
    void *fresh;
    PB_TRY(pb_allocate(&fresh, count, size, what));
    if (old)
        memcpy(fresh, old, (old_count < count ? old_count : count) * size);
    free(old);
    store(pointer_inout, fresh);
    return pb_ok();
}

void pb_release(void *pointer_inout) {
    free(load(pointer_inout));
    store(pointer_inout, NULL);
}
