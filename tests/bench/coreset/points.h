/* points.h: private to tests/bench/: where the points of bench_coreset come from. Every row is a function of its number alone, so
 * that any rank can have any row. Not collective. */
#ifndef PB_BENCH_CORESET_POINTS_H
#define PB_BENCH_CORESET_POINTS_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A source of rows of `dim` values. */
typedef struct bench_points {
    int file; /* descriptor of raw float32 rows, or -1: the points are made */
    int dim;
    uint64_t file_rows, total; /* rows of the file; rows that there are in all */
    uint64_t seed;
    double noise; /* of drawn rows, below */
    int kind;     /* points.c */
    float *map;   /* of "mixture" */
} bench_points;

/* name: a file of raw float32 [rows][dim], or "uniform" (the cube (-1, 1)^dim), or "mixture" (1,000 groups on an 8-dimensional
 * sheet in dim dimensions, a little off it). total: how many rows; 0: those of the file, as they are. With a total the rows of a
 * file are drawn from it with replacement, each value times 1 + noise * u, u uniform in (-1, 1). Ends the process on trouble. */
void bench_points_open(const char *name, int dim, uint64_t total, double noise, uint64_t seed, bench_points *points);
void bench_points_close(bench_points *points);

/* Rows first .. first + count - 1. */
void bench_points_rows(const bench_points *points, uint64_t first, size_t count, float *rows);

/* Ends the process with a message when the status is a failure. */
void bench_must(pb_status status);

#endif
