/* search.h: scoring: the nearest bank row of every query patch, the bank sharded over the ranks.
 *
 * Each rank holds the rows of its range (mpi/partition.h). In a search the shards travel round a ring: after size - 1
 * exchanges every query has met every row. A rank holds its own shard, two travelling ones, and one on the device (a CPU: twice,
 * for its filter). The nearest row is decided by the canonical distance, then the smallest row, so the result does not depend on
 * the ring.
 */
#ifndef PB_CORESET_SEARCH_H
#define PB_CORESET_SEARCH_H

#include "base/status.h"
#include "mpi/device_comm.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pb_search pb_search;

/* Collective. shard: host memory, [rows of this rank's range of total_rows][dim], copied. Errors, agreed: the device's;
 * PB_E_INPUT when a value is not finite. Out: *search, owned by the caller, NULL on error. */
PB_CHECKED pb_status pb_search_create(pb_device_comm *devices, const float *shard, uint64_t total_rows, int dim,
                                      pb_search **search_out);
void pb_search_free(pb_search **search);

/* Makes room for `count` queries, so that pb_search_nearest of as many needs no memory. Not collective. Errors: PB_E_SYSTEM; the
 * search can be used all the same. Fault point: search.memory. */
PB_CHECKED pb_status pb_search_reserve(pb_search *search, size_t count);

/* Collective: every rank calls it equally often, with any number of queries of its own (0 too).
 * queries: device memory, [count][dim]. Out, host memory of the caller: distance[count] (not squared, sqrtf of the canonical one)
 * and row[count] (global row of the bank). Errors, agreed: the device's; after
 * one only pb_search_free may follow. Cost a rank: (size - 1) shards sent and received, count
 * * total_rows distances. */
PB_CHECKED pb_status pb_search_nearest(pb_search *search, const float *queries, size_t count, float *distance, uint32_t *row);

#endif
