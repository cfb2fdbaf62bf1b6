/* search.h: scoring: the nearest bank row of every query patch, the bank sharded over the ranks.
 *
 * Each rank holds the rows of its range (mpi/partition.h). In a search the shards travel round a ring: after size - 1
 * exchanges every query has met every row. A rank holds its own shard, two travelling ones, and one on the device (a CPU: twice,
 * for its filter). The nearest row is decided by the canonical distance, then the smallest row, so the result does not depend on
 * the ring.
 *
 * Life: pb_search_create; perhaps pb_search_reserve, so that lack of memory shows before images are read; pb_search_nearest for
 * each batch, on all ranks; pb_search_free.
 */
#ifndef PB_CORESET_SEARCH_H
#define PB_CORESET_SEARCH_H

#include "base/status.h"
#include "mpi/device_comm.h"

#include <stddef.h>
#include <stdint.h>

/* A bank ready to be searched: this rank's share of it. Used by one thread. */
typedef struct pb_search pb_search;

/* Collective over the ranks of devices, which is borrowed and must outlive the search. shard: host memory, [rows of this rank's
 * range of total_rows][dim], copied; a range may be empty. total_rows, 1 to 2^32 - 2, and dim are the same on all ranks. Errors,
 * agreed: the device's; PB_E_SYSTEM (memory); PB_E_INPUT when a value is not finite, with its row. Out: *search, owned by the
 * caller, NULL on error. pb_search_free: not collective; NULL is fine, *search is NULL afterwards. */
PB_CHECKED pb_status pb_search_create(pb_device_comm *devices, const float *shard, uint64_t total_rows, int dim,
                                      pb_search **search_out);
void pb_search_free(pb_search **search);

/* Makes room for `count` queries, so that pb_search_nearest of as many needs no memory: 8 bytes a query on the device and 8 on
 * the host. Room only grows. Not collective. Errors: PB_E_SYSTEM; the search can be used all the same. Fault point:
 * search.memory. */
PB_CHECKED pb_status pb_search_reserve(pb_search *search, size_t count);

/* Collective: every rank calls it equally often, with any number of queries of its own (0 too; the pointers may then be NULL).
 * queries: device memory, [count][dim]. Out, host memory of the caller: distance[count] (not squared, sqrtf of the canonical one;
 * +infinity where that overflows) and row[count] (global row of the bank, the smallest of those at that distance). Queries must
 * be finite: what is found for one that is not means nothing. Errors, agreed: the device's; PB_E_INPUT as above; after one only
 * pb_search_free may follow. Cost a rank: (size - 1) shards sent and received, count * total_rows distances. */
PB_CHECKED pb_status pb_search_nearest(pb_search *search, const float *queries, size_t count, float *distance, uint32_t *row);

#endif
