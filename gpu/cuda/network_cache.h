/* network_cache.h: private to gpu/cuda/: plans that were made before, so that a job starts in a second and not in a minute.
 *
 * A cache is of one maker: a version of cuDNN and a device's model (with its driver), word for word. Plans of another maker are
 * not looked at. In memory a cache is its file: what is read is checked as a whole (size, checksum, bounds, maker) before one
 * plan of it is used, and what does not pass is an empty cache, never an error: plans can be made again.
 *
 * A plan holds compiled kernels, so that a cache is code, not data (docs/ARCHITECTURE.md, invariant 10): only a regular file
 * that belongs to the user, and that nobody else may write, is read.
 *
 * File, integers little-endian:
 *   8 bytes  "PBPLANS1"
 *   u64      how long the file is
 *   u64      bytes of the maker, and the maker
 *   entries  u64 bytes of the key, u64 bytes of the plan, the key, the plan; to 8 bytes before the end
 *   u64      FNV-1a of all before
 *
 * Not collective: each process has its own, and several, on any nodes, may save to the same file: the last one's stays, as a
 * whole.
 */
#ifndef PB_GPU_CUDA_NETWORK_CACHE_H
#define PB_GPU_CUDA_NETWORK_CACHE_H

#include "base/status.h"

#include <stddef.h>

typedef struct pb_plan_cache {
    char *path;         /* NULL: nothing is read and saved */
    char *maker;
    char *bytes;        /* what the file holds, but for the checksum */
    size_t used, room;  /* bytes */
    bool changed;       /* since it was read */
    char trouble[200];  /* why what was there was not taken; "" */
} pb_plan_cache;

/* Begins a cache with what the file of this maker in `folder` has. folder: NULL or "" for a cache of this process alone; it must
 * exist. maker: any text. Out: *cache_out, owned by the caller, ended by pb_plan_cache_close. Errors: PB_E_SYSTEM when memory is
 * out; *cache_out is then empty. PB_E_INPUT for a folder whose path is too long. A file that was not taken is cache->trouble, not
 * an error. */
PB_CHECKED pb_status pb_plan_cache_open(const char *folder, const char *maker, pb_plan_cache *cache_out);

/* A copy of the plan of a key, released by pb_release; NULL when there is none. Errors: PB_E_SYSTEM when memory is out. */
PB_CHECKED pb_status pb_plan_cache_get(const pb_plan_cache *cache, const char *key, char **plan_out);

/* Adds a plan. Of two with the same key the last counts. Errors: PB_E_SYSTEM when memory is out; the cache is as it was. */
PB_CHECKED pb_status pb_plan_cache_put(pb_plan_cache *cache, const char *key, const char *plan);

/* Writes the file, if there is anything new: under a temporary name, flushed, renamed. Errors: PB_E_SYSTEM or PB_E_INPUT with the
 * path; the old file is then still there. */
PB_CHECKED pb_status pb_plan_cache_save(pb_plan_cache *cache);

void pb_plan_cache_close(pb_plan_cache *cache);

#endif
