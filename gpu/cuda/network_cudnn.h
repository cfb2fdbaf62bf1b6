/* network_cudnn.h: private to gpu/cuda/: the functions of cuDNN's backend API, from a library that is opened at run time.
 *
 * Not linked, so that the plugin loads on a node without cuDNN: banks are searched and selected there all the same, and only
 * whoever compiles a network is told what is missing. Compiled against cuDNN's own headers, so that the types are its.
 */
#ifndef PB_GPU_CUDA_NETWORK_CUDNN_H
#define PB_GPU_CUDA_NETWORK_CUDNN_H

#include "base/status.h"

#include <cudnn.h>

/* The one list of what is used of it. */
#define PB_CUDNN_FUNCTIONS(X)      \
    X(cudnnGetVersion)             \
    X(cudnnGetErrorString)         \
    X(cudnnGetLastErrorString)     \
    X(cudnnCreate)                 \
    X(cudnnDestroy)                \
    X(cudnnSetStream)              \
    X(cudnnBackendCreateDescriptor) \
    X(cudnnBackendDestroyDescriptor) \
    X(cudnnBackendSetAttribute)    \
    X(cudnnBackendGetAttribute)    \
    X(cudnnBackendFinalize)        \
    X(cudnnBackendExecute)

/* The functions, by their own names. Static or of the caller's; read only once it is filled. */
typedef struct pb_cudnn {
#define PB_CUDNN_MEMBER(name) __typeof__(name) *name;
    PB_CUDNN_FUNCTIONS(PB_CUDNN_MEMBER)
#undef PB_CUDNN_MEMBER
} pb_cudnn;

enum { PB_CUDNN_LEAST = 91301 }; /* 9.13.1: the first with attention as one operation that NVIDIA's own front end uses */

/* The library "libcudnn.so.9", opened at the first call that finds it and kept to the end of the process. Not thread safe at its
 * first call. Errors: PB_E_UNSUPPORTED when it cannot be opened, has not all functions, or is older than PB_CUDNN_LEAST;
 * *cudnn_out is then NULL. Not collective. */
PB_CHECKED pb_status pb_cudnn_open(const pb_cudnn **cudnn_out);

/* As pb_cudnn_open for a library of another name, opened anew with every call. */
PB_CHECKED pb_status pb_cudnn_open_as(const char *library, pb_cudnn *cudnn_out);

/* PB_OK, or what cuDNN says about `what`: PB_E_UNSUPPORTED when it does not have it or is not installed whole, PB_E_SYSTEM when
 * memory or the device is at fault, else PB_E_INTERNAL: our call was wrong. */
PB_CHECKED pb_status pb_cudnn_check(const pb_cudnn *cudnn, cudnnStatus_t status, const char *what);

enum { PB_CUDNN_VERSION_TEXT = 40 };

/* "cuDNN 9.19.0" */
void pb_cudnn_version_text(const pb_cudnn *cudnn, char text[PB_CUDNN_VERSION_TEXT]);

#endif
