/* nccl.h: private to gpu/cuda/: the part of NCCL that peers.c uses, found at run time.
 *
 * NCCL is neither linked nor needed to build: the declarations below are those of NCCL's own nccl.h of 2.28, with names of ours
 * (tests/gpu/cuda/nccl_header.c compares the two where NCCL is installed). Libraries from 2.14 on, the first that need not block,
 * take a configuration of any version: it says its size and version itself.
 */
#ifndef PB_GPU_CUDA_NCCL_H
#define PB_GPU_CUDA_NCCL_H

#include <cuda_runtime_api.h>
#include <limits.h>
#include <stddef.h>

typedef struct pb_nccl_group *pb_nccl_comm; /* ncclComm_t */

typedef struct pb_nccl_id {
    char bytes[128];
} pb_nccl_id; /* ncclUniqueId */

typedef enum pb_nccl_result {
    PB_NCCL_SUCCESS = 0,
    PB_NCCL_SYSTEM_ERROR = 2,
    PB_NCCL_REMOTE_ERROR = 6,
    PB_NCCL_IN_PROGRESS = 7
} pb_nccl_result; /* ncclResult_t, the values that anything here names */

typedef enum pb_nccl_type { PB_NCCL_UINT8 = 1, PB_NCCL_UINT64 = 5 } pb_nccl_type; /* ncclDataType_t */

typedef enum pb_nccl_operation { PB_NCCL_MAX = 2 } pb_nccl_operation; /* ncclRedOp_t */

/* ncclConfig_t. */
typedef struct pb_nccl_config {
    size_t size;
    unsigned magic, version;
    int blocking, cga_cluster_size, min_ctas, max_ctas;
    const char *net_name;
    int split_share, traffic_class;
    const char *comm_name;
    int collnet_enable, cta_policy, shrink_share, nvls_ctas, channels_per_net_peer, nvlink_centric_sched;
} pb_nccl_config;

/* NCCL_CONFIG_INITIALIZER, except that no call waits: what is still to do is asked for by CommGetAsyncError. */
#define PB_NCCL_CONFIG                                                                                                       \
    {.size = sizeof(pb_nccl_config), .magic = 0xcafebeef, .version = 22809, .blocking = 0, .cga_cluster_size = INT_MIN,      \
     .min_ctas = INT_MIN, .max_ctas = INT_MIN, .net_name = NULL, .split_share = INT_MIN, .traffic_class = INT_MIN,           \
     .comm_name = NULL, .collnet_enable = INT_MIN, .cta_policy = INT_MIN, .shrink_share = INT_MIN, .nvls_ctas = INT_MIN,     \
     .channels_per_net_peer = INT_MIN, .nvlink_centric_sched = INT_MIN}

/* The functions: result, name without "nccl", arguments. */
#define PB_NCCL_FUNCTIONS(X)                                                                                                 \
    X(pb_nccl_result, GetVersion, (int *version))                                                                            \
    X(pb_nccl_result, GetUniqueId, (pb_nccl_id * id))                                                                        \
    X(pb_nccl_result, CommInitRankConfig, (pb_nccl_comm * comm, int size, pb_nccl_id id, int rank, pb_nccl_config *config))  \
    X(pb_nccl_result, CommFinalize, (pb_nccl_comm comm))                                                                     \
    X(pb_nccl_result, CommDestroy, (pb_nccl_comm comm))                                                                      \
    X(pb_nccl_result, CommAbort, (pb_nccl_comm comm))                                                                        \
    X(pb_nccl_result, CommGetAsyncError, (pb_nccl_comm comm, pb_nccl_result * state))                                        \
    X(const char *, GetErrorString, (pb_nccl_result result))                                                                 \
    X(pb_nccl_result, AllReduce,                                                                                             \
      (const void *send, void *receive, size_t count, pb_nccl_type type, pb_nccl_operation operation, pb_nccl_comm comm,     \
       cudaStream_t stream))                                                                                                 \
    X(pb_nccl_result, Broadcast,                                                                                             \
      (const void *send, void *receive, size_t count, pb_nccl_type type, int root, pb_nccl_comm comm, cudaStream_t stream))  \
    X(pb_nccl_result, Send,                                                                                                  \
      (const void *send, size_t count, pb_nccl_type type, int peer, pb_nccl_comm comm, cudaStream_t stream))                 \
    X(pb_nccl_result, Recv,                                                                                                  \
      (void *receive, size_t count, pb_nccl_type type, int peer, pb_nccl_comm comm, cudaStream_t stream))                    \
    X(pb_nccl_result, GroupStart, (void))                                                                                    \
    X(pb_nccl_result, GroupEnd, (void))

#define PB_NCCL_MEMBER(result, name, arguments) result(*name) arguments;
/* The functions, without "nccl" before their names. */
typedef struct pb_nccl {
    PB_NCCL_FUNCTIONS(PB_NCCL_MEMBER)
} pb_nccl;
#undef PB_NCCL_MEMBER

/* The library, opened at the first call that finds it and kept; NULL with the reason in *why_not, which is static, where there is
 * none or an older one. */
const pb_nccl *pb_nccl_library(const char **why_not);

#endif
