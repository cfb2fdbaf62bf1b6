#include "coreset/regions.h"

#include "base/random.h"

#include <criterion/criterion.h>
#include <string.h>

enum { WIDE = 23, HIGH = 17, AREA = WIDE * HIGH };

/* Pixels that can be reached from `pixel`, one step at a time; marks them. */
static uint32_t flood(const bool *inside, pb_size size, int x, int y, uint32_t mark, uint32_t *marks) {
    if (x < 0 || x >= size.width || y < 0 || y >= size.height || !inside[y * size.width + x] || marks[y * size.width + x])
        return 0;
    uint32_t count = 1;
    marks[y * size.width + x] = mark;
    for (int step = 0; step < 9; step++)
        count += flood(inside, size, x + step % 3 - 1, y + step / 3 - 1, mark, marks);
    return count;
}

static void check(const bool *inside, pb_size size) {
    uint32_t marks[AREA] = {0}, sizes[AREA + 1] = {0}, found[AREA];
    size_t count = 0, regions;
    for (int y = 0; y < size.height; y++)
        for (int x = 0; x < size.width; x++)
            if (inside[y * size.width + x] && !marks[y * size.width + x]) {
                count++;
                sizes[count] = flood(inside, size, x, y, (uint32_t)count, marks);
            }
    pb_status status = pb_regions_measure(inside, size, found, &regions);
    cr_assert(!pb_failed(&status), "%s", status.message);
    cr_assert_eq(regions, count);
    for (size_t i = 0; i < pb_size_area(size); i++)
        cr_assert_eq(found[i], sizes[marks[i]], "pixel %zu is in a region of %u, found %u", i, sizes[marks[i]], found[i]);
}

/* Thin and dense masks, as rows, columns and rectangles. */
Test(regions, are_what_can_be_reached_by_sides_and_corners) {
    static const pb_size SIZES[] = {{WIDE, HIGH}, {AREA, 1}, {1, AREA}, {2, 5}};
    for (uint32_t trial = 0; trial < 60; trial++)
        for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
            bool inside[AREA];
            for (size_t i = 0; i < AREA; i++)
                inside[i] = pb_random_u32(3, PB_STREAM_TEST, trial, i) % 12 < trial % 13;
            check(inside, SIZES[s]);
        }
}

/* Known by eye: a diagonal is one region, a ring and what is in it are two, a comb's teeth meet only at its end. */
Test(regions, of_shapes) {
    static const struct {
        const char *shape;
        pb_size size;
        size_t regions;
        uint32_t largest;
    } SHAPES[] = {{"#....#....#....#", {4, 4}, 1, 4},
                  {"######...##.#.##...######", {5, 5}, 2, 16},
                  {"#.#.#.##.#.#.########", {7, 3}, 1, 15},
                  {"#...##...##...#", {5, 3}, 2, 3}};
    for (size_t s = 0; s < sizeof SHAPES / sizeof *SHAPES; s++) {
        bool inside[AREA];
        uint32_t found[AREA], largest = 0;
        size_t regions, area = pb_size_area(SHAPES[s].size);
        for (size_t i = 0; i < area; i++)
            inside[i] = SHAPES[s].shape[i] == '#';
        pb_status status = pb_regions_measure(inside, SHAPES[s].size, found, &regions);
        cr_assert(!pb_failed(&status));
        for (size_t i = 0; i < area; i++)
            largest = found[i] > largest ? found[i] : largest;
        cr_assert(regions == SHAPES[s].regions && largest == SHAPES[s].largest, "shape %zu: %zu regions, at most %u pixels", s,
                  regions, largest);
    }
}
