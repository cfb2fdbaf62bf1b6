/* JPEG by libjpeg-turbo. Its errors leave by longjmp, and its warnings of lost or damaged data are made errors: by default the
 * library fills what is missing with grey and goes on, and a detector would find an anomaly where a copy had merely stopped.
 *
 * The file may be of anybody, so what it claims is checked between the header and the first allocation (check_sides): sides
 * within the limits, and not more blocks than its bytes can hold; the number of scans is limited while it is read.
 *
 * Settings are spelled out where they decide pixels (choose_output): they are Pillow's, and the tests compare bit for bit.
 */
#include "io/image_decoders.h"
#include "io/image_orientation.h"

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */

#include <jpeglib.h>

#include <jerror.h>

#include <string.h>

/* A progressive file of a few kilobytes can ask for any number of passes over all its pixels. Real ones have about ten. */
enum { JPEG_SCANS_MAX = 500 };

/* 64 million grey pixels. */
enum { ARITHMETIC_BLOCKS = 1 << 20 };

/* APP1, in which EXIF is; its longest segment. */
enum { EXIF_MARKER = JPEG_APP0 + 1, EXIF_BYTES_MAX = 0xFFFF };
enum { REDUCTION_MAX = 8 };             /* libjpeg's smallest inverse DCT: one pixel a block */
enum { INKS = 4 };                      /* components of CMYK and YCCK */

/* A decoding under way. The library's structs know it by client_data. failure is set before each longjmp, so it holds whatever
 * must outlive that. */
typedef struct jpeg_reader {
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    pb_status failure;
    int side; /* of pb_image_decode_scaled, or 0 */
} jpeg_reader;

/* The one way out of the library: to read_all. */
_Noreturn static void leave_with(jpeg_reader *reader, pb_status failure) {
    reader->failure = failure;
    longjmp(reader->leave, 1);
}

/* Sorts the library's messages: no memory is the machine's, an early end is said in plain words, the rest is damage. */
_Noreturn static void leave_with_message(j_common_ptr codec) {
    char text[JMSG_LENGTH_MAX];
    codec->err->format_message(codec, text);
    switch (codec->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        leave_with(codec->client_data, pb_fail(PB_E_SYSTEM, "out of memory for decoding a JPEG (%s)", text));
    case JERR_INPUT_EMPTY:
    case JERR_INPUT_EOF:
    case JWRN_JPEG_EOF:
        leave_with(codec->client_data, pb_fail(PB_E_INPUT, "truncated JPEG (%s)", text));
    default:
        leave_with(codec->client_data, pb_fail(PB_E_INPUT, "damaged or unsupported JPEG (%s)", text));
    }
}

/* level -1 is a warning, others are traces. Only warnings that say nothing of the pixels are let pass: of Adobe's marker, of a
 * JFIF version, of a colour profile, which is not applied. */
static void on_message(j_common_ptr codec, int level) {
    if (level >= 0)
        return;
    switch (codec->err->msg_code) {
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_BOGUS_ICC:
        return;
    default:
        leave_with_message(codec);
    }
}

/* Called in each scan. Without it a file of a few kilobytes could keep a decoder busy for hours. */
static void on_progress(j_common_ptr codec) {
    jpeg_reader *reader = codec->client_data;
    if (reader->codec.input_scan_number > JPEG_SCANS_MAX)
        leave_with(reader, pb_fail(PB_E_INPUT, "damaged or unsupported JPEG (more than %d scans)", JPEG_SCANS_MAX));
}

/* To the end of the header; markers are kept only of APP1. */
static void begin(jpeg_reader *reader, const uint8_t *bytes, size_t size) {
    jpeg_create_decompress(&reader->codec);
    reader->progress.progress_monitor = on_progress;
    reader->codec.progress = &reader->progress;
    jpeg_mem_src(&reader->codec, bytes, size);
    jpeg_save_markers(&reader->codec, EXIF_MARKER, EXIF_BYTES_MAX);
    (void)jpeg_read_header(&reader->codec, TRUE);
}

/* Of the first APP1 segment that holds EXIF data, as in Pillow. 1: upright, or nothing is said. */
static int orientation_of(const jpeg_reader *reader) {
    static const uint8_t EXIF[6] = "Exif\0";
    for (jpeg_saved_marker_ptr marker = reader->codec.marker_list; marker; marker = marker->next)
        if (marker->data_length > sizeof EXIF && memcmp(marker->data, EXIF, sizeof EXIF) == 0)
            return pb_exif_orientation(marker->data + sizeof EXIF, marker->data_length - sizeof EXIF);
    return 1;
}

/* Whether a file of `size` bytes can hold so many blocks. An 8 x 8 block of a component costs at least one bit, for its mean
 * alone. Only arithmetic coding can go below: there a picture of one colour costs next to nothing, but a few hundred bytes must
 * not ask for gigabytes (3 bytes a value, with the coefficients of a progressive file), so that up to ARITHMETIC_BLOCKS pass,
 * 200 MB, and from there on an eighth of a bit a block is expected, which any photograph exceeds. */
static bool can_hold(const struct jpeg_decompress_struct *codec, size_t size) {
    size_t blocks = 0;
    for (int i = 0; i < codec->num_components; i++)
        blocks += (size_t)codec->comp_info[i].width_in_blocks * codec->comp_info[i].height_in_blocks;
    return size >= blocks / 8 || (codec->arith_code && (blocks <= ARITHMETIC_BLOCKS || size >= blocks / 64));
}

/* Of the whole image, even if less is decoded: the coefficients of a progressive file are all kept. */
static void check_sides(jpeg_reader *reader, size_t size) {
    size_t width = reader->codec.image_width, height = reader->codec.image_height;
    pb_status status = pb_image_check_sides(width, height);
    if (!pb_failed(&status) && !can_hold(&reader->codec, size))
        status = pb_fail(PB_E_INPUT, "truncated JPEG (%zu bytes cannot hold %zu x %zu pixels)", size, width, height);
    if (pb_failed(&status))
        leave_with(reader, status);
}

/* The largest reduction that leaves the shorter side at least `side` long, as Pillow's draft() has it. */
static unsigned reduction_of(const jpeg_reader *reader) {
    unsigned width = reader->codec.image_width, height = reader->codec.image_height, reduction = 1;
    unsigned times = reader->side ? (width < height ? width : height) / (unsigned)reader->side : 1;
    while (reduction < REDUCTION_MAX && times >= 2 * reduction)
        reduction *= 2;
    return reduction;
}

/* The settings under which libjpeg-turbo gives the same pixels as in Pillow; they are its defaults, spelled out. */
static void choose_output(jpeg_reader *reader) {
    struct jpeg_decompress_struct *codec = &reader->codec;
    int components = codec->num_components;
    if (components != 1 && components != 3 && components != INKS)
        leave_with(reader, pb_fail(PB_E_INPUT, "a JPEG of %d components is not supported", components));
    codec->out_color_space = components == 1 ? JCS_GRAYSCALE : components == 3 ? JCS_RGB : JCS_CMYK;
    codec->scale_num = 1;
    codec->scale_denom = reduction_of(reader);
    codec->dct_method = JDCT_ISLOW;
    codec->do_fancy_upsampling = TRUE;
    codec->do_block_smoothing = TRUE;
}

/* Pillow's convert("RGB") of inks that are stored inverted: each colour is what its ink and black let through, with the rounded
 * division by 255 that is exact for all products of two bytes. */
static void mix_inks(const uint8_t *inks, size_t pixels, uint8_t *rgb) {
    for (size_t i = 0; i < pixels; i++, inks += INKS, rgb += 3)
        for (int c = 0; c < 3; c++) {
            int light = inks[3], product = (255 - inks[c]) * light + 128;
            rgb[c] = (uint8_t)(light - (((product >> 8) + product) >> 8));
        }
}

/* Row by row straight into the image; inks by way of one row. What jpeg_read_scanlines returns is not looked at: it is 1, since
 * the source is memory and cannot have to wait. */
static void read_pixels(jpeg_reader *reader, pb_image *image) {
    struct jpeg_decompress_struct *codec = &reader->codec;
    jpeg_calc_output_dimensions(codec);
    pb_status reserved = pb_image_reserve(image, codec->output_width, codec->output_height, codec->num_components == 1 ? 1 : 3);
    if (pb_failed(&reserved))
        leave_with(reader, reserved);
    (void)jpeg_start_decompress(codec);
    PB_ASSERT(codec->output_components == codec->num_components && codec->output_height == (JDIMENSION)image->height);
    size_t stride = (size_t)image->width * (size_t)image->channels;
    JSAMPARRAY inks = NULL; /* the codec's, gone with it */
    if (codec->num_components == INKS)
        inks = codec->mem->alloc_sarray((j_common_ptr)codec, JPOOL_IMAGE, codec->output_width * INKS, 1);
    while (codec->output_scanline < codec->output_height) { /* the library counts */
        JSAMPROW row = image->pixels + codec->output_scanline * stride;
        (void)jpeg_read_scanlines(codec, inks ? inks : &row, 1);
        if (inks)
            mix_inks(inks[0], (size_t)image->width, row);
    }
    (void)jpeg_finish_decompress(codec); /* reads on to the end-of-image marker, so a missing one is noticed */
}

/* A function of its own, because objects of the function that calls setjmp are not reliable after longjmp. */
static void read_all(jpeg_reader *reader, const uint8_t *bytes, size_t size, pb_image *image) {
    if (setjmp(reader->leave) != 0)
        return;
    begin(reader, bytes, size);
    check_sides(reader, size);
    choose_output(reader);
    image->orientation = orientation_of(reader);
    read_pixels(reader, image);
}

/* client_data is set before anything can fail. jpeg_destroy_decompress frees all of the library's, however far it came. */
pb_status pb_jpeg_decode(const uint8_t *bytes, size_t size, int side, pb_image *image) {
    jpeg_reader reader = {.failure = pb_ok(), .side = side};
    reader.codec.err = jpeg_std_error(&reader.errors);
    reader.errors.error_exit = leave_with_message;
    reader.errors.emit_message = on_message;
    reader.codec.client_data = &reader;
    image->format = PB_IMAGE_JPEG;
    read_all(&reader, bytes, size, image);
    jpeg_destroy_decompress(&reader.codec);
    return reader.failure;
}
