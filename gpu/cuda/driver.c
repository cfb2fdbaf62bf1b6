/* The one question that is answered without CUDA: a node without a driver gets a reason, not a number of the runtime's. */
#include "gpu/cuda/cuda.h"

#include <dlfcn.h>

const char *pb_cuda_no_driver(void) {
    static void *driver; /* stays open: the runtime opens it too */
    if (!driver)
        driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    return driver ? "" : "no driver: libcuda.so.1 not found";
}
