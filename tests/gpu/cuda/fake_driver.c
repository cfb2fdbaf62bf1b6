/* A libcuda.so.1 without a GPU, for tests that make cuDNN's plans for a GPU that is described.
 *
 * cuDNN compiles a plan's kernels with NVRTC and then loads them by the driver's library to see that they load. The stub of
 * CUDA's toolkit refuses that; this one says yes and keeps nothing. Whatever would need a device fails with CUDA's code for a
 * stub. The functions are those that cuDNN 9.19 looks for: it wants all of them to be there, and calls the first few here.
 */
#include <stddef.h>

enum { SUCCESS = 0, STUB_LIBRARY = 34, VERSION = 13000 };

static int thing; /* what handles point at */

#define LOADS(name)               \
    int name(void **handle);      \
    int name(void **handle) {     \
        *handle = &thing;         \
        return SUCCESS;           \
    }
LOADS(cuLibraryLoadData)
LOADS(cuLibraryGetKernel)
LOADS(cuModuleLoadData)
LOADS(cuModuleLoadDataEx)
LOADS(cuModuleGetFunction)

#define IS(name, number)          \
    int name(int *value);         \
    int name(int *value) {        \
        *value = (number);        \
        return SUCCESS;           \
    }
IS(cuDriverGetVersion, VERSION)
IS(cuFuncGetAttribute, 0)
IS(cuKernelGetAttribute, 0)

#define SAYS(name)                               \
    int name(int error, const char **text);      \
    int name(int error, const char **text) {     \
        (void)error;                             \
        *text = "there is no GPU";               \
        return SUCCESS;                          \
    }
SAYS(cuGetErrorName)
SAYS(cuGetErrorString)

#define DOES(name)      \
    int name(void);     \
    int name(void) { return SUCCESS; }
DOES(cuLibraryUnload)
DOES(cuModuleUnload)
DOES(cuFuncSetAttribute)
DOES(cuKernelSetAttribute)

#define FAILS(name)     \
    int name(void);     \
    int name(void) { return STUB_LIBRARY; }
FAILS(cuCtxGetCurrent)
FAILS(cuCtxGetDevice)
FAILS(cuCtxGetLimit)
FAILS(cuCtxPopCurrent)
FAILS(cuCtxPushCurrent)
FAILS(cuDeviceGet)
FAILS(cuDeviceGetAttribute)
FAILS(cuDeviceGetCount)
FAILS(cuDevicePrimaryCtxRelease)
FAILS(cuDevicePrimaryCtxReset)
FAILS(cuDevicePrimaryCtxRetain)
FAILS(cuInit)
FAILS(cuLaunchCooperativeKernel)
FAILS(cuLaunchKernel)
FAILS(cuLaunchKernelEx)
FAILS(cuLibraryLoadFromFile)
FAILS(cuLinkAddData)
FAILS(cuLinkAddData_v2)
FAILS(cuLinkAddFile_v2)
FAILS(cuLinkComplete)
FAILS(cuLinkCreate)
FAILS(cuLinkCreate_v2)
FAILS(cuLinkDestroy)
FAILS(cuMemcpyDtoH_v2)
FAILS(cuModuleGetGlobal_v2)
FAILS(cuModuleLoadFatBinary)
FAILS(cuOccupancyMaxActiveBlocksPerMultiprocessor)
FAILS(cuOccupancyMaxPotentialClusterSize)
FAILS(cuStreamGetCtx)
FAILS(cuStreamSynchronize)
FAILS(cuTensorMapEncodeTiled)
