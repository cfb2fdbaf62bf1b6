/* The arithmetic of Pillow's Resample.c for 8-bit images, so that the network sees the pixels on which it was trained and
 * measured: double coefficients, then integers only. Every integer sum is exact, so loops may be ordered for speed.
 *
 * A resize is two passes, along rows and along columns, with a byte image between them. Each pass is described by taps: for every
 * output position the first input position that it mixes, how many, and their weights in 22 fractional bits. Taps are made for
 * the wanted window alone, and the first pass makes only the rows that the second mixes, so that what lies outside of the cut
 * costs nothing.
 *    fill_position   weights of one output position, in the order of Pillow's double operations
 *    mix             the passes
 *    pb_image_to_input   torchvision's Resize and CenterCrop in terms of these
 */
#include "io/resize.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bits of a weight behind the point, as Pillow has it: 32, less 8 of a byte and two for sums below 0 and above 255. HALF rounds a
 * sum to the nearest. */
enum { FRACTION_BITS = 22, FRACTION_HALF = 1 << (FRACTION_BITS - 1) };

/* For each output position of a window: which input positions it mixes, and with which weights (sum about 1 << 22). */
typedef struct taps {
    int count;       /* output positions */
    int most;        /* weights kept per position, used or not */
    int *first;      /* [count] first input position */
    int *used;       /* [count] how many from there, at least 1 */
    int32_t *weight; /* [count][most] */
} taps;

/* The part of the output that is wanted; computing no more than the crop saves its margins and changes no pixel of it. */
typedef struct window {
    int x, y, width, height;
} window;

static void free_taps(taps *t) {
    pb_release(&t->first);
    pb_release(&t->used);
    pb_release(&t->weight);
}

/* --- filters: the order of the double operations is Pillow's ------------------------------------------------------ */

/* Bilinear; 0 outside of its radius, as the others. */
static double triangle(double x) {
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. ASSP 29 (1981). */
static double cubic(double x) {
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    return x < 2.0 ? (((x - 5) * x + 8) * x - 4) * a : 0.0;
}

/* The comparison is x == 0 without a warning. */
static double sinc(double x) {
    x *= M_PI;
    return x >= 0.0 && x <= 0.0 ? 1.0 : sin(x) / x;
}

/* Lanczos of three lobes. */
static double windowed_sinc(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

/* A filter: its radius in input pixels at scale 1, and its value at a distance. */
typedef struct kernel {
    const char *name;
    double radius;
    double (*value)(double);
} kernel;

static const kernel KERNELS[] = {[PB_FILTER_BILINEAR] = {"bilinear", 1.0, triangle},
                                 [PB_FILTER_BICUBIC] = {"bicubic", 2.0, cubic},
                                 [PB_FILTER_LANCZOS] = {"lanczos", 3.0, windowed_sinc}};
enum { KERNEL_COUNT = sizeof KERNELS / sizeof *KERNELS };

pb_status pb_filter_parse(const char *name, pb_filter *filter_out) {
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (strcmp(name, KERNELS[i].name) == 0) {
            *filter_out = (pb_filter)i;
            return pb_ok();
        }
    return pb_fail(PB_E_INPUT, "\"%s\" is no way to resize: bilinear, bicubic or lanczos", name);
}

/* --- weights ---------------------------------------------------------------------------------------------------- */

/* A share of the sum as a weight: rounds half away from zero. */
static int32_t to_fixed(double share) {
    return (int32_t)(share < 0 ? -0.5 + share * (1 << FRACTION_BITS) : 0.5 + share * (1 << FRACTION_BITS));
}

/* Zeros at both ends are left out: for an unchanged length that leaves one weight, a plain copy. So a pass whose size does not
 * change is no case of its own, and is Pillow's skipped one bit for bit. At least one weight stays. */
static void trim(taps *t, int i, int first, int count) {
    int32_t *weight = t->weight + (size_t)i * (size_t)t->most;
    int skipped = 0;
    while (count > 1 && weight[count - 1] == 0)
        count--;
    while (skipped < count - 1 && weight[skipped] == 0)
        skipped++;
    memmove(weight, weight + skipped, (size_t)(count - skipped) * sizeof *weight);
    t->first[i] = first + skipped;
    t->used[i] = count - skipped;
}

/* Weights of output position `at`, of which row `i` of the taps is made. length: of the input; scale: input pixels for one of the
 * output. When shrinking the filter is as much wider (antialiasing); when growing it is not made narrower. At the edges there are
 * fewer neighbours, and the sum by which all are divided is theirs. */
static void fill_position(taps *t, int i, int at, int length, double scale, const kernel *k) {
    double filter_scale = scale < 1.0 ? 1.0 : scale, inverse = 1.0 / filter_scale, support = k->radius * filter_scale;
    double center = (at + 0.5) * scale;
    int first = (int)(center - support + 0.5), end = (int)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    end = end > length ? length : end;
    /* The filter is evaluated twice, as its value is needed before and after the sum; both times it is the same double. */
    double sum = 0.0;
    for (int x = first; x < end; x++)
        sum += k->value((x - center + 0.5) * inverse);
    PB_ASSERT(sum > 0.0 && end - first <= t->most);
    int32_t *weight = t->weight + (size_t)i * (size_t)t->most;
    int64_t size = 0;
    for (int x = first; x < end; x++) {
        weight[x - first] = to_fixed(k->value((x - center + 0.5) * inverse) / sum);
        size += abs(weight[x - first]);
    }
    PB_ASSERT(size * 255 + FRACTION_HALF <= INT32_MAX); /* no sum of weighted bytes can overflow */
    trim(t, i, first, end - first);
}

/* Taps of `count` output positions from out_first on, of an axis that goes from `length` to out_length. `most` is Pillow's bound
 * on the neighbours of a position. Owned by the caller after success, nothing after a failure. */
static pb_status make_taps(taps *t, int length, int out_length, int out_first, int count, const kernel *k) {
    double scale = (double)length / out_length;
    *t = (taps){.count = count, .most = (int)ceil(k->radius * (scale < 1.0 ? 1.0 : scale)) * 2 + 1};
    pb_status status = pb_allocate(&t->first, (size_t)count, sizeof *t->first, "resizing");
    if (!pb_failed(&status))
        status = pb_allocate(&t->used, (size_t)count, sizeof *t->used, "resizing");
    if (!pb_failed(&status))
        status = pb_allocate(&t->weight, (size_t)count * (size_t)t->most, sizeof *t->weight, "resizing");
    if (pb_failed(&status)) {
        free_taps(t);
        return status;
    }
    for (int i = 0; i < count; i++)
        fill_position(t, i, out_first + i, length, scale, k);
    return pb_ok();
}

/* Cut at both ends: bicubic and Lanczos overshoot, and of bilinear weights the rounded sum may exceed 1 << 22. */
static uint8_t to_byte(int32_t sum) {
    int32_t value = sum >> FRACTION_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

/* One row to the output's columns. Grey and RGB apart, so that the inner loop has no choice to make. */
static void mix_row_grey(const uint8_t *in, const taps *columns, uint8_t *out) {
    for (int i = 0; i < columns->count; i++) {
        const uint8_t *from = in + columns->first[i];
        const int32_t *weight = columns->weight + (size_t)i * (size_t)columns->most;
        int32_t sum = FRACTION_HALF;
        for (int k = 0; k < columns->used[i]; k++)
            sum += from[k] * weight[k];
        out[i] = to_byte(sum);
    }
}

static void mix_row_rgb(const uint8_t *in, const taps *columns, uint8_t *out) {
    for (int i = 0; i < columns->count; i++) {
        const uint8_t *from = in + 3 * (size_t)columns->first[i];
        const int32_t *weight = columns->weight + (size_t)i * (size_t)columns->most;
        int32_t red = FRACTION_HALF, green = FRACTION_HALF, blue = FRACTION_HALF;
        for (int k = 0; k < columns->used[i]; k++, from += 3) {
            red += from[0] * weight[k];
            green += from[1] * weight[k];
            blue += from[2] * weight[k];
        }
        out[3 * i] = to_byte(red);
        out[3 * i + 1] = to_byte(green);
        out[3 * i + 2] = to_byte(blue);
    }
}

/* One output row from `used` input rows of `bytes` bytes; sums[bytes] is scratch. The inner loop runs along the row, so that it
 * vectorises. */
static void mix_rows(const uint8_t *restrict in, size_t bytes, const int32_t *restrict weight, int used, int32_t *restrict sums,
                     uint8_t *restrict out) {
    for (size_t b = 0; b < bytes; b++)
        sums[b] = FRACTION_HALF;
    for (int k = 0; k < used; k++, in += bytes)
        for (size_t b = 0; b < bytes; b++)
            sums[b] += in[b] * weight[k];
    for (size_t b = 0; b < bytes; b++)
        out[b] = to_byte(sums[b]);
}

/* One past the last input position that any output position of the window mixes; the first is first[0]. */
static int end_of(const taps *t) {
    int end = 0;
    for (int i = 0; i < t->count; i++)
        end = t->first[i] + t->used[i] > end ? t->first[i] + t->used[i] : end;
    return end;
}

/* Both passes, rows first as in Pillow: the order matters, because the middle is rounded to bytes. middle holds the rows first ..
 * end - 1 of the input, each as wide as the output. */
static pb_status mix(const uint8_t *pixels, int width, int channels, const taps *columns, const taps *rows, uint8_t *out) {
    size_t stride = (size_t)width * (size_t)channels, bytes = (size_t)columns->count * (size_t)channels;
    int first = rows->first[0], end = end_of(rows);
    uint8_t *middle = NULL;
    int32_t *sums = NULL;
    pb_status status = pb_allocate(&middle, (size_t)(end - first), bytes, "the rows of a resized image");
    if (!pb_failed(&status))
        status = pb_allocate(&sums, bytes, sizeof *sums, "a row of a resized image");
    if (pb_failed(&status))
        goto cleanup;
    for (int y = first; y < end; y++)
        (channels == 1 ? mix_row_grey : mix_row_rgb)(pixels + (size_t)y * stride, columns, middle + (size_t)(y - first) * bytes);
    for (int y = 0; y < rows->count; y++)
        mix_rows(middle + (size_t)(rows->first[y] - first) * bytes, bytes, rows->weight + (size_t)y * (size_t)rows->most,
                 rows->used[y], sums, out + (size_t)y * bytes);
cleanup:
    pb_release(&middle);
    pb_release(&sums);
    return status;
}

/* Resizes the whole image in thought and makes a window of it. */
static pb_status resize_window(const uint8_t *pixels, int width, int height, int channels, int out_width, int out_height,
                               window part, pb_filter filter, uint8_t *out) {
    taps columns = {0}, rows = {0};
    pb_status status = make_taps(&columns, width, out_width, part.x, part.width, &KERNELS[filter]);
    if (!pb_failed(&status))
        status = make_taps(&rows, height, out_height, part.y, part.height, &KERNELS[filter]);
    if (!pb_failed(&status))
        status = mix(pixels, width, channels, &columns, &rows, out);
    free_taps(&columns);
    free_taps(&rows);
    return status;
}

static bool is_side(int length) { return length >= 1 && length <= PB_IMAGE_SIDE_MAX; }

pb_status pb_image_resize(const uint8_t *pixels, int width, int height, int channels, uint8_t *out, int out_width,
                          int out_height, pb_filter filter) {
    PB_ASSERT(is_side(width) && is_side(height) && is_side(out_width) && is_side(out_height));
    PB_ASSERT(channels == 1 || channels == 3);
    window all = {0, 0, out_width, out_height};
    return resize_window(pixels, width, height, channels, out_width, out_height, all, filter, out);
}

/* round-half-even(margin / 2), Python's round: halves go to the even neighbour. */
static int half_even(int margin) {
    int half = margin / 2;
    return margin % 2 ? half + half % 2 : half;
}

/* Backwards, so that no copy overwrites a grey value that is still needed. */
static void spread_grey(uint8_t *out, size_t pixels) {
    for (size_t i = pixels; i-- > 0;)
        out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = out[i];
}

/* "224" is the shorter side and not a square, which pb_size_parse would make of it. */
pb_status pb_fit_parse_resize(const char *text, pb_size *resize_out) {
    *resize_out = (pb_size){0, 0};
    if (strcmp(text, "0") == 0)
        return pb_ok();
    PB_TRY(pb_size_parse(text, 1, PB_IMAGE_SIDE_MAX, resize_out));
    if (!strchr(text, 'x'))
        resize_out->height = 0;
    return pb_ok();
}

/* The size of an image before it is cut, as torchvision's Resize has it. Errors: PB_E_INPUT when it would be beyond the
 * limits. */
static pb_status resized(const pb_image *image, pb_size resize, pb_size *size) {
    *size = resize.height > 0 ? resize : (pb_size){image->width, image->height};
    if (resize.height > 0 || resize.width == 0)
        return pb_ok();
    bool upright = image->width <= image->height;
    int shorter = upright ? image->width : image->height, longer = upright ? image->height : image->width;
    /* int(side * long / short) of Python: its double quotient never rounds up to a whole number, both terms being below 2^53. */
    int64_t side = resize.width, long_side = side * longer / shorter;
    if (long_side > PB_IMAGE_SIDE_MAX || (size_t)long_side * (size_t)side > PB_IMAGE_PIXELS_MAX)
        return pb_fail(PB_E_INPUT, "an image of %d x %d pixels is too narrow to be resized to a shorter side of %d", image->width,
                       image->height, resize.width);
    *size = upright ? (pb_size){(int)side, (int)long_side} : (pb_size){(int)long_side, (int)side};
    return pb_ok();
}

/* Grey stays grey while it is resized, and is spread in the output, whose first third it fills: a third of the work, and the same
 * pixels, since each channel is resized by itself. */
pb_status pb_image_to_input(const pb_image *image, const pb_fit *fit, uint8_t *out) {
    PB_ASSERT(image->pixels && fit->crop.width > 0 && fit->crop.height > 0);
    const pb_size crop = fit->crop;
    pb_size whole;
    PB_TRY(resized(image, fit->resize, &whole));
    if (whole.width < crop.width || whole.height < crop.height)
        return pb_fail(PB_E_INPUT, "an image of %d x %d pixels becomes %d x %d, smaller than the %d x %d to be cut out",
                       image->width, image->height, whole.width, whole.height, crop.width, crop.height);
    window middle = {half_even(whole.width - crop.width), half_even(whole.height - crop.height), crop.width, crop.height};
    PB_TRY(resize_window(image->pixels, image->width, image->height, image->channels, whole.width, whole.height, middle,
                         fit->filter, out));
    if (image->channels == 1)
        spread_grey(out, pb_size_area(crop));
    return pb_ok();
}
