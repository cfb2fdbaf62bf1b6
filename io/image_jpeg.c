/* JPEG by libjpeg-turbo. Its errors leave by longjmp, and its warnings of lost or damaged data are made errors: by default the
 * library fills what is missing with grey and goes on, and a detector would find an anomaly where a copy had merely stopped. */
#include "io/image_decoders.h"

#include <setjmp.h>
#include <stdio.h> /* jpeglib.h needs FILE */

#include <jpeglib.h>

#include <jerror.h>

/* A progressive file of a few kilobytes can ask for any number of passes over all its pixels. Real ones have about ten. */
enum { JPEG_SCANS_MAX = 500 };

typedef struct jpeg_reader {
    struct jpeg_decompress_struct codec;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    pb_status failure;
} jpeg_reader;

_Noreturn static void leave_with(jpeg_reader *reader, pb_status failure) {
    reader->failure = failure;
    longjmp(reader->leave, 1);
}

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

/* level -1 is a warning, others are traces. Only warnings that say nothing of the pixels are let pass. */
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

static void on_progress(j_common_ptr codec) {
    jpeg_reader *reader = codec->client_data;
    if (reader->codec.input_scan_number > JPEG_SCANS_MAX)
        leave_with(reader, pb_fail(PB_E_INPUT, "damaged or unsupported JPEG (more than %d scans)", JPEG_SCANS_MAX));
}

static void begin(jpeg_reader *reader, const uint8_t *bytes, size_t size) {
    jpeg_create_decompress(&reader->codec);
    reader->progress.progress_monitor = on_progress;
    reader->codec.progress = &reader->progress;
    jpeg_mem_src(&reader->codec, bytes, size);
    (void)jpeg_read_header(&reader->codec, TRUE);
}

/* The settings under which libjpeg-turbo gives the same pixels as in Pillow; they are its defaults, spelled out. */
static void choose_output(jpeg_reader *reader) {
    struct jpeg_decompress_struct *codec = &reader->codec;
    if (codec->num_components == 4)
        leave_with(reader, pb_fail(PB_E_INPUT, "a CMYK JPEG is not supported; convert it to RGB"));
    if (codec->num_components != 1 && codec->num_components != 3)
        leave_with(reader, pb_fail(PB_E_INPUT, "a JPEG of %d components is not supported", codec->num_components));
    codec->out_color_space = codec->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    codec->dct_method = JDCT_ISLOW;
    codec->do_fancy_upsampling = TRUE;
    codec->do_block_smoothing = TRUE;
}

static void read_pixels(jpeg_reader *reader, pb_image *image) {
    struct jpeg_decompress_struct *codec = &reader->codec;
    pb_status reserved = pb_image_reserve(image, codec->image_width, codec->image_height, codec->num_components);
    if (pb_failed(&reserved))
        leave_with(reader, reserved);
    (void)jpeg_start_decompress(codec);
    PB_ASSERT(codec->output_components == image->channels && codec->output_height == (JDIMENSION)image->height);
    size_t stride = (size_t)image->width * (size_t)image->channels;
    while (codec->output_scanline < codec->output_height) {
        JSAMPROW row = image->pixels + codec->output_scanline * stride;
        (void)jpeg_read_scanlines(codec, &row, 1);
    }
    (void)jpeg_finish_decompress(codec); /* reads on to the end-of-image marker, so a missing one is noticed */
}

/* A function of its own, because objects of the function that calls setjmp are not reliable after longjmp. */
static void read_all(jpeg_reader *reader, const uint8_t *bytes, size_t size, pb_image *image) {
    if (setjmp(reader->leave) != 0)
        return;
    begin(reader, bytes, size);
    choose_output(reader);
    read_pixels(reader, image);
}

pb_status pb_jpeg_decode(const uint8_t *bytes, size_t size, pb_image *image) {
    jpeg_reader reader = {.failure = pb_ok()};
    reader.codec.err = jpeg_std_error(&reader.errors);
    reader.errors.error_exit = leave_with_message;
    reader.errors.emit_message = on_message;
    reader.codec.client_data = &reader;
    image->format = PB_IMAGE_JPEG;
    read_all(&reader, bytes, size, image);
    jpeg_destroy_decompress(&reader.codec);
    return reader.failure;
}
