/* pixel_cases.h: cases of coreset/pixels.h, for cases.c. The oracle sorts all pixels and walks along the curve, as MVTec AD's
 * evaluation does. */
#ifndef PB_TESTS_CORESET_PIXEL_CASES_H
#define PB_TESTS_CORESET_PIXEL_CASES_H

#include "cases.h"

#include "base/fault.h"
#include "base/memory.h"
#include "base/random.h"
#include "coreset/pixels.h"
#include "mpi/partition.h"

#include <math.h>
#include <stdlib.h>

enum { PIXEL_IMAGES = 11, PIXEL_AREA = 700, PIXEL_COUNT = PIXEL_IMAGES * PIXEL_AREA };
static float pixel_scores[PIXEL_COUNT];
static uint32_t pixel_sizes[PIXEL_COUNT];

static void must_pixels(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "unexpected: %s\n", status.message);
        abort();
    }
}

/* Image i has i % 4 regions, one behind the other, of 1, 38 and 75 pixels. */
static void make_pixels(float (*score_of)(uint32_t random, bool defective)) {
    for (size_t i = 0; i < PIXEL_COUNT; i++) {
        const size_t place = i % PIXEL_AREA, region = place / 100;
        const uint32_t size = region < i / PIXEL_AREA % 4 ? 1 + 37 * (uint32_t)region : 0;
        pixel_sizes[i] = place % 100 < size ? size : 0;
        pixel_scores[i] = score_of(pb_random_u32(5, PB_STREAM_TEST, 40, i), pixel_sizes[i] > 0);
    }
}

static size_t regions_of(size_t image) { return image % 4; }

typedef struct pixel {
    float score;
    uint32_t size;
} pixel;

static int by_falling_score(const void *left, const void *right) {
    const float a = ((const pixel *)left)->score, b = ((const pixel *)right)->score;
    return (a < b) - (a > b);
}

/* The figures by definition, over all images. */
static void plain_figures(double *auroc, double *pro) {
    static pixel all_pixels[PIXEL_COUNT];
    double normal = 0, defective = 0, regions = 0;
    for (size_t i = 0; i < PIXEL_COUNT; i++) {
        all_pixels[i] = (pixel){pixel_scores[i], pixel_sizes[i]};
        *(pixel_sizes[i] > 0 ? &defective : &normal) += 1;
        regions += pixel_sizes[i] > 0 ? 1.0 / pixel_sizes[i] : 0;
    }
    qsort(all_pixels, PIXEL_COUNT, sizeof *all_pixels, by_falling_score);
    double fpr = 0, tpr = 0, overlap = 0;
    *auroc = *pro = 0;
    for (size_t i = 0; i < PIXEL_COUNT;) {
        const double fpr_before = fpr, tpr_before = tpr, before = overlap;
        const float score = all_pixels[i].score;
        for (; i < PIXEL_COUNT && !(all_pixels[i].score < score); i++)
            if (all_pixels[i].size > 0) {
                tpr += 1 / defective;
                overlap += 1 / (all_pixels[i].size * regions);
            } else {
                fpr += 1 / normal;
            }
        *auroc += (fpr - fpr_before) * (tpr + tpr_before) / 2;
        if (fpr_before < PB_PRO_LIMIT && fpr > fpr_before) {
            const double end = fmin(fpr, PB_PRO_LIMIT), share = (end - fpr_before) / (fpr - fpr_before);
            *pro += (end - fpr_before) * (before + before + share * (overlap - before)) / 2 / PB_PRO_LIMIT;
        }
    }
}

/* This rank's images in every pass. -1 for more passes than are expected. */
static int passes_over(pb_comm *comm, pb_pixels *pixels, pb_status *status) {
    const pb_range mine = pb_partition(PIXEL_IMAGES, pb_comm_size(comm), pb_comm_rank(comm));
    bool again = true;
    int passes = 0;
    for (; again && passes < 100; passes++) {
        for (size_t i = (size_t)mine.first; i < mine.end; i++)
            pb_pixels_add(pixels, pixel_scores + i * PIXEL_AREA, regions_of(i) > 0 ? pixel_sizes + i * PIXEL_AREA : NULL,
                          PIXEL_AREA, regions_of(i));
        *status = pb_pixels_next(pixels, &again);
    }
    return again ? -1 : passes;
}

/* Compares with the definition; the bits are those of rank 0 by itself. */
static void compare_pixels(pb_comm *comm, int passes_least) {
    pb_comm *self;
    must_pixels(pb_comm_create_self(&self));
    pb_pixel_figures found[2];
    double auroc, pro;
    for (int which = 0; which < (pb_comm_rank(comm) == 0 ? 2 : 1); which++) {
        pb_comm *ranks = which == 0 ? comm : self;
        pb_pixels *pixels;
        pb_status status;
        must_pixels(pb_pixels_create(ranks, &pixels));
        HOLDS(passes_over(ranks, pixels, &status) >= passes_least);
        must_pixels(status);
        must_pixels(pb_pixels_figures(pixels, &found[which]));
        pb_pixels_free(&pixels);
    }
    pb_comm_destroy(&self);
    plain_figures(&auroc, &pro);
    HOLDS(fabs(found[0].auroc - auroc) <= 1e-12);
    HOLDS(fabs(found[0].pro - pro) <= 100 * 0x1p-40);
    HOLDS(pb_comm_rank(comm) > 0 || memcmp(&found[0], &found[1], sizeof found[0]) == 0);
    HOLDS(found[0].normal + found[0].defective == PIXEL_COUNT && found[0].regions == 15);
}

/* Within nine octaves: more values of the first level than one pass takes. */
static float spread_score(uint32_t random, bool defective) {
    return exp2f((float)(random >> 8) * 0x1p-21f) * (defective ? 1.5f : 1.0f);
}

/* The same bits of the first level for nearly all: what is below decides. */
static float close_score(uint32_t random, bool defective) {
    return 1.0f + (float)(random % 50 + (defective ? 10 : 0)) * 0x1p-23f;
}

/* Both zeros among them, which are one score. */
static float few_scores(uint32_t random, bool defective) {
    return (float)(random % 3 + (defective ? 1 : 0)) * (random % 5 == 0 ? -0.0f : 1.0f);
}

static void pixels_plain(pb_comm *comm) {
    make_pixels(spread_score);
    compare_pixels(comm, 3);
    make_pixels(close_score);
    compare_pixels(comm, 2);
}

static void pixels_ties(pb_comm *comm) {
    make_pixels(few_scores);
    compare_pixels(comm, 2);
}

static float one_score(uint32_t random, bool defective) {
    (void)random;
    (void)defective;
    return 0.25f;
}

/* All pixels are one point of the curve, which is then a straight line: the area below it up to 0.3 is half of that. */
static void pixels_limit(pb_comm *comm) {
    make_pixels(one_score);
    compare_pixels(comm, 2);
    double auroc, pro;
    plain_figures(&auroc, &pro);
    HOLDS(fabs(auroc - 0.5) < 1e-12 && fabs(pro - 0.15) < 1e-12);
}

/* More than their shares could be summed of. */
static void pixels_regions(pb_comm *comm) {
    static const float SCORE = 1;
    pb_pixels *pixels;
    bool again;
    must_pixels(pb_pixels_create(comm, &pixels));
    pb_pixels_add(pixels, &SCORE, NULL, 1, pb_comm_rank(comm) == 0 ? PB_PIXELS_REGIONS_MAX + 1 : 0);
    pb_status status = pb_pixels_next(pixels, &again);
    HOLDS(status.code == PB_E_UNSUPPORTED && strstr(status.message, "8388609 regions") && !again);
    pb_pixels_free(&pixels);
}

static void pixels_one_kind(pb_comm *comm) {
    for (int defective = 0; defective < 2; defective++) {
        static const float SCORES[2] = {1, 2};
        const uint32_t sizes[2] = {2, 2};
        pb_pixels *pixels;
        pb_pixel_figures figures;
        bool again;
        must_pixels(pb_pixels_create(comm, &pixels));
        pb_pixels_add(pixels, SCORES, defective ? sizes : NULL, 2, (size_t)defective);
        must_pixels(pb_pixels_next(pixels, &again));
        HOLDS(!again);
        pb_status status = pb_pixels_figures(pixels, &figures);
        HOLDS(status.code == PB_E_INPUT && strstr(status.message, "needs both kinds") && isnan(figures.auroc));
        pb_pixels_free(&pixels);
    }
}

/* The last rank has none for the second pass. */
static void pixels_no_memory(pb_comm *comm) {
    pb_pixels *pixels;
    char fault[64];
    bool again;
    make_pixels(few_scores);
    must_pixels(pb_pixels_create(comm, &pixels));
    pb_pixels_add(pixels, pixel_scores + PIXEL_AREA, pixel_sizes + PIXEL_AREA, PIXEL_AREA, 1);
    snprintf(fault, sizeof fault, "base.allocate@%d:1", pb_comm_size(comm) - 1);
    must_pixels(pb_fault_arm(fault, pb_comm_rank(comm)));
    pb_status status = pb_pixels_next(pixels, &again);
    HOLDS(status.code == PB_E_SYSTEM && !again);
    must_pixels(pb_fault_arm("", 0));
    pb_pixels_free(&pixels);
}

#endif
