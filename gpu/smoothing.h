/* smoothing.h: the Gaussian that maps of patch distances are smoothed with.
 *
 * The weights are made once, on the host, and given to every device (pb_device_smooth_maps), so that an exponential that differs
 * in its last bit between libraries cannot make devices differ. Not collective, thread safe.
 */
#ifndef PB_GPU_SMOOTHING_H
#define PB_GPU_SMOOTHING_H

/* Largest deviation in pixels, and the places to each side that it looks at. 64 pixels is more than a quarter of an input of 224;
 * it bounds what devices lay out on stacks and in constant arguments. */
enum { PB_SIGMA_MAX = 64, PB_SMOOTHING_REACH_MAX = 4 * PB_SIGMA_MAX };

/* A kernel that is the same to both sides: weights[k] is that of the places k away, for k = 0 .. reach. Passed by value to
 * kernels on GPUs: 1 KiB. */
typedef struct pb_smoothing {
    int reach;
    float weights[PB_SMOOTHING_REACH_MAX + 1];
} pb_smoothing;

/* The Gaussian of deviation `sigma` pixels, 0 <= sigma <= PB_SIGMA_MAX, as scipy.ndimage.gaussian_filter cuts it by default:
 * reach is 4 sigma rounded half up; exp(-k^2 / (2 sigma^2)) divided by the sum over both sides, in double, rounded once. 0: no
 * smoothing. Weights beyond reach are 0. */
void pb_smoothing_gaussian(double sigma, pb_smoothing *smoothing_out);

/* Place `i` of an axis of `length` places that is mirrored about its edges again and again, as d c b a | a b c d | d c b a:
 * scipy's "reflect". Any i. */
static inline int pb_smoothing_mirror(int i, int length) {
    if (i >= 0 && i < length)
        return i;
    i %= 2 * length;
    i = i < 0 ? i + 2 * length : i;
    return i < length ? i : 2 * length - 1 - i;
}

#endif
