/* points.c: rows from a file, drawn from a file, or made. */
#include "points.h"

#include "base/memory.h"
#include "base/random.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AS_THEY_ARE, DRAWN, UNIFORM, MIXTURE };
enum { SHEET = 8, GROUPS = 1000, DIM_MOST = 4096 };
/* Users of the one stream of numbers. */
enum { DRAW = 1, NOISE, VALUE, GROUP, CENTRE, SPREAD, MAP };

void bench_must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "bench_coreset: %s\n", status.message);
        exit(status.code);
    }
}

static void open_file(const char *name, bench_points *points) {
    struct stat about;
    size_t row = (size_t)points->dim * sizeof(float);
    points->file = open(name, O_RDONLY);
    if (points->file < 0 || fstat(points->file, &about) != 0)
        bench_must(pb_fail(PB_E_INPUT, "%s: cannot be opened", name));
    points->file_rows = (uint64_t)about.st_size / row;
    if (points->file_rows == 0 || (uint64_t)about.st_size % row != 0)
        bench_must(pb_fail(PB_E_INPUT, "%s: %lld bytes, not rows of %d floats", name, (long long)about.st_size, points->dim));
}

static void make_map(bench_points *points) {
    size_t values = SHEET * (size_t)points->dim;
    bench_must(pb_allocate(&points->map, values, sizeof *points->map, "the sheet"));
    for (size_t i = 0; i < values; i++)
        points->map[i] = pb_random_symmetric(points->seed, PB_STREAM_TEST, MAP, i);
}

void bench_points_open(const char *name, int dim, uint64_t total, double noise, uint64_t seed, bench_points *points) {
    *points = (bench_points){.file = -1, .dim = dim, .total = total, .noise = noise, .seed = seed};
    points->kind = strcmp(name, "uniform") == 0   ? UNIFORM
                   : strcmp(name, "mixture") == 0 ? MIXTURE
                   : total > 0                    ? DRAWN
                                                  : AS_THEY_ARE;
    if (points->kind == MIXTURE)
        make_map(points);
    if (points->kind == DRAWN || points->kind == AS_THEY_ARE)
        open_file(name, points);
    if (points->kind == AS_THEY_ARE)
        points->total = points->file_rows;
    if (points->total == 0 || points->total >= UINT32_MAX)
        bench_must(pb_fail(PB_E_USAGE, "--points %s needs --total below 2^32", name));
}

void bench_points_close(bench_points *points) {
    if (points->file >= 0)
        close(points->file);
    pb_release(&points->map);
}

static void read_rows(const bench_points *points, uint64_t first, size_t count, float *rows) {
    size_t row = (size_t)points->dim * sizeof(float), wanted = count * row;
    for (size_t done = 0; done < wanted;) {
        ssize_t got = pread(points->file, (char *)rows + done, wanted - done, (off_t)(first * row + done));
        if (got <= 0)
            bench_must(pb_fail(PB_E_SYSTEM, "the points cannot be read"));
        done += (size_t)got;
    }
}

/* A number in 0 .. below - 1, for below < 2^32. */
static uint64_t draw(const bench_points *points, uint32_t user, uint64_t index, uint64_t below) {
    return (uint64_t)pb_random_u32(points->seed, PB_STREAM_TEST, user, index) * below >> 32;
}

/* dim values of user `user` for row `index`, uniform in (-1, 1). */
static void uniform(const bench_points *points, uint32_t user, uint64_t index, int dim, float *values) {
    uint32_t block[4];
    for (int k = 0; k < dim; k++) {
        if (k % 4 == 0)
            pb_random_block(points->seed, PB_STREAM_TEST, user, index * (uint64_t)((dim + 3) / 4) + (uint64_t)k / 4, block);
        values[k] = ((float)(int32_t)(block[k % 4] >> 8) - 8388607.5f) * 0x1p-23f;
    }
}

static void draw_row(const bench_points *points, uint64_t index, float *row) {
    float change[DIM_MOST];
    read_rows(points, draw(points, DRAW, index, points->file_rows), 1, row);
    uniform(points, NOISE, index, points->dim, change);
    for (int k = 0; k < points->dim; k++)
        row[k] *= 1 + (float)points->noise * change[k];
}

static void mixture_row(const bench_points *points, uint64_t index, float *row) {
    float centre[SHEET], spread[SHEET];
    uniform(points, CENTRE, draw(points, GROUP, index, GROUPS), SHEET, centre);
    uniform(points, SPREAD, index, SHEET, spread);
    uniform(points, VALUE, index, points->dim, row);
    for (int k = 0; k < points->dim; k++) {
        row[k] *= 0.1f;
        for (int s = 0; s < SHEET; s++)
            row[k] += (centre[s] + 0.3f * spread[s]) * points->map[s * points->dim + k];
    }
}

void bench_points_rows(const bench_points *points, uint64_t first, size_t count, float *rows) {
    if (points->kind == AS_THEY_ARE) {
        read_rows(points, first, count, rows);
        return;
    }
    for (size_t i = 0; i < count; i++, rows += points->dim) {
        if (points->kind == DRAWN)
            draw_row(points, first + i, rows);
        else if (points->kind == MIXTURE)
            mixture_row(points, first + i, rows);
        else
            uniform(points, VALUE, first + i, points->dim, rows);
    }
}
