/* arrays.h: arrays for tests of the kernels, and comparison bit for bit. */
#ifndef PB_TESTS_ARRAYS_H
#define PB_TESTS_ARRAYS_H

#include "base/memory.h"
#include "gpu/device.h"
#include "kinds.h"

#include <criterion/criterion.h>
#include <string.h>

/* count numbers; released by pb_release. At least one float, so that an array of none has an address. */
static inline float *numbers(kind k, uint32_t substream, size_t count) {
    float *values;
    pb_status status = pb_allocate(&values, count + 1, sizeof *values, "test numbers");
    cr_assert(!pb_failed(&status), "%s", status.message);
    for (size_t i = 0; i < count; i++)
        values[i] = number_of(k, substream, i);
    return values;
}

static inline float *constants(float value, size_t count) {
    float *values = numbers(UNIFORM, 0, count);
    for (size_t i = 0; i < count; i++)
        values[i] = value;
    return values;
}

static inline uint64_t *unseen(size_t count) {
    uint64_t *nearest;
    pb_status status = pb_allocate(&nearest, count + 1, sizeof *nearest, "test results");
    cr_assert(!pb_failed(&status), "%s", status.message);
    memset(nearest, 0xFF, count * sizeof *nearest); /* PB_NEAREST_NONE */
    return nearest;
}

/* Index of the first float whose bits differ, count when none does: -0 is not +0, and a NaN equals itself. */
static inline size_t first_difference(const float *a, const float *b, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (pb_float_bits(a[i]) != pb_float_bits(b[i]))
            return i;
    return count;
}

#define assert_same_bits(a, b, count)                                                                    \
    do {                                                                                                 \
        size_t same_count_ = (count), same_at_ = first_difference((a), (b), same_count_);                \
        cr_assert(same_at_ == same_count_, "%s[%zu] = %a, %s[%zu] = %a", #a, same_at_, (double)(a)[same_at_], #b, \
                  same_at_, (double)(b)[same_at_]);                                                      \
    } while (0)

#define assert_done(call)                                     \
    do {                                                      \
        pb_status done_ = (call);                             \
        cr_assert(!pb_failed(&done_), "%s", done_.message);   \
    } while (0)

#endif
