/* Maps of pixels on the "cpu" device (gpu/device.h, gpu/ref.h), a band of rows at a time: its rows, and those above and below
 * that smoothing looks at, are made from the map of patches; a row smoothed downwards is laid out with its mirrored margins, so
 * that smoothing along it is the same loop over other stretches of memory.
 *
 * Order of arithmetic: pb_ref_smooth_maps. A band first makes all of its unsmoothed rows and `reach` more at either side
 * (raise_row), then for each of its rows smooths downwards into `wide`, mirrors the margins, and smooths along. Rows beyond the
 * image are made as their mirror images, so smoothing has no edges.
 */
#include "gpu/cpu.h"

#include "base/memory.h"

#include <omp.h>

/* Rows of pixels in one piece of work. Each also makes 2 * reach rows around them, which a blend does in a small part of the time
 * that smoothing one takes. */
enum { BAND = 32 };

/* One call of pb_cpu_smooth_maps. Read only while threads work. values: [n] maps of the grid. */
typedef struct maps {
    const pb_cpu_kernels *kernels;
    const pb_smoothing *how;
    const float *values;
    pb_size grid, size;
    int *low, *high; /* [size.width]: where a pixel lies between the map's columns */
    float *fraction;
    float *pixels;
} maps;

/* What a thread works in. */
typedef struct scratch {
    float *stretched[2]; /* rows of the map, one value a column of pixels */
    int row[2];          /* which rows they are */
    float *rows;         /* [BAND + 2 * reach][size.width] of pixels that are not smoothed yet */
    float *wide;         /* [size.width + 2 * reach] one row smoothed downwards, with margins */
} scratch;

/* Places to each side that the kernel looks at. */
static size_t reach_of(const maps *m) { return (size_t)m->how->reach; }

/* Parts of scratch_at: 2 stretched rows, BAND + 2 reach rows, and one with margins. */
static size_t scratch_floats(const maps *m) {
    return ((size_t)m->size.width) * (2 + BAND + 2 * reach_of(m) + 1) + 2 * reach_of(m);
}

static scratch scratch_at(const maps *m, float *memory) {
    const size_t width = (size_t)m->size.width;
    return (scratch){.stretched = {memory, memory + width}, .row = {-1, -1}, .rows = memory + 2 * width,
                     .wide = memory + (2 + BAND + 2 * reach_of(m)) * width};
}

/* Row `row` of the map, stretched; made, without touching row `keep`, when it is not there. As blended_row in cpu_features.c: the
 * two rows last made are kept. Where a mirror turns round, rows are asked for in falling order; they are made again if they are
 * gone. */
static const float *stretched_row(const maps *m, const float *map, int row, int keep, scratch *s) {
    for (int slot = 0; slot < 2; slot++)
        if (s->row[slot] == row)
            return s->stretched[slot];
    int slot = s->row[0] == keep ? 1 : 0;
    m->kernels->stretch(map + (size_t)row * (size_t)m->grid.width, m->low, m->high, m->fraction, (size_t)m->size.width,
                        s->stretched[slot]);
    s->row[slot] = row;
    return s->stretched[slot];
}

/* Row `row` of the pixels, not smoothed. */
static void raise_row(const maps *m, const float *map, int row, scratch *s, float *out) {
    pb_cpu_place y = pb_cpu_place_of(row, m->grid.height, m->size.height);
    const float *low = stretched_row(m, map, y.low, y.high, s), *high = stretched_row(m, map, y.high, y.low, s);
    m->kernels->blend(low, high, y.fraction, (size_t)m->size.width, out);
}

/* Smooths what lies at `first` in stretches `step` apart: rows above each other, or one row and itself, shifted. near[reach] is
 * the middle one, near[reach -+ k] those k away. */
static void smooth(const maps *m, const float *first, size_t step, float *out) {
    const float *near[2 * PB_SMOOTHING_REACH_MAX + 1];
    for (int i = 0; i <= 2 * m->how->reach; i++)
        near[i] = first + (size_t)i * step;
    m->kernels->smooth(near, m->how->weights, m->how->reach, (size_t)m->size.width, out);
}

/* The pixels of rows first .. of one map. The margins of `wide` are filled from the inside out; where the row is shorter than the
 * reach a mirror image is mirrored again (pb_smoothing_mirror always gives a place inside). */
static void band(const maps *m, size_t image, int first, float *memory) {
    const int last = first + BAND < m->size.height ? first + BAND : m->size.height, reach = m->how->reach, width = m->size.width;
    const float *map = m->values + image * pb_size_area(m->grid);
    float *out = m->pixels + (image * (size_t)m->size.height + (size_t)first) * (size_t)width;
    scratch s = scratch_at(m, memory);
    float *row = s.wide + reach;
    for (int i = 0; i < last - first + 2 * reach; i++)
        raise_row(m, map, pb_smoothing_mirror(first - reach + i, m->size.height), &s, s.rows + (size_t)i * (size_t)width);
    for (int i = 0; i < last - first; i++, out += width) {
        smooth(m, s.rows + (size_t)i * (size_t)width, (size_t)width, row);
        for (int k = 1; k <= reach; k++) {
            row[-k] = row[pb_smoothing_mirror(-k, width)];
            row[width - 1 + k] = row[pb_smoothing_mirror(width - 1 + k, width)];
        }
        smooth(m, s.wide, 1, out);
    }
}

/* Where pixels lie between the map's columns is the same for all rows, and worked out once. *memory: a scratch for each
 * thread. */
static pb_status allocate(maps *m, int threads, float **memory) {
    const size_t width = (size_t)m->size.width;
    PB_TRY(pb_allocate(&m->low, width, sizeof *m->low, "places of pixels"));
    PB_TRY(pb_allocate(&m->high, width, sizeof *m->high, "places of pixels"));
    PB_TRY(pb_allocate(&m->fraction, width, sizeof *m->fraction, "places of pixels"));
    return pb_allocate(memory, (size_t)threads, scratch_floats(m) * sizeof(float), "maps of pixels");
}

pb_status pb_cpu_smooth_maps(pb_device *device, const pb_smoothing *how, const float *values, int n, pb_size grid, pb_size size,
                             float *pixels) {
    maps m = {.kernels = ((const pb_cpu_state *)device->state)->kernels, .how = how, .values = values, .grid = grid,
              .size = size, .pixels = pixels};
    float *memory = NULL;
    pb_status status = allocate(&m, device->threads, &memory);
    if (!pb_failed(&status)) {
        const size_t each = scratch_floats(&m), bands = ((size_t)size.height + BAND - 1) / BAND, pieces = (size_t)n * bands;
        for (int x = 0; x < size.width; x++) {
            pb_cpu_place place = pb_cpu_place_of(x, grid.width, size.width);
            m.low[x] = place.low;
            m.high[x] = place.high;
            m.fraction[x] = place.fraction;
        }
#pragma omp parallel for num_threads(device->threads) schedule(static)
        for (size_t piece = 0; piece < pieces; piece++)
            band(&m, piece / bands, (int)(piece % bands) * BAND, memory + (size_t)omp_get_thread_num() * each);
    }
    pb_release(&m.low);
    pb_release(&m.high);
    pb_release(&m.fraction);
    pb_release(&memory);
    return status;
}
