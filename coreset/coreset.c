/* coreset.c: the list of picks that every way of selection fills, its size for a ratio, and the random selection that greedy must
 * beat. */
#include "coreset/coreset.h"

#include "base/memory.h"
#include "base/random.h"

#include <math.h>

pb_status pb_coreset_allocate(pb_coreset *coreset, size_t room) {
    *coreset = (pb_coreset){.room = room};
    pb_status status = pb_allocate(&coreset->picked, room, sizeof *coreset->picked, "picked patches");
    if (!pb_failed(&status))
        status = pb_allocate(&coreset->radius, room, sizeof *coreset->radius, "covering radii");
    if (pb_failed(&status))
        pb_coreset_free(coreset);
    return status;
}

void pb_coreset_free(pb_coreset *coreset) {
    pb_release(&coreset->picked);
    pb_release(&coreset->radius);
    *coreset = (pb_coreset){0};
}

void pb_coreset_add(pb_coreset *coreset, uint64_t picked, float radius) {
    PB_ASSERT(coreset->count < coreset->room);
    coreset->picked[coreset->count] = picked;
    coreset->radius[coreset->count++] = radius;
}

/* 1e18 is about the root of the largest float, 3.4e38, divided by the root of a few hundred dimensions. */
pb_status pb_coreset_overflow(void) {
    return pb_fail(PB_E_INPUT, "distances between patches overflow: features beyond 1e18; are these the right weights?");
}

/* The product is rounded to double before it is cut to a whole number, by all ranks alike; the cast is safe, since it is at most
 * `total`. */
size_t pb_coreset_size(double ratio, uint64_t total) {
    PB_ASSERT(ratio > 0 && ratio <= 1 && total > 0);
    uint64_t size = (uint64_t)floor(ratio * (double)total);
    return size < 1 ? 1 : size > total ? total : size;
}

/* 2^-22 is four times the relative error of one distance; nextafter is for the rounding to float. */
float pb_coreset_radius_sum(float radius, double further, int dim) {
    const double sum = ((double)radius + further) * (1 + (dim + 4) * 0x1p-22);
    return nextafterf((float)sum, INFINITY);
}

/* --- random order ------------------------------------------------------------------------------------------------
 * Fisher and Yates' shuffle of 0 .. total - 1, of which only the first `count` places are wanted: a hash table holds the few
 * places whose content has moved.
 *
 * The table is open addressing with linear probing, of a fixed size of at least four times the picks, so it is at most a quarter
 * full and probes are short; nothing is ever removed from it. Memory: 64 to 128 bytes a pick, not 8 a patch. */
typedef struct moved {
    size_t mask;               /* slots - 1, a power of two less one */
    uint64_t *place, *content; /* place + 1, so that 0 is a free slot */
} moved;

/* The slot that has a place, or the free one where it would go. The multiplier spreads neighbouring places; the bits of the
 * product from the 20th on are used, which depend on more bits of the place than the lowest do. */
static size_t slot_of(const moved *table, uint64_t place) {
    uint64_t hash = (place + 1) * UINT64_C(0x9E3779B97F4A7C15); /* Fibonacci hashing: 2^64 over the golden ratio */
    size_t slot = (size_t)(hash >> 20) & table->mask;
    while (table->place[slot] != 0 && table->place[slot] != place + 1)
        slot = (slot + 1) & table->mask;
    return slot;
}

/* What stands in a place: itself, as long as nothing has moved there. */
static uint64_t content_of(const moved *table, uint64_t place) {
    size_t slot = slot_of(table, place);
    return table->place[slot] ? table->content[slot] : place;
}

/* Notes what has moved into a place. */
static void put(moved *table, uint64_t place, uint64_t content) {
    size_t slot = slot_of(table, place);
    table->place[slot] = place + 1;
    table->content[slot] = content;
}

/* 64 random bits modulo the range: the bias is below range / 2^64, for a billion patches 5e-11. Draws have numbers (index), so
 * that every rank makes the same ones. */
static uint64_t random_below(uint64_t seed, uint64_t index, uint64_t range) {
    uint32_t block[4];
    pb_random_block(seed, PB_STREAM_CORESET, 0, index, block);
    return ((uint64_t)block[0] << 32 | block[1]) % range;
}

/* Step i swaps place i with one of those from i on. What was in i moves to the drawn place; i itself is never looked at again, so
 * nothing is noted for it. */
pb_status pb_coreset_random(uint64_t seed, uint64_t total, size_t count, pb_coreset *coreset) {
    PB_ASSERT(count <= total);
    moved table = {.mask = 15};
    while (table.mask < 4 * count)
        table.mask = 2 * table.mask + 1;
    pb_status status = pb_coreset_allocate(coreset, count);
    pb_keep_first(&status, pb_allocate(&table.place, table.mask + 1, sizeof *table.place, "the random order"));
    pb_keep_first(&status, pb_allocate(&table.content, table.mask + 1, sizeof *table.content, "the random order"));
    for (uint64_t i = 0; i < count && !pb_failed(&status); i++) {
        uint64_t place = i + random_below(seed, i, total - i), content = content_of(&table, place);
        put(&table, place, content_of(&table, i));
        pb_coreset_add(coreset, content, NAN);
    }
    pb_release(&table.place);
    pb_release(&table.content);
    if (pb_failed(&status))
        pb_coreset_free(coreset);
    return status;
}
