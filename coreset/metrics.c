/* metrics.c: areas under the ROC curve of images, exactly.
 *
 * An AUROC is a share of pairs of a defective and a normal item: those in which the defective one scores higher, a tie counting
 * one half. Counting them doubled keeps everything in whole numbers until the one division at the end, so that the order of equal
 * items, and thus qsort, which is not stable, cannot show. Doubled counts fit 64 bits for up to 2^31.5 items of each kind.
 *
 * pb_auroc sorts once and walks over runs of equal scores. pb_auroc_near_pairs, in which only items of neighbouring groups make
 * pairs, slides a window over the groups and keeps the normal items in it in a tree by rank: O(n log n) however many pairs there
 * are.
 */
#include "coreset/metrics.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

/* An item. Items are sorted by score and by group in turn. */
typedef struct scored {
    double score;
    bool defective;
    int64_t group;
    size_t rank; /* of its score among the distinct ones, from 1: rank_scores */
} scored;

/* Orders for qsort; scores are never NaN here, and may be infinite. */
static int by_score(const void *left, const void *right) {
    double a = ((const scored *)left)->score, b = ((const scored *)right)->score;
    return (a > b) - (a < b);
}

static int by_group(const void *left, const void *right) {
    int64_t a = ((const scored *)left)->group, b = ((const scored *)right)->group;
    return (a > b) - (a < b);
}

/* Copies the items into a new array, owned by the caller; refuses NaN, which has no rank. group may be NULL. Errors: PB_E_SYSTEM,
 * PB_E_INPUT; *items_out is then NULL. */
static pb_status collect(const double *scores, const bool *defective, const int64_t *group, size_t n, scored **items_out) {
    scored *items;
    PB_TRY(pb_allocate(&items, n, sizeof *items, "scores"));
    *items_out = items;
    for (size_t i = 0; i < n; i++) {
        items[i] = (scored){.score = scores[i], .defective = defective[i], .group = group ? group[i] : 0};
        if (isnan(scores[i])) {
            pb_release(items_out);
            return pb_fail(PB_E_INPUT, "score %zu is NaN", i);
        }
    }
    return pb_ok();
}

/* Twice the number of (defective, normal) pairs in which the defective item is above, ties counting once: an exact integer. items
 * are sorted by score. Of a run of equal scores each defective item wins against all normal ones below the run, and half against
 * those in it. */
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

/* The quotient of two whole numbers below 2^64, each rounded to double once. */
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

/* True when |a - b| <= within. a >= b. The difference of two int64_t may overflow, that of the same bits as uint64_t is the true
 * one. */
static bool is_near(int64_t a, int64_t b, int64_t within) { return (uint64_t)a - (uint64_t)b <= (uint64_t)within; }

/* The normal items of a window of groups, counted by rank: a Fenwick tree (P. M. Fenwick, "A new data structure for cumulative
 * frequency tables", 1994). Node k holds the count of ranks k - (lowest bit of k) + 1 .. k, so both ways take log2(ranks)
 * steps. */
typedef struct tally {
    size_t ranks;
    int64_t *nodes; /* [ranks + 1], node 0 is not used */
    int64_t total;
} tally;

/* Lets a normal item enter or leave the window. k & (~k + 1) is the lowest bit of k: the step to the next node that counts this
 * rank. */
static void tally_change(tally *normals, const scored *item, bool enters) {
    if (item->defective)
        return;
    int64_t change = enters ? 1 : -1;
    normals->total += change;
    for (size_t k = item->rank; k <= normals->ranks; k += k & (~k + 1))
        normals->nodes[k] += change;
}

/* How many have at most this rank, 0 for rank 0. k &= k - 1 takes the lowest bit away: the step to the node before. */
static uint64_t tally_up_to(const tally *normals, size_t rank) {
    int64_t sum = 0;
    for (size_t k = rank; k > 0; k &= k - 1)
        sum += normals->nodes[k];
    return (uint64_t)sum;
}

/* Numbers the distinct scores from 1 upwards, so that ties have the same rank; their number. The items are then in that order. */
static size_t rank_scores(scored *items, size_t n) {
    size_t rank = 0;
    qsort(items, n, sizeof *items, by_score);
    for (size_t i = 0; i < n; i++) {
        rank += i == 0 || items[i].score > items[i - 1].score;
        items[i].rank = rank;
    }
    return rank;
}

/* Takes the defective items in order of group while a window slides along that holds the normal ones within reach. Gives twice
 * the number of pairs won, a tie counting once. items are sorted by group. */
static uint64_t doubled_near_wins(const scored *items, size_t n, int64_t within, tally *normals, uint64_t *pairs) {
    uint64_t doubled = 0;
    size_t begin = 0, end = 0;
    for (size_t i = 0; i < n; i++) {
        int64_t group = items[i].group;
        if (!items[i].defective)
            continue;
        /* The window only moves on: groups of the defective items rise. It holds items begin .. end - 1. */
        for (; end < n && (items[end].group <= group || is_near(items[end].group, group, within)); end++)
            tally_change(normals, &items[end], true);
        for (; !is_near(group, items[begin].group, within); begin++)
            tally_change(normals, &items[begin], false);
        /* Those below count twice, in both terms; those that tie count once, in the second. */
        doubled += tally_up_to(normals, items[i].rank - 1) + tally_up_to(normals, items[i].rank);
        *pairs += (uint64_t)normals->total;
    }
    return doubled;
}

/* The figure of collected items, which it sorts. Ranks are given while they are in the order of scores; then they are sorted by
 * group. */
static pb_status near_pairs(scored *items, size_t n, int64_t within, double *auroc_out, uint64_t *pairs) {
    tally normals = {.ranks = rank_scores(items, n)};
    PB_TRY(pb_allocate(&normals.nodes, normals.ranks + 1, sizeof *normals.nodes, "ranks of scores"));
    qsort(items, n, sizeof *items, by_group);
    uint64_t doubled = doubled_near_wins(items, n, within, &normals, pairs);
    pb_release(&normals.nodes);
    if (*pairs == 0)
        return pb_fail(PB_E_INPUT, "no pair of a defective and a normal image lies within %lld groups", (long long)within);
    *auroc_out = (double)doubled / (2.0 * (double)*pairs);
    return pb_ok();
}

pb_status pb_auroc_near_pairs(const double *scores, const bool *defective, const int64_t *group, size_t n, int64_t within,
                              double *auroc_out, uint64_t *pairs_out) {
    PB_ASSERT(within >= 0);
    *auroc_out = NAN;
    *pairs_out = 0;
    scored *items;
    PB_TRY(collect(scores, defective, group, n, &items));
    pb_status status = near_pairs(items, n, within, auroc_out, pairs_out);
    pb_release(&items);
    return status;
}
