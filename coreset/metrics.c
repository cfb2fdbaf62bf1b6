#include "coreset/metrics.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

typedef struct scored {
    double score;
    bool defective;
    int64_t group;
} scored;

static int by_score(const void *left, const void *right) {
    double a = ((const scored *)left)->score, b = ((const scored *)right)->score;
    return (a > b) - (a < b);
}

static int by_group(const void *left, const void *right) {
    int64_t a = ((const scored *)left)->group, b = ((const scored *)right)->group;
    return (a > b) - (a < b);
}

/* Copies the items; refuses NaN, which has no rank. */
static pb_status collect(const double *scores, const bool *defective, const int64_t *group, size_t n, scored **items_out) {
    scored *items;
    PB_TRY(pb_allocate(&items, n, sizeof *items, "scores"));
    *items_out = items;
    for (size_t i = 0; i < n; i++) {
        items[i] = (scored){scores[i], defective[i], group ? group[i] : 0};
        if (isnan(scores[i])) {
            pb_release(items_out);
            return pb_fail(PB_E_INPUT, "score %zu is NaN", i);
        }
    }
    return pb_ok();
}

/* Twice the number of (defective, normal) pairs in which the defective item is above, ties counting once: an exact integer.
 * items are sorted by score. */
static uint64_t doubled_wins(const scored *items, size_t n) {
    uint64_t doubled = 0, normal_below = 0;
    for (size_t begin = 0; begin < n;) {
        uint64_t tied_normal = 0, tied_defective = 0;
        size_t end = begin;
        for (; end < n && items[end].score <= items[begin].score; end++)
            items[end].defective ? tied_defective++ : tied_normal++;
        doubled += tied_defective * (2 * normal_below + tied_normal);
        normal_below += tied_normal;
        begin = end;
    }
    return doubled;
}

pb_status pb_auroc(const double *scores, const bool *defective, size_t n, double *auroc_out) {
    *auroc_out = NAN;
    scored *items;
    PB_TRY(collect(scores, defective, NULL, n, &items));
    uint64_t defects = 0;
    for (size_t i = 0; i < n; i++)
        defects += items[i].defective;
    uint64_t normals = n - defects;
    if (defects == 0 || normals == 0) {
        pb_release(&items);
        return pb_fail(PB_E_INPUT, "AUROC needs both kinds: %llu defective and %llu normal images are labelled",
                       (unsigned long long)defects, (unsigned long long)normals);
    }
    qsort(items, n, sizeof *items, by_score);
    *auroc_out = (double)doubled_wins(items, n) / (2.0 * (double)defects * (double)normals);
    pb_release(&items);
    return pb_ok();
}

/* True when |a - b| <= within, also where the difference would overflow. a >= b. */
static bool is_near(int64_t a, int64_t b, int64_t within) { return (uint64_t)a - (uint64_t)b <= (uint64_t)within; }

static void count_pair(const scored *one, const scored *other, uint64_t *doubled, uint64_t *pairs) {
    if (one->defective == other->defective)
        return;
    double defect = one->defective ? one->score : other->score, normal = one->defective ? other->score : one->score;
    *doubled += defect > normal ? 2 : defect >= normal ? 1 : 0;
    ++*pairs;
}

pb_status pb_auroc_near_pairs(const double *scores, const bool *defective, const int64_t *group, size_t n, int64_t within,
                              double *auroc_out, uint64_t *pairs_out) {
    PB_ASSERT(within >= 0);
    *auroc_out = NAN;
    *pairs_out = 0;
    scored *items;
    PB_TRY(collect(scores, defective, group, n, &items));
    qsort(items, n, sizeof *items, by_group);
    uint64_t doubled = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j-- > 0 && is_near(items[i].group, items[j].group, within);)
            count_pair(&items[i], &items[j], &doubled, pairs_out);
    pb_release(&items);
    if (*pairs_out == 0)
        return pb_fail(PB_E_INPUT, "no pair of a defective and a normal image lies within %lld groups", (long long)within);
    *auroc_out = (double)doubled / (2.0 * (double)*pairs_out);
    return pb_ok();
}
