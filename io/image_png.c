/* PNG by libpng. Its errors leave by longjmp. Of the metadata only EXIF is looked at, but all checksums are: a damaged file is
 * damaged, whichever byte it was.
 *
 * The file may be of anybody: sides are checked before anything is allocated by them, and libpng's own allocations are limited to
 * the size of the file and a few MiB (allocate), so that a short file cannot ask for much.
 */
#include "io/image_decoders.h"
#include "io/image_orientation.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

/* Bytes that deflate can make of one, at most (RFC 1951: 258 of two bits). */
enum { DEFLATE_MAX = 1032 };

/* Room for libpng's own: two rows of 65,535 pixels of 8 bytes and the window of deflate. */
enum { CODEC_BYTES_MAX = 4 << 20 };

/* A decoding under way, which libpng hands to each callback. used: bytes read so far. */
typedef struct png_reader {
    png_structp codec;
    png_infop info;
    const uint8_t *bytes;
    size_t size, used;
    bool out_of_memory;
    jmp_buf leave;
    pb_status failure;
} png_reader;

/* The one way out of libpng: to read_all. */
_Noreturn static void leave_with(png_reader *reader, pb_status failure) {
    reader->failure = failure;
    longjmp(reader->leave, 1);
}

/* libpng's errors. Lack of memory looks to it like any other. */
_Noreturn static void on_error(png_structp codec, png_const_charp text) {
    png_reader *reader = png_get_error_ptr(codec);
    if (reader->out_of_memory)
        leave_with(reader, pb_fail(PB_E_SYSTEM, "out of memory for decoding a PNG (%s)", text));
    leave_with(reader, pb_fail(PB_E_INPUT, "damaged or unsupported PNG (%s)", text));
}

/* libpng warns of odd but harmless things (a palette in a grey image); what loses pixels is an error to it. */
static void on_warning(png_structp codec, png_const_charp text) {
    (void)codec;
    (void)text;
}

/* Tells a machine without memory from a bad file, which libpng reports by the same call; and refuses what a chunk of metadata
 * merely claims to be long: libpng asks for all of it before it reads, but none can be longer than the file. */
static png_voidp allocate(png_structp codec, png_alloc_size_t size) {
    png_reader *reader = png_get_mem_ptr(codec);
    if (size > reader->size + CODEC_BYTES_MAX)
        return NULL;
    void *memory = malloc(size);
    if (!memory)
        reader->out_of_memory = true;
    return memory;
}

static void release(png_structp codec, png_voidp memory) {
    (void)codec;
    free(memory);
}

/* The source: memory. A file that ends early is said in plain words. */
static void read_bytes(png_structp codec, png_bytep to, size_t count) {
    png_reader *reader = png_get_io_ptr(codec);
    if (count > reader->size - reader->used)
        leave_with(reader, pb_fail(PB_E_INPUT, "truncated PNG (it ends after %zu bytes)", reader->size));
    memcpy(to, reader->bytes + reader->used, count);
    reader->used += count;
}

/* To the beginning of the pixels. */
static void begin(png_reader *reader) {
    png_set_read_fn(reader->codec, reader, read_bytes);
    /* Our own limits come later, with a clearer message; before them libpng allocates nothing by these sides. */
    png_set_user_limits(reader->codec, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_crc_action(reader->codec, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    /* Metadata (compressed text, colour profiles) is passed over; -1 means all chunks that do not make the pixels. */
    png_set_keep_unknown_chunks(reader->codec, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(reader->codec, PNG_HANDLE_CHUNK_AS_DEFAULT, (png_const_bytep)"eXIf", 1);
    png_read_info(reader->codec, reader->info);
}

/* Deflate makes at most 1032 bytes of one, and a row of an image has a byte of its own for the filter. */
static void check_sides(png_reader *reader) {
    size_t width = png_get_image_width(reader->codec, reader->info), height = png_get_image_height(reader->codec, reader->info);
    pb_status status = pb_image_check_sides(width, height);
    if (!pb_failed(&status) && reader->size < png_get_rowbytes(reader->codec, reader->info) * height / DEFLATE_MAX)
        status = pb_fail(PB_E_INPUT, "truncated PNG (%zu bytes cannot hold %zu x %zu pixels)", reader->size, width, height);
    if (pb_failed(&status))
        leave_with(reader, status);
}

/* 8 bits and no alpha, as Pillow's convert("L") and convert("RGB") leave them; no gamma, no background. Palette images are read
 * as one index a byte and get their colours from expand_palette. */
static void choose_output(png_reader *reader) {
    png_set_strip_16(reader->codec); /* the upper byte; not png_set_scale_16, which rounds */
    if (png_get_color_type(reader->codec, reader->info) == PNG_COLOR_TYPE_GRAY)
        png_set_expand_gray_1_2_4_to_8(reader->codec);
    png_set_packing(reader->codec);
    png_set_strip_alpha(reader->codec);
}

/* Each row holds `width` indices in its first third. From the right end no colour overwrites an index that is still needed. An
 * index without a colour is an error here, because decoders disagree on what it should be (libpng black, Pillow grey). */
static void expand_palette(png_reader *reader, pb_image *image) {
    png_colorp colors = NULL;
    int count = 0;
    PB_ASSERT(png_get_PLTE(reader->codec, reader->info, &colors, &count) == PNG_INFO_PLTE);
    for (int y = 0; y < image->height; y++) {
        uint8_t *row = image->pixels + (size_t)y * (size_t)image->width * 3;
        for (size_t x = (size_t)image->width; x-- > 0;) {
            int index = row[x];
            if (index >= count)
                leave_with(reader, pb_fail(PB_E_INPUT, "damaged PNG (colour %d of a palette of %d)", index, count));
            row[3 * x] = colors[index].red;
            row[3 * x + 1] = colors[index].green;
            row[3 * x + 2] = colors[index].blue;
        }
    }
}

/* All rows into the image; an interlaced file in seven passes over them. Palette images have one index a byte then, in the first
 * third of each row. png_read_end reads what follows, so that a missing end is noticed. */
static void read_pixels(png_reader *reader, pb_image *image) {
    int color_type = png_get_color_type(reader->codec, reader->info);
    bool palette = color_type == PNG_COLOR_TYPE_PALETTE;
    pb_status reserved = pb_image_reserve(image, png_get_image_width(reader->codec, reader->info),
                                          png_get_image_height(reader->codec, reader->info),
                                          color_type & PNG_COLOR_MASK_COLOR ? 3 : 1);
    if (pb_failed(&reserved))
        leave_with(reader, reserved);
    int passes = png_set_interlace_handling(reader->codec);
    png_read_update_info(reader->codec, reader->info);
    size_t stride = (size_t)image->width * (size_t)image->channels;
    PB_ASSERT(png_get_rowbytes(reader->codec, reader->info) == (palette ? stride / 3 : stride));
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < image->height; y++)
            png_read_row(reader->codec, image->pixels + (size_t)y * stride, NULL);
    png_read_end(reader->codec, reader->info);
    if (palette)
        expand_palette(reader, image);
}

/* After the whole file was read: the chunk may stand behind the pixels. */
static int orientation_of(const png_reader *reader) {
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    bool there = png_get_eXIf_1(reader->codec, reader->info, &size, &exif) == PNG_INFO_eXIf;
    return there ? pb_exif_orientation(exif, size) : 1;
}

/* A function of its own, because objects of the function that calls setjmp are not reliable after longjmp. */
static void read_all(png_reader *reader, pb_image *image) {
    if (setjmp(reader->leave) != 0)
        return;
    begin(reader);
    check_sides(reader);
    choose_output(reader);
    read_pixels(reader, image);
    image->orientation = orientation_of(reader);
}

/* png_destroy_read_struct frees all of libpng's, however far it came. */
pb_status pb_png_decode(const uint8_t *bytes, size_t size, pb_image *image) {
    png_reader reader = {.bytes = bytes, .size = size, .failure = pb_ok()};
    reader.codec = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning, &reader, allocate, release);
    reader.info = reader.codec ? png_create_info_struct(reader.codec) : NULL;
    image->format = PB_IMAGE_PNG;
    if (reader.info)
        read_all(&reader, image);
    else
        reader.failure = pb_fail(PB_E_SYSTEM, "out of memory for decoding a PNG");
    png_destroy_read_struct(&reader.codec, &reader.info, NULL);
    return reader.failure;
}
