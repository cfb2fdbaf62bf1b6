/* Maps of pixels of the "cuda" device: raised into their place, smoothed down the columns into scratch memory, along the rows
 * back into their place. The order of arithmetic is pb_ref_smooth_maps': raised, down, along. A piece of maps at a time, as far
 * as scratch memory goes. */
#include "gpu/cuda/cuda.h"

/* `count` maps, for which there is scratch memory. */
static pb_status smooth_piece(pb_device *device, const pb_smoothing *how, const float *maps, size_t count, pb_size grid,
                              pb_size size, float *pixels) {
    cudaStream_t stream = pb_cuda_state_of(device)->stream;
    float *down = pb_cuda_state_of(device)->scratch.memory;
    const size_t values = count * pb_size_area(size);
    const pb_cuda_field field = {maps, count, grid.height, grid.width, 1};
    PB_TRY(pb_cuda_check(device, pb_cuda_patch_blend(stream, field, size.height, size.width, pixels, 1), "patch_blend"));
    PB_TRY(pb_cuda_check(device, pb_cuda_smooth(stream, how, pixels, values, (size_t)size.width, size.height, down),
                         "smooth_maps"));
    return pb_cuda_check(device, pb_cuda_smooth(stream, how, down, values, 1, size.width, pixels), "smooth_maps");
}

pb_status pb_cuda_smooth_maps(pb_device *device, const pb_smoothing *how, const float *maps, int n, pb_size grid, pb_size size,
                              float *pixels) {
    const size_t area = pb_size_area(size), piece = pb_cuda_piece_of(device, area, n);
    PB_TRY(pb_cuda_enter(device));
    PB_TRY(pb_cuda_room_for(device, &pb_cuda_state_of(device)->scratch, piece * area * sizeof(float), "maps of pixels"));
    for (size_t first = 0; first < (size_t)n; first += piece) {
        const size_t count = (size_t)n - first < piece ? (size_t)n - first : piece;
        PB_TRY(smooth_piece(device, how, maps + first * pb_size_area(grid), count, grid, size, pixels + first * area));
    }
    return pb_ok();
}
