/* request.c: named texts -> a request. Each option is read by its name with the default that it had when banks did not know it
 * (docs/FORMATS.md, "how features are made"), then what only several of them together can have wrong is checked. Errors say which
 * option it was, on the command line "--crop", in a bank "FILE: option.crop".
 *
 * Everything is checked before an archive or weights are opened: a network is tried as an outline, without its weights. */
#include "jobs/request.h"

#include "jobs/provenance.h"

#include <stdio.h>
#include <string.h>

/* Where the texts come from. */
typedef struct source {
    const pb_attributes *attributes;
    const char *bank; /* NULL: the command line */
} source;

/* Option `name`, or `fallback` in a bank that is older than it. */
static const char *text_of(const source *from, const char *name, const char *fallback) {
    char attribute[64];
    snprintf(attribute, sizeof attribute, "option.%s", name);
    const char *text = pb_attributes_get(from->attributes, attribute);
    return text ? text : fallback;
}

/* Puts the option's name, and the bank's, before what is wrong with its value. What a bank says is not what the user said. */
static pb_status named(const source *from, const char *name, pb_status status) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s%s", from->bank ? "option." : "--", name);
    status = pb_prefix(status, prefix);
    if (from->bank && status.code == PB_E_USAGE)
        status.code = PB_E_INPUT;
    return from->bank ? pb_prefix(status, from->bank) : status;
}

/* A whole number from least to most, or `fallback` in a bank that is older than the option. Bounds fit an int. */
static pb_status number_of(const source *from, const char *name, uint64_t least, uint64_t most, int fallback, int *value) {
    char attribute[64];
    uint64_t number = (uint64_t)fallback;
    snprintf(attribute, sizeof attribute, "option.%s", name);
    if (pb_attributes_get(from->attributes, attribute))
        PB_TRY(pb_attributes_get_u64(from->attributes, from->bank ? from->bank : "options", attribute, least, most, &number));
    *value = (int)number;
    return pb_ok();
}

/* Which of two words option `name` is; the first is the fallback. */
static pb_status either_of(const source *from, const char *name, const char *first, const char *second, bool *is_second) {
    const char *text = text_of(from, name, first);
    *is_second = strcmp(text, second) == 0;
    if (*is_second || strcmp(text, first) == 0)
        return pb_ok();
    return named(from, name, pb_fail(PB_E_USAGE, "\"%s\": expected %s or %s", text, first, second));
}

/* From image to input: resize, crop, tile, filter. "whole": the crop is the one tile. */
static pb_status read_sizes(const source *from, pb_request *request) {
    const char *tile = text_of(from, "tile", "whole");
    PB_TRY(named(from, "resize", pb_fit_parse_resize(text_of(from, "resize", "224"), &request->fit.resize)));
    PB_TRY(named(from, "crop", pb_size_parse(text_of(from, "crop", "224"), PB_INPUT_LEAST, PB_IMAGE_SIDE_MAX,
                                             &request->fit.crop)));
    request->tile = request->fit.crop;
    if (strcmp(tile, "whole") != 0)
        PB_TRY(named(from, "tile", pb_size_parse(tile, PB_INPUT_LEAST, PB_IMAGE_SIDE_MAX, &request->tile)));
    PB_TRY(named(from, "interpolation", pb_filter_parse(text_of(from, "interpolation", "bilinear"), &request->fit.filter)));
    PB_TRY(either_of(from, "dct-scaling", "false", "true", &request->dct_scaling));
    request->features.image = request->fit.crop;
    return number_of(from, "tile-overlap", 0, PB_IMAGE_SIDE_MAX, 0, &request->features.overlap);
}

/* What no image could meet, or would be without effect. resize is both sides (exact), the shorter side (scaled), or 0: images as
 * they are, whose sizes only show when they come. */
static pb_status check_sizes(const source *from, const pb_request *request) {
    pb_size resize = request->fit.resize, crop = request->fit.crop;
    int shorter = crop.width < crop.height ? crop.width : crop.height;
    bool exact = resize.height > 0, scaled = resize.width > 0;
    if (exact ? crop.width > resize.width || crop.height > resize.height : scaled && shorter > resize.width)
        return named(from, "crop", pb_fail(PB_E_USAGE, "%d x %d pixels are more than --resize %s leaves of an image", crop.width,
                                           crop.height, text_of(from, "resize", "224")));
    if (pb_size_area(crop) > PB_IMAGE_PIXELS_MAX)
        return named(from, "crop",
                     pb_fail(PB_E_USAGE, "%d x %d pixels are more than an image can have (%zu)", crop.width, crop.height,
                             PB_IMAGE_PIXELS_MAX));
    if (request->dct_scaling && !scaled)
        return named(from, "dct-scaling", pb_fail(PB_E_USAGE, "has no effect with --resize 0, which takes images as they are"));
    return pb_ok();
}

/* How taps become patches. The options of patchcore must be left alone for mean, so that nobody thinks that they did
 * something. */
static pb_status read_features(const source *from, pb_request *request) {
    pb_features *features = &request->features;
    pb_patchcore *how = &features->patchcore;
    PB_TRY(either_of(from, "features", "mean", "patchcore", &features->is_patchcore));
    PB_TRY(either_of(from, "distance", "euclidean", "cosine", &features->unit));
    if (!pb_precision_parse(text_of(from, "precision", "fp32"), &features->precision))
        return named(from, "precision", pb_fail(PB_E_USAGE, "\"%s\": expected fp32, tf32, fp16 or bf16",
                                                text_of(from, "precision", "fp32")));
    PB_TRY(number_of(from, "patch-size", 1, PB_NEIGHBOURHOOD_MAX, 3, &how->patch));
    PB_TRY(number_of(from, "patch-stride", 1, 64, 1, &how->stride));
    PB_TRY(number_of(from, "layer-dim", 1, 65536, 1024, &how->layer_dim));
    PB_TRY(number_of(from, "feature-dim", 1, 65536, 1024, &how->feature_dim));
    features->patch = how->patch;
    if (how->patch % 2 == 0)
        return named(from, "patch-size", pb_fail(PB_E_USAGE, "%d: must be odd, so that a patch has a middle", how->patch));
    /* Left at their defaults. */
    bool as_mean = how->stride == 1 && how->layer_dim == 1024 && how->feature_dim == 1024;
    if (!features->is_patchcore && !as_mean)
        return named(from, "features",
                     pb_fail(PB_E_USAGE, "mean takes no --patch-stride, --layer-dim or --feature-dim; they are of patchcore"));
    return pb_ok();
}

/* A bank names the taps that were used, beside the option, whose "default" may have meant others then. */
static pb_status read_taps(const source *from, pb_request *request) {
    int side;
    if (from->bank)
        return pb_attributes_need(from->attributes, from->bank, "taps", &request->taps);
    request->taps = text_of(from, "taps", "default");
    return strcmp(request->taps, "default") == 0 ? pb_backbone_defaults(request->backbone, &request->taps, &side) : pb_ok();
}

/* Whether there is such a network, and whether it takes images apart like this: known before weights are read. */
static pb_status check_network(const source *from, const pb_request *request) {
    pb_network outline;
    pb_status status = pb_network_outline(request->backbone, request->taps, request->tile, &outline);
    if (pb_failed(&status))
        return from->bank ? named(from, "backbone", status) : status;
    status = named(from, "tile", pb_features_check(&outline, &request->features));
    pb_network_free(&outline);
    return status;
}

/* The backbone first: taps have defaults of its own. */
pb_status pb_request_read(const pb_attributes *attributes, const char *bank, pb_request *request_out) {
    const source from = {attributes, bank};
    *request_out = (pb_request){0};
    request_out->backbone = pb_attributes_get(attributes, "option.backbone");
    if (!request_out->backbone)
        return pb_fail(PB_E_INPUT, "%s: does not say which backbone it is of (attribute option.backbone); is it a bank?",
                       bank ? bank : "options");
    PB_TRY(read_taps(&from, request_out));
    PB_TRY(read_sizes(&from, request_out));
    PB_TRY(check_sizes(&from, request_out));
    PB_TRY(read_features(&from, request_out));
    return check_network(&from, request_out);
}
