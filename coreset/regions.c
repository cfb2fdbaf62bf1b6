/* regions.c: connected regions by union and find over the pixels in reading order: the root of a region is its first pixel. Three
 * passes: join, count at the roots, hand each pixel the count of its root. Nearly linear in the pixels; 4 bytes a pixel beside
 * the result. */
#include "coreset/regions.h"

#include "base/memory.h"

#include <string.h>

/* The root of a pixel; on the way every second pixel is hung higher (path halving), so that paths stay short. */
static uint32_t root_of(uint32_t *parent, uint32_t pixel) {
    while (parent[pixel] != pixel)
        pixel = parent[pixel] = parent[parent[pixel]];
    return pixel;
}

/* Makes two regions one. The earlier root stays: the last pass relies on it that a root comes before all of its pixels. */
static void join(uint32_t *parent, uint32_t a, uint32_t b) {
    a = root_of(parent, a);
    b = root_of(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
}

/* Joins a pixel to those of its neighbours that come before it: left, and the three above. */
static void join_neighbours(const bool *inside, pb_size size, int x, int y, uint32_t *parent) {
    const uint32_t width = (uint32_t)size.width, pixel = (uint32_t)y * width + (uint32_t)x;
    parent[pixel] = pixel;
    if (x > 0 && inside[pixel - 1])
        join(parent, pixel - 1, pixel);
    for (int step = -1; step <= 1 && y > 0; step++)
        if (x + step >= 0 && x + step < size.width && inside[pixel - width + (uint32_t)step])
            join(parent, pixel - width + (uint32_t)step, pixel);
}

/* region_size serves as the counters first, at the roots alone; a counter that leaves 0 is a new region. */
pb_status pb_regions_measure(const bool *inside, pb_size size, uint32_t *region_size, size_t *regions) {
    const size_t area = pb_size_area(size);
    PB_ASSERT(area <= UINT32_MAX);
    uint32_t *parent;
    PB_TRY(pb_allocate(&parent, area, sizeof *parent, "regions of a mask"));
    for (int y = 0; y < size.height; y++)
        for (int x = 0; x < size.width; x++)
            if (inside[(size_t)y * (size_t)size.width + (size_t)x])
                join_neighbours(inside, size, x, y, parent);
    memset(region_size, 0, area * sizeof *region_size);
    *regions = 0;
    for (uint32_t i = 0; i < area; i++)
        if (inside[i])
            *regions += region_size[root_of(parent, i)]++ == 0;
    for (size_t i = area; i-- > 0;) /* a root comes before its pixels, so it is overwritten by itself, last */
        if (inside[i])
            region_size[i] = region_size[root_of(parent, (uint32_t)i)];
    pb_release(&parent);
    return pb_ok();
}
