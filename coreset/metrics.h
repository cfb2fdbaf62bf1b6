/* metrics.h: how good the scores are. Plain arithmetic on host arrays; not collective. */
#ifndef PB_CORESET_METRICS_H
#define PB_CORESET_METRICS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Area under the ROC curve: the probability that a defective item scores above a normal one, a tie counting one half (H. B. Mann,
 * D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the other", 1947), counted
 * exactly in O(n log n) and rounded once, in the division. scores[n], host memory, may be infinite; defective[i] tells the class
 * of item i. Memory: 32 bytes an item. Thread safe. Errors: PB_E_INPUT when one of the classes is empty, with the numbers of
 * both, or a score is NaN, with its index; PB_E_SYSTEM; *auroc_out is NaN then. */
PB_CHECKED pb_status pb_auroc(const double *scores, const bool *defective, size_t n, double *auroc_out);

/* The same probability over near pairs only: pairs of a defective and a normal item with |group - group| <= within. It takes out
 * what separates the groups (modules, batches) rather than the defects. *pairs_out counts them. O(n log n), exactly, however many
 * pairs there are. within >= 0 (0: the same group); any group numbers do, in any order. Errors: PB_E_INPUT when there is no such
 * pair, or a score is NaN, with its index; PB_E_SYSTEM; *auroc_out is then NaN and *pairs_out 0. */
PB_CHECKED pb_status pb_auroc_near_pairs(const double *scores, const bool *defective, const int64_t *group, size_t n,
                                         int64_t within, double *auroc_out, uint64_t *pairs_out);

#endif
