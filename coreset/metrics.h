/* metrics.h: how good the scores are. Plain arithmetic on host arrays; not collective. */
#ifndef PB_CORESET_METRICS_H
#define PB_CORESET_METRICS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Area under the ROC curve: the probability that a defective item scores above a normal one, a tie counting one half
 * (Mann and Whitney), computed exactly from mid-ranks in O(n log n). defective[i] tells the class of item i.
 * Errors: PB_E_INPUT when one of the classes is empty or a score is NaN; n is then said. */
PB_CHECKED pb_status pb_auroc(const double *scores, const bool *defective, size_t n, double *auroc_out);

/* The same probability over near pairs only: pairs of a defective and a normal item with |group - group| <= within. It takes out
 * what separates the groups (modules, batches) rather than the defects. *pairs counts them. O(n log n), exactly, however
 * many pairs there are. within >= 0; any group numbers do. Errors: PB_E_INPUT when there is no such pair or a score is NaN;
 * *pairs is then 0. */
PB_CHECKED pb_status pb_auroc_near_pairs(const double *scores, const bool *defective, const int64_t *group, size_t n,
                                         int64_t within, double *auroc_out, uint64_t *pairs_out);

#endif
