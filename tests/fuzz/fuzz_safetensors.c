/* libFuzzer on weights files: parse, and read every byte of every tensor that is then offered. */
#include "fuzz.h"
#include "io/safetensors.h"

#include <string.h>

static void look_up(pb_safetensors *tensors, const char *name) {
    pb_tensor_view view;
    pb_status status = pb_safetensors_lookup(tensors, name, &view);
    PB_ASSERT(!pb_failed(&status) || status.code == PB_E_INPUT);
    if (pb_failed(&status))
        return;
    size_t count = 1;
    for (int i = 0; i < view.rank; i++)
        count *= (size_t)view.shape[i];
    volatile uint8_t last = 0;
    for (size_t i = 0; i < count * sizeof(float); i++)
        last ^= ((const uint8_t *)view.data)[i];
    (void)last;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    pb_safetensors *tensors;
    pb_status status = pb_safetensors_parse("input", bytes, size, &tensors);
    PB_ASSERT(!pb_failed(&status) || (status.code == PB_E_INPUT && !tensors && !strchr(status.message, '\n')));
    if (pb_failed(&status))
        return 0;
    PB_ASSERT(strlen(pb_safetensors_sha256(tensors)) == PB_SHA256_TEXT - 1);
    for (size_t i = 0; i < pb_safetensors_count(tensors); i++)
        look_up(tensors, pb_safetensors_name(tensors, i));
    look_up(tensors, "no such tensor");
    pb_safetensors_close(&tensors);
    return 0;
}
