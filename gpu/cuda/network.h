/* network.h: private to gpu/cuda/: networks on the "cuda" device, by cuDNN: what fills the slots compile, run and compiled_free
 * of its table (contracts: gpu/device.h).
 *
 *   network_graph.c    a layer as a graph of operations          plain data
 *   network_weights.c  its weights in the graph's order and type plain data
 *   network_cudnn.c    the library
 *   network_plan.c     a graph's plan, for a device that need not be there
 *   network_cache.c    plans kept in a file
 *   network_kernels.h  the kernels of layers that have no graph
 *   network.c          memory, plans and weights together; running
 *
 * Results of an image depend on the image, the device's model, the version of cuDNN and batch_max alone: plans are made for
 * batch_max images and run on as many, however few are asked for, because another plan might sum in another order. Places that no
 * image was given for compute something that nobody reads.
 */
#ifndef PB_GPU_CUDA_NETWORK_H
#define PB_GPU_CUDA_NETWORK_H

#include "gpu/cuda/network_graph.h"
#include "gpu/device.h"

#include <cuda_runtime_api.h>

/* Where and how networks run. Copied by pb_cuda_network_compile; the texts must stay as long as a network does. */
typedef struct pb_cuda_place {
    const char *device;       /* for messages: "cuda:0 (NVIDIA H100)" */
    int ordinal;              /* the present device of the calling thread, in every call */
    cudaStream_t stream;      /* all work is queued here; not the default stream, which cannot be captured */
    pb_precision precision;
    const char *plans;        /* folder of plan caches, which must exist; NULL or "": plans are made anew */
} pb_cuda_place;

/* pb_device_compile on a place. Device memory: weights, the activations that live at the same time (gpu/network_memory.h) for
 * batch_max images, the largest workspace. Makes plans, about a second each where cuDNN compiles and the cache has none.
 * Waits for the stream. Errors:
 * PB_E_UNSUPPORTED without cuDNN, or for a layer without a plan or whose weights do not fit the precision, with the layer and
 * why; PB_E_SYSTEM when device memory is out, with how much batch_max images need, or when CUDA fails. A cache that cannot be
 * read or written is a line in the log. Not collective. */
PB_CHECKED pb_status pb_cuda_network_compile(const pb_cuda_place *place, const pb_network *network, int batch_max,
                                             pb_compiled **compiled_out);

/* pb_device_run. Queues the work and returns; taps are in place for what is queued on the stream later. After a first run, which
 * loads kernels, another may be captured as a CUDA graph. Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_cuda_network_run(pb_compiled *compiled, const uint8_t *images, int n, float *const *taps);

/* pb_device_compiled_free; NULL is fine. Waits for the stream. */
void pb_cuda_network_free(pb_compiled *compiled);

/* What decides the bits of features beside the device's model and the precision: "cuDNN 9.19.0". Errors: as pb_cudnn_open; text
 * is then "". */
enum { PB_CUDA_NETWORK_TEXT = 40 };
PB_CHECKED pb_status pb_cuda_network_library(char text[PB_CUDA_NETWORK_TEXT]);

#endif
