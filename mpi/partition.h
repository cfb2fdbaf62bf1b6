/* partition.h: who works on which images (bank rows, shards): contiguous global ranges.
 *
 * With n items over p ranks the first n % p ranks have one more: rank r has items first(r) .. first(r + 1) - 1. No result may
 * depend on it, only speed. Plain arithmetic: not collective, no errors; a rank may have nothing (n < p).
 */
#ifndef PB_MPI_PARTITION_H
#define PB_MPI_PARTITION_H

#include <stdint.h>

/* Global items first .. end - 1; empty where both are the same. */
typedef struct pb_range {
    uint64_t first, end;
} pb_range;

/* The range of `rank` among `ranks`, 0 <= rank < ranks (asserted). Ranges of rising ranks follow each other without gaps, from 0
 * to items; rank 0's is among the longest. */
pb_range pb_partition(uint64_t items, int ranks, int rank);

static inline uint64_t pb_range_size(pb_range range) { return range.end - range.first; }

#endif
