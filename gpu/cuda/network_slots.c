/* The slots of networks: what network.h does, on the device's stream. A file of its own, so that gpu/cuda/network.c can be tested
 * without a device. */
#include "gpu/cuda/cuda.h"
#include "gpu/cuda/network.h"

pb_status pb_cuda_compile(pb_device *device, const pb_network *network, pb_precision precision, int batch_max,
                          pb_compiled **compiled) {
    const pb_cuda_state *state = pb_cuda_state_of(device);
    const pb_cuda_place place = {.device = state->name, .ordinal = state->ordinal, .stream = state->stream,
                                 .precision = precision, .plans = device->plans};
    PB_TRY(pb_cuda_enter(device));
    return pb_cuda_network_compile(&place, network, batch_max, compiled);
}

/* What is freed in vain belongs to a device that answers nothing any more. */
void pb_cuda_compiled_free(pb_device *device, pb_compiled *compiled) {
    pb_status status = pb_cuda_enter(device);
    (void)status;
    pb_cuda_network_free(compiled);
}

pb_status pb_cuda_run(pb_device *device, pb_compiled *compiled, const uint8_t *images, int n, float *const *taps) {
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_network_run(compiled, images, n, taps));
    pb_cuda_note(device, "network");
    return pb_ok();
}
