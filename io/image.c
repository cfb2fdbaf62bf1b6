/* image.c: bytes to pixels, whichever the format: it tells the format, hands the bytes to its decoder (image_jpeg.c,
 * image_png.c), turns the result upright and keeps the limits. And the four numbers that say how bright an image is. */
#include "io/image.h"

#include "base/memory.h"
#include "io/image_decoders.h"
#include "io/image_orientation.h"

#include <math.h>
#include <string.h>

/* --- formats by their first bytes ------------------------------------------------------------------------------- */

/* The mark by which a format is told. */
typedef struct signature {
    const char *name;
    size_t offset, length; /* where the mark stands */
    const char *mark;
} signature;

/* What people hand in by mistake is named, so that they know what to convert. RIFF and ISO files carry their mark inside. */
static const signature FOREIGN[] = {
    {"GIF", 0, 4, "GIF8"},
    {"BMP", 0, 2, "BM"},
    {"TIFF", 0, 4, "II*\0"},
    {"TIFF", 0, 4, "MM\0*"},
    {"BigTIFF", 0, 4, "II+\0"},
    {"WebP", 8, 4, "WEBP"},
    {"JPEG 2000", 4, 4, "jP  "},
    {"JPEG 2000", 0, 4, "\xff\x4f\xff\x51"},
    {"JPEG XL", 4, 4, "JXL "},
    {"JPEG XL", 0, 2, "\xff\x0a"},
    {"HEIF or AVIF", 4, 4, "ftyp"},
    {"HDF5", 0, 4, "\x89HDF"},
};

static const signature JPEG_MARK = {"JPEG", 0, 2, "\xff\xd8"};
/* Half of PNG's eight bytes: libpng checks the rest, and says more of a file spoilt by a text-mode transfer. */
static const signature PNG_MARK = {"PNG", 0, 4, "\x89PNG"};

/* Whether the mark stands where it should. */
static bool begins(const signature *mark, const uint8_t *bytes, size_t size) {
    return size >= mark->offset + mark->length && memcmp(bytes + mark->offset, mark->mark, mark->length) == 0;
}

/* The first that fits is named. */
static pb_status refuse(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < sizeof FOREIGN / sizeof *FOREIGN; i++)
        if (begins(&FOREIGN[i], bytes, size))
            return pb_fail(PB_E_INPUT, "not a JPEG or PNG file but %s, which is not supported; convert it to PNG",
                           FOREIGN[i].name);
    return pb_fail(PB_E_INPUT, "not a JPEG or PNG file");
}

/* side: of pb_image_decode_scaled; 0: the whole size. On error the image is emptied, whatever a decoder has left in it. */
static pb_status decode(const void *bytes, size_t size, int side, pb_image *image_out) {
    *image_out = (pb_image){.orientation = 1};
    pb_status status;
    if (size == 0)
        status = pb_fail(PB_E_INPUT, "empty file");
    else if (begins(&JPEG_MARK, bytes, size))
        status = pb_jpeg_decode(bytes, size, side, image_out);
    else if (begins(&PNG_MARK, bytes, size))
        status = pb_png_decode(bytes, size, image_out);
    else
        status = refuse(bytes, size);
    if (!pb_failed(&status))
        status = pb_image_orient(image_out, image_out->orientation);
    if (pb_failed(&status))
        pb_image_free(image_out);
    return status;
}

pb_status pb_image_decode(const void *bytes, size_t size, pb_image *image_out) { return decode(bytes, size, 0, image_out); }

pb_status pb_image_decode_scaled(const void *bytes, size_t size, int side, pb_image *image_out) {
    PB_ASSERT(side > 0);
    return decode(bytes, size, side, image_out);
}

/* The product cannot overflow: both sides are below 2^16 by then. */
pb_status pb_image_check_sides(size_t width, size_t height) {
    if (width < 1 || height < 1 || width > PB_IMAGE_SIDE_MAX || height > PB_IMAGE_SIDE_MAX ||
        width * height > PB_IMAGE_PIXELS_MAX)
        return pb_fail(PB_E_INPUT, "an image of %zu x %zu pixels is refused: the limits are %d a side, %zu in all", width, height,
                       PB_IMAGE_SIDE_MAX, PB_IMAGE_PIXELS_MAX);
    return pb_ok();
}

pb_status pb_image_reserve(pb_image *image, size_t width, size_t height, int channels) {
    PB_ASSERT(channels == 1 || channels == 3);
    PB_TRY(pb_allocate(&image->pixels, width * height, (size_t)channels, "the pixels of an image"));
    image->width = (int)width;
    image->height = (int)height;
    image->channels = channels;
    return pb_ok();
}

void pb_image_free(pb_image *image) {
    pb_release(&image->pixels);
    *image = (pb_image){0};
}

/* --- brightness ------------------------------------------------------------------------------------------------- */

/* Grey values of a byte. */
enum { LEVELS = 256 };

/* Pillow's "L": ITU-R BT.601's weights in 16 bits, rounded to the nearest. */
static int luma(const uint8_t *pixel, int channels) {
    if (channels == 1)
        return pixel[0];
    return (19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 32768) >> 16;
}

/* All that the four numbers are made of. Whole numbers, so the order of summation does not matter. */
typedef struct grey_sums {
    int64_t histogram[LEVELS];
    int64_t steps; /* sum of |difference| of horizontal neighbours */
} grey_sums;

/* One pass. The first pixel of a row is its own left neighbour, which adds 0. */
static void sum_greys(const pb_image *image, grey_sums *sums) {
    const uint8_t *pixel = image->pixels;
    for (int y = 0; y < image->height; y++) {
        int left = luma(pixel, image->channels);
        for (int x = 0; x < image->width; x++, pixel += image->channels) {
            int here = luma(pixel, image->channels);
            sums->histogram[here]++;
            sums->steps += here > left ? here - left : left - here;
            left = here;
        }
    }
}

/* Mean and deviation from integer sums about a whole number next to the mean. That keeps the subtraction harmless: with
 * d = v - centre, |mean of d| <= 1/2 and d * d >= |d|, so the square of the mean takes away at most half of the first term, which
 * can therefore neither vanish in rounding nor become negative. All sums stay below 2^28 * 2^16. */
static void mean_and_deviation(const int64_t histogram[LEVELS], int64_t count, double stats[PB_BRIGHTNESS_STATS]) {
    int64_t total = 0, first = 0, second = 0;
    for (int v = 0; v < LEVELS; v++)
        total += v * histogram[v];
    int64_t centre = (total + count / 2) / count;
    for (int v = 0; v < LEVELS; v++) {
        first += (v - centre) * histogram[v];
        second += (v - centre) * (v - centre) * histogram[v];
    }
    double shift = (double)first / (double)count;
    stats[0] = (double)total / (double)count;
    stats[1] = sqrt((double)second / (double)count - shift * shift);
}

/* The smallest v with 100 * #(pixels <= v) >= count. */
static int first_percentile(const int64_t histogram[LEVELS], int64_t count) {
    int64_t below = 0;
    int v = 0;
    while ((below += histogram[v]) * 100 < count)
        v++;
    return v;
}

/* Pairs of horizontal neighbours: one less than pixels in each row. */
void pb_image_brightness(const pb_image *image, double stats[PB_BRIGHTNESS_STATS]) {
    PB_ASSERT(image->pixels && image->width > 0 && image->height > 0);
    grey_sums sums = {.steps = 0};
    sum_greys(image, &sums);
    int64_t count = (int64_t)image->width * image->height, pairs = count - image->height;
    mean_and_deviation(sums.histogram, count, stats);
    stats[2] = pairs > 0 ? (double)sums.steps / (double)pairs : 0;
    stats[3] = first_percentile(sums.histogram, count);
}
