#include "filtered.h"

__extension__ typedef _Float16 half;

static float half_from(uint16_t bits) {
    half value;
    memcpy(&value, &bits, sizeof value);
    return (float)value;
}

/* What came of rows, on the host. */
typedef struct rounded {
    uint16_t *halves;
    pb_cuda_about *about;
    uint64_t *tiles;
    size_t tile_count;
} rounded;

static rounded round_rows(const float *rows, size_t n, int dim) {
    const size_t bytes = n * (size_t)pb_cuda_halves_pitch(dim) * sizeof(uint16_t);
    rounded r = {.tile_count = (n + 127) / 128};
    pb_cuda_halves there = halves_on_device(rows, n, dim, true);
    assert_done(pb_allocate(&r.halves, bytes + 1, 1, "halves"));
    assert_done(pb_allocate(&r.about, n + 1, sizeof *r.about, "about"));
    assert_done(pb_allocate(&r.tiles, 2 * r.tile_count + 1, sizeof *r.tiles, "tiles"));
    off_device(r.halves, there.halves, bytes);
    off_device(r.about, there.about, n * sizeof *r.about);
    off_device(r.tiles, there.tiles, r.tile_count * 2 * sizeof *r.tiles);
    assert_sound();
    return r;
}

static void release(rounded *r) {
    pb_release(&r->halves);
    pb_release(&r->about);
    pb_release(&r->tiles);
}

/* The row's halves, norm and radius in double precision: the first two nearly exactly, the last from above, and barely. */
static void check_row(const float *row, int dim, const uint16_t *halves, pb_cuda_about about, size_t i) {
    double norm2 = 0, lost2 = 0, most = 0;
    for (int k = 0; k < pb_cuda_halves_pitch(dim); k++) {
        const double value = k < dim ? (double)row[k] : 0, there = (double)half_from(halves[k]) * (double)about.scale;
        norm2 += there * there;
        lost2 += (value - there) * (value - there);
        most = fmax(most, fabs((double)half_from(halves[k])));
        cr_assert(fabs(value - there) <= fmax(fabs(value) * 0x1p-11, (double)about.scale * 0x1p-25), "row %zu value %d", i, k);
    }
    int exponent;
    cr_assert(frexpf(about.scale, &exponent) == 0.5f && most >= 256 && most <= 512, "row %zu: scale %a", i, (double)about.scale);
    cr_assert(fabs((double)about.norm2 - norm2) <= 1e-6 * norm2, "row %zu: %a %a", i, (double)about.norm2, norm2);
    cr_assert((double)about.radius >= sqrt(lost2) && (double)about.radius <= sqrt(lost2) * 1.001 + 0x1p-40 * sqrt(norm2),
              "row %zu: %a for %a", i, (double)about.radius, sqrt(lost2));
}

/* The tiles have the largest radius and norm of theirs. */
static void check_tiles(const rounded *r, size_t n) {
    for (size_t t = 0; t < r->tile_count; t++) {
        uint32_t radius = 0, norm2 = 0;
        for (size_t i = t * 128; i < n && i < (t + 1) * 128; i++) {
            radius = pb_float_bits(r->about[i].radius) > radius ? pb_float_bits(r->about[i].radius) : radius;
            norm2 = pb_float_bits(r->about[i].norm2) > norm2 ? pb_float_bits(r->about[i].norm2) : norm2;
        }
        cr_assert(r->tiles[2 * t] == radius && r->tiles[2 * t + 1] == norm2, "tile %zu", t);
    }
}

static const struct {
    size_t n;
    int dim;
} SHAPES[] = {{1, 1}, {9, 31}, {127, 32}, {129, 33}, {300, 100}, {20, 1024}};

Test(nearest_halves, are_near_their_rows_and_know_how_near) {
    for (size_t s = 0; s < LENGTH(SHAPES); s++)
        for (int how = EASY; how <= NEIGHBOURS; how++) {
            const size_t n = SHAPES[s].n;
            const int dim = SHAPES[s].dim;
            float *rows = hard_rows((hard)how, 0, n, dim);
            for (size_t i = 0; i < n; i++) /* of many magnitudes */
                for (size_t k = 0; k < (size_t)dim; k++)
                    rows[i * (size_t)dim + k] = ldexpf(rows[i * (size_t)dim + k], (int)(i % 60) - 30);
            emulator_turns(ORDERS[s % LENGTH(ORDERS)]);
            rounded r = round_rows(rows, n, dim);
            for (size_t i = 0; i < n; i++)
                check_row(rows + i * (size_t)dim, dim, r.halves + i * (size_t)pb_cuda_halves_pitch(dim), r.about[i], i);
            check_tiles(&r, n);
            release(&r);
            pb_release(&rows);
        }
}

/* Rows whose squares would be no normal floats: zeros, with what is known of the distance. */
Test(nearest_halves, of_rows_beyond_measure_are_zeros) {
    enum { DIM = 40 };
    static const struct {
        float value;
        bool known;
    } ROWS[] = {{0, true},      {0x1p-149f, true}, {-0x1.fffffep-51f, true}, {0x1.000002p50f, false}, {-FLT_MAX, false},
                {NAN, false}, {INFINITY, false}};
    float rows[LENGTH(ROWS) * DIM] = {0};
    for (size_t i = 0; i < LENGTH(ROWS); i++)
        for (size_t k = 0; k < DIM; k++)
            rows[i * DIM + k] = i < 3 || k == 37 ? ROWS[i].value : 1;
    rounded r = round_rows(rows, LENGTH(ROWS), DIM);
    for (size_t i = 0; i < LENGTH(ROWS); i++) {
        for (size_t k = 0; k < (size_t)pb_cuda_halves_pitch(DIM); k++)
            cr_assert_eq(r.halves[i * (size_t)pb_cuda_halves_pitch(DIM) + k], 0);
        cr_assert(r.about[i].norm2 <= 0 && r.about[i].scale == 1.0f);
        const double radius = sqrt(DIM) * fabs((double)ROWS[i].value);
        if (ROWS[i].known)
            cr_assert((double)r.about[i].radius >= radius && (double)r.about[i].radius <= radius * 1.01 + 0x1p-70, "row %zu", i);
        else
            cr_assert(isinf(r.about[i].radius), "row %zu", i);
    }
    check_tiles(&r, LENGTH(ROWS));
    release(&r);
    rounded edges = round_rows((const float[]){0x1p-50f, 0x1p50f}, 2, 1);
    cr_assert(edges.about[0].norm2 >= 0x1p-101f && edges.about[1].norm2 <= 0x1p101f && edges.about[1].radius < 1);
    release(&edges);
}
