/* outlier_cases.h: cases of coreset/outlier.c, part of cases.c. */
#ifndef PB_TESTS_CORESET_OUTLIER_CASES_H
#define PB_TESTS_CORESET_OUTLIER_CASES_H

#include "coreset/outlier.h"

/* Two clusters on a line, one ten times as wide as the other, and one point between them: nearest distances are read off the
 * line; lof does not mind the wide cluster, and finds the point. */
static void outlier_line(pb_comm *comm) {
    enum { N = 21, DIM = 3 };
    float rows[N * DIM] = {0}, near[N], lof[N];
    (void)comm;
    for (int i = 0; i < 10; i++) {
        rows[i * DIM + 1] = (float)i;
        rows[(i + 10) * DIM + 1] = (float)(1000 + 10 * i);
    }
    rows[20 * DIM + 1] = 50;
    must(pb_outlier_scores(PB_OUTLIER_NEAREST, rows, N, DIM, 2, near));
    must(pb_outlier_scores(PB_OUTLIER_LOF, rows, N, DIM, 2, lof));
    for (int i = 0; i < 20; i++) {
        HOLDS(near[i] == (i < 10 ? 1 : 10));
        HOLDS(lof[i] > 0.8f && lof[i] < 1.3f);
    }
    HOLDS(near[20] == 41 && lof[20] > 5);
}

/* Distances in double and whole sorted lists, without tiles: the definitions as they stand in the paper. */
static void outlier_plain(pb_comm *comm) {
    enum { N = 70, DIM = 9, K = PB_LOF_NEIGHBOURS };
    static double distance[N][N], order[N][N], reach[N], density[N];
    static float near[N], lof[N];
    (void)comm;
    fill(21, N * DIM);
    must(pb_outlier_scores(PB_OUTLIER_NEAREST, all, N, DIM, 3, near));
    must(pb_outlier_scores(PB_OUTLIER_LOF, all, N, DIM, 1, lof));
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int d = 0; d < DIM; d++)
                sum += pow((double)all[i * DIM + d] - (double)all[j * DIM + d], 2);
            distance[i][j] = order[i][j] = i == j ? INFINITY : sqrt(sum);
        }
        for (int a = 0; a < N; a++) /* sorts */
            for (int b = a + 1; b < N; b++)
                if (order[i][b] < order[i][a]) {
                    double kept = order[i][a];
                    order[i][a] = order[i][b];
                    order[i][b] = kept;
                }
        reach[i] = order[i][K - 1];
        HOLDS(fabs((double)near[i] - order[i][0]) <= 1e-5);
    }
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int j = 0; j < N; j++)
            sum += distance[i][j] <= reach[i] ? fmax(distance[i][j], reach[j]) : 0;
        density[i] = K / sum;
    }
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int j = 0; j < N; j++)
            sum += distance[i][j] <= reach[i] ? density[j] : 0;
        HOLDS(fabs((double)lof[i] - sum / K / density[i]) <= 1e-5);
    }
}

/* Fewer rows than neighbours, equal rows, rows too far apart. */
static void outlier_few(pb_comm *comm) {
    float rows[8] = {1, 1, 1, 1, 1, 1, 1, 1}, scores[8] = {7};
    (void)comm;
    must(pb_outlier_scores(PB_OUTLIER_LOF, rows, 0, 1, 1, scores));
    HOLDS(scores[0] == 7);
    must(pb_outlier_scores(PB_OUTLIER_LOF, rows, 1, 1, 1, scores));
    HOLDS(scores[0] == 0);
    for (size_t n = 2; n <= 8; n++) {
        must(pb_outlier_scores(PB_OUTLIER_LOF, rows, n, 1, 1, scores));
        for (size_t i = 0; i < n; i++)
            HOLDS(scores[i] >= 0.999f && scores[i] <= 1.001f);
    }
    rows[0] = 3e38f;
    must(pb_outlier_scores(PB_OUTLIER_NEAREST, rows, 8, 1, 1, scores));
    HOLDS(isinf(scores[0]) && scores[1] == 0);
}

static int rising(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

/* Against sorting everything; many scores are equal. */
static void outlier_limit(pb_comm *comm) {
    enum { N = 500 };
    static const uint64_t MOST[] = {0, 1, 37, 250, 499, 500, 1000};
    float sorted[N];
    pb_range mine = pb_partition(N, pb_comm_size(comm), pb_comm_rank(comm));
    fill(22, N);
    for (int i = 0; i < N; i++)
        all[i] = sorted[i] = floorf(20 * fabsf(all[i])) / 7;
    qsort(sorted, N, sizeof *sorted, rising);
    for (size_t i = 0; i < sizeof MOST / sizeof MOST[0]; i++) {
        float limit = pb_outlier_limit(comm, all + mine.first, pb_range_size(mine), MOST[i]);
        HOLDS(limit == (MOST[i] < N ? sorted[N - 1 - MOST[i]] : 0));
    }
}

#endif
