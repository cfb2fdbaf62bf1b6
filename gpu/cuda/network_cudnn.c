/* Opens cuDNN and says what it says. A table of function pointers is filled by name; the types are those of cuDNN's header, so a
 * call that does not fit does not compile. */
#include "gpu/cuda/network_cudnn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#define LIBRARY "libcudnn.so.9"

/* Fetches one function. dlsym gives an object pointer; POSIX says that it may be a function's. */
static bool fetch(void *library, const char *name, void *function_out) {
    void *symbol = dlsym(library, name);
    memcpy(function_out, &symbol, sizeof symbol);
    return symbol != NULL;
}

/* All functions, then the version, by a function just fetched. */
static pb_status fetch_all(void *library, const char *name, pb_cudnn *cudnn) {
#define FETCH(function)                                          \
    if (!fetch(library, #function, &cudnn->function))            \
        return pb_fail(PB_E_UNSUPPORTED, "%s has no " #function ": cuDNN 9 is needed", name);
    PB_CUDNN_FUNCTIONS(FETCH)
#undef FETCH
    if (cudnn->cudnnGetVersion() < PB_CUDNN_LEAST) {
        char version[PB_CUDNN_VERSION_TEXT];
        pb_cudnn_version_text(cudnn, version);
        return pb_fail(PB_E_UNSUPPORTED, "%s is %s: 9.13.1 or later is needed", name, version);
    }
    return pb_ok();
}

pb_status pb_cudnn_open_as(const char *library, pb_cudnn *cudnn_out) {
    *cudnn_out = (pb_cudnn){0};
    void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!opened)
        return pb_fail(PB_E_UNSUPPORTED, "networks need cuDNN 9, which cannot be opened: %s", dlerror());
    pb_status status = fetch_all(opened, library, cudnn_out);
    if (pb_failed(&status)) {
        dlclose(opened);
        *cudnn_out = (pb_cudnn){0};
    }
    return status;
}

/* A failure is not remembered. The library is never closed: what it made may live as long as the process. */
pb_status pb_cudnn_open(const pb_cudnn **cudnn_out) {
    static pb_cudnn opened;
    *cudnn_out = NULL;
    if (!opened.cudnnGetVersion)
        PB_TRY(pb_cudnn_open_as(LIBRARY, &opened));
    *cudnn_out = &opened;
    return pb_ok();
}

/* cuDNN's codes go by thousands: 2 a wrong argument, 3 not supported, 4 inside or memory, 5 execution. 1 is general; of these, an
 * installation of parts that are missing or of different versions is nobody's call. */
static pb_code code_of(cudnnStatus_t status) {
    switch ((int)status / 1000) {
    case 3:
        return PB_E_UNSUPPORTED;
    case 4:
    case 5:
        return PB_E_SYSTEM;
    default:
        break;
    }
    if (status == CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED || status == CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH)
        return PB_E_UNSUPPORTED;
    return status == CUDNN_STATUS_NOT_INITIALIZED ? PB_E_SYSTEM : PB_E_INTERNAL;
}

/* The last error's text says more than the code, if there is one. */
pb_status pb_cudnn_check(const pb_cudnn *cudnn, cudnnStatus_t status, const char *what) {
    if (status == CUDNN_STATUS_SUCCESS)
        return pb_ok();
    char why[400] = "";
    cudnn->cudnnGetLastErrorString(why, sizeof why);
    why[sizeof why - 1] = '\0';
    return pb_fail(code_of(status), "cuDNN: %s: %s%s%s", what, cudnn->cudnnGetErrorString(status), why[0] ? ": " : "", why);
}

/* cuDNN 9 counts major * 10000 + minor * 100 + patch. */
void pb_cudnn_version_text(const pb_cudnn *cudnn, char text[PB_CUDNN_VERSION_TEXT]) {
    const int version = (int)cudnn->cudnnGetVersion();
    snprintf(text, PB_CUDNN_VERSION_TEXT, "cuDNN %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}
