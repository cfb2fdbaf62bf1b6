/* Weights of layers: from named tensors, or random. Here is all the folding: what is linear before or after a linear operation
 * becomes part of its weights, computed in double and rounded once.
 *
 * Two ways to fill a layer (pb_network_builder.fill), each a switch over the operations at its end: pb_network_fill_loaded takes
 * tensors by name, checks their shapes and that every value is finite, and folds; pb_network_fill_random makes numbers. A tensor
 * is borrowed from the lookup during the call and copied.
 *
 * A number that is finite before folding and not after (a batch norm with a variance near 0) is bad input, not a weight:
 * PB_E_INPUT with the tensor, the channel and what was folded in.
 */
#include "gpu/network_builder.h"

#include "base/memory.h"
#include "base/random.h"
#include "gpu/positions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- weights from tensors ---- */

enum { SHAPE_TEXT_MAX = 200 };

/* "[64, 3, 7, 7]", for messages. The rank is at most PB_TENSOR_RANK_MAX, or ours: the text fits. */
static const char *shape_text(int rank, const int64_t *shape, char text[SHAPE_TEXT_MAX]) {
    size_t used = (size_t)snprintf(text, SHAPE_TEXT_MAX, "[");
    for (int d = 0; d < rank; d++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT_MAX - used, d ? ", %lld" : "%lld", (long long)shape[d]);
    snprintf(text + used, SHAPE_TEXT_MAX - used, "]");
    return text;
}

/* A lookup's failure, with what was looked for. */
static pb_status missing(const pb_status *failure, int rank, const int64_t *shape) {
    char expected[SHAPE_TEXT_MAX];
    return pb_fail(failure->code, "%s; expected shape %s", failure->message, shape_text(rank, shape, expected));
}

/* Finds a tensor by its name, or else by the one that another program gives it. A failure is that of its own name. */
static pb_status find(const pb_network_builder *builder, const char *name, pb_tensor_view *view) {
    pb_status status = builder->lookup(builder->context, name, view);
    if (!pb_failed(&status) || !builder->backbone->other_name)
        return status;
    char other[PB_TENSOR_NAME_MAX];
    builder->backbone->other_name(name, other);
    pb_status by_other = builder->lookup(builder->context, other, view);
    return pb_failed(&by_other) ? status : by_other;
}

/* Borrows a tensor after checking its shape and its values. */
static pb_status fetch(const pb_network_builder *builder, const char *name, int rank, const int64_t *shape, const float **data) {
    pb_tensor_view view;
    pb_status looked_up = find(builder, name, &view);
    if (pb_failed(&looked_up))
        return missing(&looked_up, rank, shape);
    PB_ASSERT(view.rank >= 0 && view.rank <= PB_TENSOR_RANK_MAX);
    if (view.rank != rank || memcmp(view.shape, shape, (size_t)rank * sizeof *shape) != 0) {
        char found[SHAPE_TEXT_MAX], expected[SHAPE_TEXT_MAX];
        return pb_fail(PB_E_INPUT, "tensor %s: found shape %s, expected %s", name, shape_text(view.rank, view.shape, found),
                       shape_text(rank, shape, expected));
    }
    size_t count = 1;
    for (int d = 0; d < rank; d++)
        count *= (size_t)shape[d];
    for (size_t i = 0; i < count; i++)
        if (!isfinite(view.data[i]))
            return pb_fail(PB_E_INPUT, "tensor %s: value %zu is not finite (%g)", name, i, (double)view.data[i]);
    *data = view.data;
    return pb_ok();
}

/* Borrows a vector of one value a channel, named PREFIX NAME or, with a suffix, PREFIX NAME.SUFFIX. */
static pb_status fetch_vector(const pb_network_builder *builder, const char *prefix, const char *name, const char *suffix,
                              int64_t channels, const float **data) {
    char full[PB_TENSOR_NAME_MAX];
    int length = snprintf(full, sizeof full, "%s%s%s%s", prefix, name, *suffix ? "." : "", suffix);
    PB_ASSERT(length > 0 && (size_t)length < sizeof full);
    return fetch(builder, full, 1, &channels, data);
}

/* Scales the weights of output channel o and gives it a bias. False: something is not finite. */
static bool fold_channel(const pb_network *network, int index, int o, const float *weights, double factor, double bias) {
    const pb_layer *layer = &network->layers[index];
    size_t each = pb_layer_weight_count(network, index) / (size_t)layer->outputs;
    layer->bias[o] = (float)bias;
    bool finite = isfinite(layer->bias[o]);
    for (size_t i = (size_t)o * each; i < (size_t)(o + 1) * each; i++) {
        layer->weights[i] = (float)(weights[i] * factor);
        finite = finite && isfinite(layer->weights[i]);
    }
    return finite;
}

/* A batch norm as it is stored; borrowed. */
typedef struct norm_tensors {
    const float *scale, *shift, *mean, *variance; /* [channels] */
} norm_tensors;

/* All four or an error, which names the one that is missing. */
static pb_status fetch_norm(const pb_network_builder *builder, const pb_layer_origin *from, int64_t channels,
                            norm_tensors *norm) {
    const struct {
        const char *suffix;
        const float **data;
    } parts[] = {{"weight", &norm->scale}, {"bias", &norm->shift}, {"running_mean", &norm->mean},
                 {"running_var", &norm->variance}};
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        PB_TRY(fetch_vector(builder, from->prefix, from->step->norm, parts[p].suffix, channels, parts[p].data));
    return pb_ok();
}

/* norm(conv(x, w)) = conv(x, w * factor) + (shift - mean * factor) with factor = scale / sqrt(variance + epsilon). In double;
 * each weight and bias is rounded to float once. */
static pb_status fill_normed(const pb_network_builder *builder, int index, const float *weights) {
    const pb_layer *layer = &builder->network->layers[index];
    norm_tensors norm = {0};
    PB_TRY(fetch_norm(builder, &builder->origins[index], layer->outputs, &norm));
    for (int o = 0; o < layer->outputs; o++) {
        double factor = norm.scale[o] / sqrt(norm.variance[o] + builder->backbone->norm_epsilon);
        if (!fold_channel(builder->network, index, o, weights, factor, norm.shift[o] - norm.mean[o] * factor))
            return pb_fail(PB_E_INPUT, "tensor %s: channel %d is not finite with its batch norm %s folded in (variance %g)",
                           layer->name, o, builder->origins[index].step->norm, (double)norm.variance[o]);
    }
    return pb_ok();
}

/* What channel o of a linear layer is multiplied by before the softmax of an attention: its queries come first. */
static double query_factor(const pb_layer_origin *from, int o) {
    bool is_query = from->step->width == PB_WIDTH_ATTENDED && o < from->block->outputs;
    return is_query ? 1 / sqrt((double)from->block->outputs / from->block->heads) : 1;
}

/* scale * (w x + b) = (scale * w) x + scale * b. */
static pb_status fill_biased(const pb_network_builder *builder, int index, const float *weights) {
    const pb_layer *layer = &builder->network->layers[index];
    const pb_layer_origin *from = &builder->origins[index];
    const float *bias = NULL, *scale = NULL;
    PB_TRY(fetch_vector(builder, from->prefix, from->step->name, "bias", layer->outputs, &bias));
    if (from->step->scale)
        PB_TRY(fetch_vector(builder, from->prefix, from->step->scale, "", layer->outputs, &scale));
    for (int o = 0; o < layer->outputs; o++) {
        double factor = query_factor(from, o) * (scale ? scale[o] : 1);
        if (!fold_channel(builder->network, index, o, weights, factor, bias[o] * factor))
            return pb_fail(PB_E_INPUT, "tensor %s: channel %d is not finite with its scale %s folded in (%g)", layer->name, o,
                           from->step->scale, factor);
    }
    return pb_ok();
}

/* A batch norm's convolution and one with a kernel have a tensor of rank 4, a linear layer a matrix: the same values in the same
 * order. */
static pb_status fill_convolution(const pb_network_builder *builder, int index) {
    const pb_layer *layer = &builder->network->layers[index];
    const int64_t shape[4] = {layer->outputs, layer->inputs / layer->groups, layer->kernel, layer->kernel};
    bool normed = builder->origins[index].step->norm != NULL;
    const float *weights = NULL;
    PB_TRY(fetch(builder, layer->name, normed || layer->kernel > 1 ? 4 : 2, shape, &weights));
    return normed ? fill_normed(builder, index, weights) : fill_biased(builder, index, weights);
}

/* Nothing can be folded: the norm's statistics are those of each token. */
static pb_status fill_layer_norm(const pb_network_builder *builder, int index) {
    pb_layer *layer = &builder->network->layers[index];
    const pb_layer_origin *from = &builder->origins[index];
    const float *weights = NULL, *bias = NULL;
    PB_TRY(fetch_vector(builder, from->prefix, from->step->name, "weight", layer->outputs, &weights));
    PB_TRY(fetch_vector(builder, from->prefix, from->step->name, "bias", layer->outputs, &bias));
    memcpy(layer->weights, weights, (size_t)layer->outputs * sizeof *weights);
    memcpy(layer->bias, bias, (size_t)layer->outputs * sizeof *bias);
    return pb_ok();
}

/* Puts the class token and the position embeddings, [1 + side * side][outputs] for the size trained with, into a layer. Row 0 is
 * the class token with its own embedding; rows 1, 2, ... are embeddings, interpolated to the grid of patches of this input. */
static void place_tokens(const pb_network_builder *builder, int index, const float *class_token, const float *table) {
    pb_layer *layer = &builder->network->layers[index];
    size_t channels = (size_t)layer->outputs;
    for (size_t c = 0; c < channels; c++)
        layer->weights[c] = (float)((double)class_token[c] + (double)table[c]);
    pb_positions_interpolate(table + channels, builder->backbone->positions.side, layer->outputs,
                             pb_network_shape(builder->network, layer->source).size, layer->weights + channels);
}

/* Tensors that only another kind of network has are asked for first: with them the rest would load, and compute something
 * else. */
static pb_status fill_tokens(const pb_network_builder *builder, int index) {
    const pb_layer *layer = &builder->network->layers[index];
    const pb_positions *positions = &builder->backbone->positions;
    const int64_t one[3] = {1, 1, layer->outputs};
    const int64_t all[3] = {1, 1 + (int64_t)positions->side * positions->side, layer->outputs};
    const float *class_token = NULL, *table = NULL;
    for (const char *const *name = positions->refused; *name; name++) {
        pb_tensor_view view;
        pb_status looked_up = builder->lookup(builder->context, *name, &view);
        if (!pb_failed(&looked_up))
            return pb_fail(PB_E_INPUT, "tensor %s: %s has none; these are weights of another network", *name,
                           builder->network->backbone);
    }
    PB_TRY(fetch(builder, positions->class_token, 3, one, &class_token));
    PB_TRY(fetch(builder, layer->name, 3, all, &table));
    place_tokens(builder, index, class_token, table);
    return pb_ok();
}

pb_status pb_network_fill_loaded(const pb_network_builder *builder, int index) {
    switch (builder->network->layers[index].operation) {
    case PB_OPERATION_CONVOLUTION:
        return fill_convolution(builder, index);
    case PB_OPERATION_LAYER_NORM:
        return fill_layer_norm(builder, index);
    case PB_OPERATION_TOKENS:
        return fill_tokens(builder, index);
    case PB_OPERATION_MAX_POOL:
    case PB_OPERATION_ATTENTION:
    case PB_OPERATION_PATCHES:
        break;
    }
    return pb_ok();
}

/* ---- random weights ---- */

/* count numbers, uniform in (-reach, reach): their variance is reach^2 / 3. The layer's number is the substream. */
static void fill_uniform(const pb_network_builder *builder, int index, float reach, float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        values[i] = reach * pb_random_symmetric(builder->seed, PB_STREAM_WEIGHTS, (uint32_t)index, i);
}

/* He's variance is 2 / fan-in. */
static void randomise_convolution(const pb_network_builder *builder, int index) {
    const pb_layer *layer = &builder->network->layers[index];
    size_t count = pb_layer_weight_count(builder->network, index), each = count / (size_t)layer->outputs;
    fill_uniform(builder, index, (float)sqrt(6.0 * layer->outputs / (double)count), layer->weights, count);
    for (int o = 0; o < layer->outputs; o++) {
        float factor = (float)query_factor(&builder->origins[index], o);
        for (size_t i = (size_t)o * each; factor < 1 && i < (size_t)(o + 1) * each; i++)
            layer->weights[i] *= factor;
    }
}

/* Class token 0, and position embeddings with the deviation 0.02 that their training begins with. */
static pb_status randomise_tokens(const pb_network_builder *builder, int index) {
    size_t channels = (size_t)builder->network->layers[index].outputs;
    size_t side = (size_t)builder->backbone->positions.side, count = (1 + side * side) * channels;
    float *table, *class_token = NULL;
    PB_TRY(pb_allocate(&table, count, sizeof *table, "position embeddings"));
    pb_status status = pb_allocate(&class_token, channels, sizeof *class_token, "class token");
    if (!pb_failed(&status)) {
        fill_uniform(builder, index, (float)(0.02 * sqrt(3.0)), table, count);
        place_tokens(builder, index, class_token, table);
    }
    pb_release(&class_token);
    pb_release(&table);
    return status;
}

/* What is not written stays as it was allocated: 0, which is right for every bias. */
pb_status pb_network_fill_random(const pb_network_builder *builder, int index) {
    const pb_layer *layer = &builder->network->layers[index];
    switch (layer->operation) {
    case PB_OPERATION_CONVOLUTION:
        randomise_convolution(builder, index);
        break;
    case PB_OPERATION_LAYER_NORM:
        for (int c = 0; c < layer->outputs; c++)
            layer->weights[c] = 1;
        break;
    case PB_OPERATION_TOKENS:
        return randomise_tokens(builder, index);
    case PB_OPERATION_MAX_POOL:
    case PB_OPERATION_ATTENTION:
    case PB_OPERATION_PATCHES:
        break;
    }
    return pb_ok();
}
