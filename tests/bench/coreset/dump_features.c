/* dump_features.c: ARCHIVE WEIGHTS OUTPUT [DIMS]: the projected patch features of an archive's training images, as `train`
 * selects from them, as raw float32 [points][DIMS] for the benchmark and its peers. Prints the number of points. */
#include "base/memory.h"
#include "coreset/projection.h"
#include "gpu/extractor.h"
#include "io/archive.h"
#include "io/resize.h"
#include "io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 224 };

static void must(pb_status status) {
    if (pb_failed(&status)) {
        fprintf(stderr, "dump_features: %s\n", status.message);
        exit(status.code);
    }
}

typedef struct dump {
    pb_archive *archive;
    pb_device *device;
    pb_extractor *extractor;
    pb_projection *projection;
    FILE *out;
    size_t points;
} dump;

static void open_all(dump *d, char **argv, int dims) {
    pb_safetensors *weights;
    pb_network network;
    const char *taps;
    int side;
    must(pb_archive_open(argv[1], &d->archive));
    must(pb_safetensors_open(argv[2], &weights));
    must(pb_backbone_defaults("efficientnet_lite0", &taps, &side));
    must(pb_network_load("efficientnet_lite0", taps, (pb_size){SIDE, SIDE}, pb_safetensors_lookup, weights, &network));
    must(pb_device_open("cpu", 1, &d->device));
    const pb_features how = {.patch = 3, .image = {SIDE, SIDE}};
    must(pb_extractor_create(d->device, &network, &how, 1, &d->extractor));
    must(pb_projection_create(d->device, 0, pb_extractor_dim(d->extractor), dims, &d->projection));
    pb_network_free(&network);
    pb_safetensors_close(&weights);
    d->out = fopen(argv[3], "wb");
    if (!d->out)
        must(pb_fail(PB_E_INPUT, "%s: cannot be written", argv[3]));
}

static void dump_image(dump *d, uint64_t index) {
    static uint8_t input[SIDE * SIDE * 3];
    const pb_fit fit = {.resize = {SIDE, 0}, .crop = {SIDE, SIDE}, .filter = PB_FILTER_BILINEAR};
    size_t rows = pb_size_area(pb_extractor_grid(d->extractor));
    pb_span span;
    pb_image image;
    const float *features, *projected;
    must(pb_archive_read(d->archive, index, 1, &span));
    must(pb_image_decode(span.bytes, span.size, &image));
    must(pb_image_to_input(&image, &fit, input));
    must(pb_extractor_run(d->extractor, input, 1, &features));
    must(pb_projection_apply(d->projection, features, rows, &projected));
    if (fwrite(projected, sizeof(float) * (size_t)pb_projection_dim(d->projection), rows, d->out) != rows)
        must(pb_fail(PB_E_SYSTEM, "the output cannot be written"));
    d->points += rows;
    pb_image_free(&image);
}

int main(int argc, char **argv) {
    dump d = {0};
    if (argc < 4) {
        fprintf(stderr, "usage: dump_features ARCHIVE WEIGHTS OUTPUT [DIMS]\n");
        return PB_E_USAGE;
    }
    open_all(&d, argv, argc > 4 ? atoi(argv[4]) : 128);
    for (uint64_t i = 0; i < pb_archive_images(d.archive); i++) {
        pb_record record;
        must(pb_archive_record(d.archive, i, &record));
        if (record.split == PB_SPLIT_TRAIN)
            dump_image(&d, i);
    }
    if (fclose(d.out) != 0)
        must(pb_fail(PB_E_SYSTEM, "the output cannot be written"));
    printf("%zu\n", d.points);
    pb_projection_free(&d.projection);
    pb_extractor_free(&d.extractor);
    pb_device_close(&d.device);
    pb_archive_close(&d.archive);
    return 0;
}
