/* Compiles where gpu/cuda/nccl.h says what NCCL's own header does. */
#include "gpu/cuda/nccl.h"

#include <nccl.h>

#define SAME_VALUE(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs)
#define SAME_MEMBER(ours, theirs)                                                                             \
    _Static_assert(offsetof(pb_nccl_config, ours) == offsetof(ncclConfig_t, theirs) &&                        \
                       sizeof(((pb_nccl_config *)0)->ours) == sizeof(((ncclConfig_t *)0)->theirs),            \
                   #theirs)

SAME_VALUE(PB_NCCL_SUCCESS, ncclSuccess);
SAME_VALUE(PB_NCCL_SYSTEM_ERROR, ncclSystemError);
SAME_VALUE(PB_NCCL_REMOTE_ERROR, ncclRemoteError);
SAME_VALUE(PB_NCCL_IN_PROGRESS, ncclInProgress);
SAME_VALUE(PB_NCCL_UINT8, ncclUint8);
SAME_VALUE(PB_NCCL_UINT64, ncclUint64);
SAME_VALUE(PB_NCCL_MAX, ncclMax);
_Static_assert(sizeof(pb_nccl_id) == sizeof(ncclUniqueId), "ncclUniqueId");
_Static_assert(NCCL_CONFIG_UNDEF_INT == INT_MIN, "NCCL_CONFIG_UNDEF_INT");

/* Later versions append members; these stay. */
_Static_assert(sizeof(pb_nccl_config) <= sizeof(ncclConfig_t), "ncclConfig_t");
SAME_MEMBER(size, size);
SAME_MEMBER(magic, magic);
SAME_MEMBER(version, version);
SAME_MEMBER(blocking, blocking);
SAME_MEMBER(cga_cluster_size, cgaClusterSize);
SAME_MEMBER(min_ctas, minCTAs);
SAME_MEMBER(max_ctas, maxCTAs);
SAME_MEMBER(net_name, netName);
SAME_MEMBER(split_share, splitShare);
SAME_MEMBER(traffic_class, trafficClass);
SAME_MEMBER(comm_name, commName);
SAME_MEMBER(collnet_enable, collnetEnable);
SAME_MEMBER(cta_policy, CTAPolicy);
SAME_MEMBER(shrink_share, shrinkShare);
SAME_MEMBER(nvls_ctas, nvlsCTAs);
SAME_MEMBER(channels_per_net_peer, nChannelsPerNetPeer);
SAME_MEMBER(nvlink_centric_sched, nvlinkCentricSched);

/* Assigning one function pointer to another's type would only tell that they differ; the number of arguments is in the call. */
extern ncclResult_t nccl_header_calls(ncclComm_t comm, cudaStream_t stream, ncclUniqueId id, ncclConfig_t *config);
ncclResult_t nccl_header_calls(ncclComm_t comm, cudaStream_t stream, ncclUniqueId id, ncclConfig_t *config) {
    int version;
    ncclResult_t state;
    (void)ncclGetVersion(&version);
    (void)ncclGetUniqueId(&id);
    (void)ncclCommInitRankConfig(&comm, 1, id, 0, config);
    (void)ncclCommFinalize(comm), (void)ncclCommDestroy(comm), (void)ncclCommAbort(comm);
    (void)ncclCommGetAsyncError(comm, &state), (void)ncclGetErrorString(state);
    (void)ncclAllReduce(NULL, NULL, (size_t)1, ncclUint64, ncclMax, comm, stream);
    (void)ncclBroadcast(NULL, NULL, (size_t)1, ncclUint8, 0, comm, stream);
    (void)ncclSend(NULL, (size_t)1, ncclUint8, 0, comm, stream), (void)ncclRecv(NULL, (size_t)1, ncclUint8, 0, comm, stream);
    (void)ncclGroupStart();
    return ncclGroupEnd();
}
