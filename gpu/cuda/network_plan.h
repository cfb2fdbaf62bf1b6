/* network_plan.h: private to gpu/cuda/: graphs to cuDNN's execution plans.
 *
 * A plan is made for a device that is described, not for one that is there: cuDNN compiles for it, and only running a plan needs
 * the GPU. So plans of all layers are made in tests on machines without one.
 *
 * Which plan: the first in the order of cuDNN's heuristics (mode A, then its fallbacks) that is exact enough for the precision,
 * gives the same bits every time, and needs no more than a given workspace. Not by trying how fast they are: the choice would
 * then differ from run to run, and with it the bits of features.
 *
 * Nothing here is collective; a pb_plan_device is used by one thread at a time.
 */
#ifndef PB_GPU_CUDA_NETWORK_PLAN_H
#define PB_GPU_CUDA_NETWORK_PLAN_H

#include "gpu/cuda/network_cudnn.h"
#include "gpu/cuda/network_graph.h"

/* cuDNN's objects that live and end together. */
enum { PB_PLAN_OBJECTS_MAX = 40 };

typedef struct pb_plan_objects {
    int count;
    cudnnBackendDescriptor_t all[PB_PLAN_OBJECTS_MAX];
} pb_plan_objects;

/* A device to make plans for. */
typedef struct pb_plan_device {
    const pb_cudnn *cudnn;
    cudnnBackendDescriptor_t properties;
    char *description; /* cuDNN's own, JSON */
    char *model;       /* the description without what tells one GPU of a node from the next: they run the same plans */
    pb_plan_objects objects;
} pb_plan_device;

/* The GPU of a number, or the one that a description says, which need not be there. Out: *device_out, owned by the caller, ended
 * by pb_plan_device_close, which takes an empty one. Errors: those of pb_cudnn_check; *device_out is then empty. */
PB_CHECKED pb_status pb_plan_device_open(const pb_cudnn *cudnn, int ordinal, pb_plan_device *device_out);
PB_CHECKED pb_status pb_plan_device_describe(const pb_cudnn *cudnn, const char *description, pb_plan_device *device_out);
void pb_plan_device_close(pb_plan_device *device);

typedef struct pb_plan {
    cudnnBackendDescriptor_t plan;
    int64_t workspace; /* bytes of device memory, aligned to 256, that a run may use */
    pb_plan_objects objects;
} pb_plan;

/* Makes a plan. workspace_max: bytes. layer: a name for messages. Out: *plan_out, ended by pb_plan_free, which takes an empty
 * one. Errors: PB_E_UNSUPPORTED when there is none, with layer, graph, how many were tried and what was said last; those of
 * pb_cudnn_check. *plan_out is then empty. Takes about a second where cuDNN compiles a kernel. */
PB_CHECKED pb_status pb_plan_make(const pb_plan_device *device, const pb_graph *graph, pb_precision precision,
                                  int64_t workspace_max, const char *layer, pb_plan *plan_out);

/* A plan as text, with its compiled kernels, and back: in a millisecond. Only text of the same version of cuDNN and a device of
 * the same model may come back. *text_out: zero-terminated, released by pb_release. */
PB_CHECKED pb_status pb_plan_to_text(const pb_plan_device *device, const pb_plan *plan, char **text_out);
PB_CHECKED pb_status pb_plan_from_text(const pb_plan_device *device, const char *text, pb_plan *plan_out);

/* Queues a run on the handle's stream. memory: of each role that the graph has, device memory as its tensors say, aligned to 16
 * bytes; of PB_GRAPH_SCALE host memory, which is free to go on return. workspace: of the plan's size at least. The device must be
 * there. Errors: those of pb_cudnn_check. */
PB_CHECKED pb_status pb_plan_run(const pb_plan_device *device, cudnnHandle_t handle, const pb_plan *plan, const pb_graph *graph,
                                 void *const memory[PB_GRAPH_ROLES], void *workspace);

void pb_plan_free(const pb_plan_device *device, pb_plan *plan);

#endif
