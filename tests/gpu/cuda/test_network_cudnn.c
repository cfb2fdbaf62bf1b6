#include "gpu/cuda/network_cudnn.h"

#include "fake_cudnn.h"
#include "networks.h"

#include <criterion/criterion.h>
#include <string.h>

/* The fake library is linked, so that it is there under the real one's name. */
Test(network_cudnn, is_opened_once) {
    const pb_cudnn *first, *second;
    char text[PB_CUDNN_VERSION_TEXT];
    test_must(pb_cudnn_open(&first));
    test_must(pb_cudnn_open(&second));
    cr_assert_eq(first, second);
    cr_assert(first->cudnnBackendExecute == cudnnBackendExecute);
    pb_cudnn_version_text(first, text);
    cr_assert_str_eq(text, "cuDNN 9.19.0");
    fake.version = 91203;
    pb_cudnn_version_text(first, text);
    cr_assert_str_eq(text, "cuDNN 9.12.3");
}

static void check_refused(const char *library, const char *why) {
    pb_cudnn cudnn;
    pb_status status = pb_cudnn_open_as(library, &cudnn);
    cr_assert_eq(status.code, PB_E_UNSUPPORTED);
    cr_assert(strstr(status.message, why) && strstr(status.message, library), "%s", status.message);
    cr_assert(!cudnn.cudnnGetVersion);
}

Test(network_cudnn, what_is_not_there_or_too_old_is_unsupported) {
    check_refused("libcudnn_not_there.so.9", "networks need cuDNN 9");
    check_refused("libm.so.6", "has no cudnnGetVersion");
    fake.version = 91300;
    check_refused("libcudnn.so.9", "is cuDNN 9.13.0: 9.13.1 or later");
    const pb_cudnn *cudnn;
    pb_status status = pb_cudnn_open(&cudnn);
    cr_assert(status.code == PB_E_UNSUPPORTED && !cudnn);
    fake.version = 91301;
    test_must(pb_cudnn_open(&cudnn));
}

Test(network_cudnn, what_it_says_becomes_a_status) {
    static const struct {
        cudnnStatus_t status;
        pb_code code;
    } CASES[] = {{CUDNN_STATUS_NOT_SUPPORTED_SHAPE, PB_E_UNSUPPORTED}, {CUDNN_STATUS_BAD_PARAM, PB_E_INTERNAL},
                 {CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, PB_E_SYSTEM}, {CUDNN_STATUS_EXECUTION_FAILED, PB_E_SYSTEM},
                 {CUDNN_STATUS_NOT_INITIALIZED, PB_E_SYSTEM}, {CUDNN_STATUS_LICENSE_ERROR, PB_E_INTERNAL},
                 {CUDNN_STATUS_SUBLIBRARY_LOADING_FAILED, PB_E_UNSUPPORTED},
                 {CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH, PB_E_UNSUPPORTED}};
    const pb_cudnn *cudnn;
    test_must(pb_cudnn_open(&cudnn));
    test_must(pb_cudnn_check(cudnn, CUDNN_STATUS_SUCCESS, "anything"));
    for (size_t c = 0; c < sizeof CASES / sizeof *CASES; c++) {
        pb_status status = pb_cudnn_check(cudnn, CASES[c].status, "a tensor");
        cr_assert_eq(status.code, CASES[c].code, "case %zu", c);
        cr_assert_str_eq(status.message, "cuDNN: a tensor: FAKE_STATUS: as asked for");
    }
}
