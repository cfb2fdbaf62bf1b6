/* safetensors.c: a weights file, checked and opened. The whole file is in memory when it is checked, and every number of its
 * header is compared with what is really there before it is used. Like the format's own reader we refuse holes: bytes that no
 * tensor owns could hide another file.
 *
 * In order (fill): the length of the header, the header as JSON, each tensor (type, shape, offsets, that these agree), that the
 * tensors cover the data exactly, then copies of the float32 ones, and last the order by name in which they are looked up. The
 * parsed header owns the names, so it stays. Nothing in a file can run (invariant 10).
 */
#include "io/safetensors.h"

#include "base/memory.h"
#include "io/file.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors files are little-endian and are used as they are");

/* Backbones are far below both. A tensor takes about 100 bytes of header, and the parsed header about 20 times its text. */
static const size_t FILE_MAX = (size_t)4 << 30, HEADER_MAX = (size_t)16 << 20;
/* Of the header's length, with which a file begins. */
enum { LENGTH_BYTES = 8 };

/* The format's types, and their size in bytes. */
static const struct {
    const char *name;
    uint64_t size;
} TYPES[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"I8", 1},      {"I16", 2},    {"I32", 4}, {"I64", 8},
             {"U8", 1},  {"U16", 2}, {"U32", 4},  {"U64", 8}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"BOOL", 1}};
enum { TYPE_COUNT = sizeof TYPES / sizeof *TYPES, TYPE_F32 = 0 };

typedef struct tensor {
    const char *name;    /* belongs to the parsed header */
    int type;            /* into TYPES */
    uint64_t begin, end; /* bytes of the file's data */
    pb_tensor_view view; /* shape; data of F32 alone */
} tensor;

struct pb_safetensors {
    char *file; /* its name, for messages */
    char sha256[PB_SHA256_TEXT];
    json_t *header; /* owns the names */
    size_t count;
    tensor *tensors; /* in name order */
    float *values;   /* the F32 tensors, each aligned to PB_ALIGNMENT: the file itself promises no alignment */
};

/* --- the header ------------------------------------------------------------------------------------------------- */

/* Finds header and data. Out: lengths; the header begins at LENGTH_BYTES and the data behind it. The order of the comparisons
 * keeps them from overflowing. */
static pb_status measure(const uint8_t *bytes, size_t size, size_t *header_size) {
    if (size < LENGTH_BYTES)
        return pb_fail(PB_E_INPUT, "it has %zu bytes, fewer than a header length takes", size);
    uint64_t length = 0;
    memcpy(&length, bytes, sizeof length);
    if (length > HEADER_MAX)
        return pb_fail(PB_E_INPUT, "header length %llu is over the limit of %zu bytes", (unsigned long long)length, HEADER_MAX);
    if (length > size - LENGTH_BYTES)
        return pb_fail(PB_E_INPUT, "header length %llu is beyond the end of the file (%zu bytes)", (unsigned long long)length,
                       size);
    *header_size = (size_t)length;
    return pb_ok();
}

/* The format wants it to begin with a brace, where JSON would let blanks stand. Two tensors of one name are refused here. */
static pb_status parse_header(const uint8_t *bytes, size_t size, json_t **header_out) {
    if (size == 0 || bytes[0] != '{')
        return pb_fail(PB_E_INPUT, "the header is not a JSON object");
    json_error_t error;
    *header_out = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, &error);
    if (*header_out)
        return pb_ok();
    if (json_error_code(&error) == json_error_out_of_memory)
        return pb_fail(PB_E_SYSTEM, "out of memory for the header");
    return pb_fail(PB_E_INPUT, "the header is not valid JSON: %s (byte %d)", error.text, error.position);
}

/* Texts for people, which are not looked at but must be what the format says. jansson iterates over what is not const only. */
static pb_status check_metadata(const json_t *metadata) {
    if (!json_is_object(metadata))
        return pb_fail(PB_E_INPUT, "__metadata__ is not an object");
    for (void *at = json_object_iter((json_t *)(uintptr_t)metadata); at;
         at = json_object_iter_next((json_t *)(uintptr_t)metadata, at))
        if (!json_is_string(json_object_iter_value(at)))
            return pb_fail(PB_E_INPUT, "__metadata__: %.100s is not a text", json_object_iter_key(at));
    return pb_ok();
}

/* JSON's numbers may be anything; here whole ones from 0 to 2^63 - 1. */
static pb_status read_count(const json_t *number, const char *what, uint64_t *count_out) {
    if (!json_is_integer(number) || json_integer_value(number) < 0)
        return pb_fail(PB_E_INPUT, "%s holds something that is not a whole number >= 0", what);
    *count_out = (uint64_t)json_integer_value(number);
    return pb_ok();
}

/* All types of the format are known, so that a file is not refused for a tensor that nobody asks for. */
static pb_status read_type(const json_t *entry, tensor *t) {
    const char *name = json_string_value(json_object_get(entry, "dtype"));
    if (!name)
        return pb_fail(PB_E_INPUT, "no dtype, or one that is not a text");
    for (t->type = 0; t->type < TYPE_COUNT; t->type++)
        if (strcmp(name, TYPES[t->type].name) == 0)
            return pb_ok();
    return pb_fail(PB_E_INPUT, "unknown dtype \"%.20s\"", name);
}

/* Shape and, from it, the number of bytes, which must not overflow. */
static pb_status read_shape(const json_t *entry, tensor *t, uint64_t *bytes) {
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return pb_fail(PB_E_INPUT, "no shape, or one that is not an array");
    if (json_array_size(shape) > PB_TENSOR_RANK_MAX)
        return pb_fail(PB_E_INPUT, "%zu dimensions, more than the %d that are supported", json_array_size(shape),
                       PB_TENSOR_RANK_MAX);
    t->view.rank = (int)json_array_size(shape);
    *bytes = TYPES[t->type].size;
    for (int d = 0; d < t->view.rank; d++) {
        uint64_t length = 0;
        PB_TRY(read_count(json_array_get(shape, (size_t)d), "shape", &length));
        t->view.shape[d] = (int64_t)length;
        if (__builtin_mul_overflow(*bytes, length, bytes))
            return pb_fail(PB_E_INPUT, "the product of its shape overflows");
    }
    return pb_ok();
}

/* A pair within the data, from the beginning of the data on. */
static pb_status read_offsets(const json_t *entry, uint64_t data_size, tensor *t) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2)
        return pb_fail(PB_E_INPUT, "no data_offsets, or not a pair of numbers");
    PB_TRY(read_count(json_array_get(offsets, 0), "data_offsets", &t->begin));
    PB_TRY(read_count(json_array_get(offsets, 1), "data_offsets", &t->end));
    if (t->begin > t->end || t->end > data_size)
        return pb_fail(PB_E_INPUT, "data_offsets [%llu, %llu] are not within the %llu bytes of data",
                       (unsigned long long)t->begin, (unsigned long long)t->end, (unsigned long long)data_size);
    return pb_ok();
}

/* A tensor of the header. Shape and offsets say its size independently, and must agree. */
static pb_status read_tensor(const json_t *entry, uint64_t data_size, tensor *t) {
    uint64_t bytes = 0;
    if (!json_is_object(entry))
        return pb_fail(PB_E_INPUT, "described by something that is not an object");
    PB_TRY(read_type(entry, t));
    PB_TRY(read_shape(entry, t, &bytes));
    PB_TRY(read_offsets(entry, data_size, t));
    if (bytes != t->end - t->begin)
        return pb_fail(PB_E_INPUT, "its shape takes %llu bytes, its data_offsets %llu", (unsigned long long)bytes,
                       (unsigned long long)(t->end - t->begin));
    return pb_ok();
}

/* Names are foreign text: only their beginning goes into a message. */
static pb_status in_tensor(pb_status status, const char *name) {
    char where[128];
    snprintf(where, sizeof where, "tensor %.100s", name);
    return pb_prefix(status, where);
}

/* All of them, in the order of the header. object->count is what is filled. */
static pb_status read_tensors(pb_safetensors *object, uint64_t data_size) {
    PB_TRY(pb_allocate(&object->tensors, json_object_size(object->header), sizeof *object->tensors, "the tensors of a file"));
    const char *name;
    json_t *entry;
    json_object_foreach(object->header, name, entry) {
        if (strcmp(name, "__metadata__") == 0) {
            PB_TRY(check_metadata(entry));
            continue;
        }
        tensor *t = &object->tensors[object->count++];
        t->name = name;
        pb_status status = read_tensor(entry, data_size, t);
        if (pb_failed(&status))
            return in_tensor(status, name);
    }
    return pb_ok();
}

/* --- the data --------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) { return strcmp(((const tensor *)a)->name, ((const tensor *)b)->name); }

/* By place; an empty tensor stands before the one that begins where it does. Names only to leave nothing to qsort's whim, should
 * messages name one of two. */
static int by_place(const void *a, const void *b) {
    const tensor *left = a, *right = b;
    if (left->begin != right->begin)
        return left->begin < right->begin ? -1 : 1;
    if (left->end != right->end)
        return left->end < right->end ? -1 : 1;
    return by_name(a, b);
}

/* Every byte belongs to exactly one tensor. Sorts the tensors by place. */
static pb_status check_cover(pb_safetensors *object, uint64_t data_size) {
    uint64_t covered = 0;
    if (object->count > 0)
        qsort(object->tensors, object->count, sizeof *object->tensors, by_place);
    for (const tensor *t = object->tensors; t < object->tensors + object->count; t++) {
        if (t->begin < covered)
            return in_tensor(pb_fail(PB_E_INPUT, "overlaps the one before, %.100s", t[-1].name), t->name);
        if (t->begin > covered)
            return in_tensor(pb_fail(PB_E_INPUT, "there is a hole of %llu bytes before it",
                                     (unsigned long long)(t->begin - covered)),
                             t->name);
        covered = t->end;
    }
    if (covered != data_size)
        return pb_fail(PB_E_INPUT, "%llu bytes at the end belong to no tensor", (unsigned long long)(data_size - covered));
    return pb_ok();
}

/* Values that alignment is counted in. */
enum { STEP = PB_ALIGNMENT / sizeof(float) };

/* Room for a tensor, such that the next one is aligned again. */
static size_t padded_values(const tensor *t) {
    size_t values = (size_t)(t->end - t->begin) / sizeof(float);
    return (values + STEP - 1) / STEP * STEP;
}

/* The float32 tensors into one aligned block: vector code may load them as they are. */
static pb_status copy_values(pb_safetensors *object, const uint8_t *data) {
    size_t total = 0;
    for (size_t i = 0; i < object->count; i++)
        if (object->tensors[i].type == TYPE_F32)
            total += padded_values(&object->tensors[i]);
    PB_TRY(pb_allocate(&object->values, total, sizeof *object->values, "the weights of a file"));
    float *next = object->values;
    for (tensor *t = object->tensors; t < object->tensors + object->count; t++) {
        if (t->type != TYPE_F32)
            continue;
        memcpy(next, data + t->begin, (size_t)(t->end - t->begin));
        t->view.data = next;
        next += padded_values(t);
    }
    return pb_ok();
}

/* --- the object ------------------------------------------------------------------------------------------------- */

/* SHA-256 is of the whole file: the identity of the weights, which banks carry. */
static pb_status fill(pb_safetensors *object, const uint8_t *bytes, size_t size) {
    size_t header_size = 0;
    PB_TRY(measure(bytes, size, &header_size));
    PB_TRY(parse_header(bytes + LENGTH_BYTES, header_size, &object->header));
    const uint8_t *data = bytes + LENGTH_BYTES + header_size;
    size_t data_size = size - LENGTH_BYTES - header_size;
    PB_TRY(read_tensors(object, data_size));
    PB_TRY(check_cover(object, data_size));
    PB_TRY(copy_values(object, data));
    if (object->count > 0)
        qsort(object->tensors, object->count, sizeof *object->tensors, by_name);
    pb_sha256(bytes, size, object->sha256);
    return pb_ok();
}

/* Machine failures are not called a bad file. */
pb_status pb_safetensors_parse(const char *name, const void *bytes, size_t size, pb_safetensors **tensors_out) {
    pb_safetensors *object = NULL;
    *tensors_out = NULL;
    PB_TRY(pb_allocate(&object, 1, sizeof *object, "a weights file"));
    pb_status status = pb_allocate(&object->file, strlen(name) + 1, 1, "a weights file");
    if (!pb_failed(&status)) {
        strcpy(object->file, name);
        status = fill(object, bytes, size);
    }
    if (!pb_failed(&status)) {
        *tensors_out = object;
        return pb_ok();
    }
    pb_safetensors_close(&object);
    return pb_prefix(status.code == PB_E_INPUT ? pb_prefix(status, "not a safetensors file") : status, name);
}

/* The bytes go once the values are copied: for the time being both are in memory. */
pb_status pb_safetensors_open(const char *path, pb_safetensors **tensors_out) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    *tensors_out = NULL;
    PB_TRY(pb_file_read(path, FILE_MAX, &bytes, &size));
    pb_status status = pb_safetensors_parse(path, bytes, size, tensors_out);
    pb_release(&bytes);
    return status;
}

void pb_safetensors_close(pb_safetensors **tensors) {
    pb_safetensors *object = *tensors;
    if (!object)
        return;
    json_decref(object->header);
    pb_release(&object->tensors);
    pb_release(&object->values);
    pb_release(&object->file);
    pb_release(tensors);
}

const char *pb_safetensors_sha256(const pb_safetensors *tensors) { return tensors->sha256; }

size_t pb_safetensors_count(const pb_safetensors *tensors) { return tensors->count; }

const char *pb_safetensors_name(const pb_safetensors *tensors, size_t index) {
    PB_ASSERT(index < tensors->count);
    return tensors->tensors[index].name;
}

/* By name in log2(count) steps; context is a pb_safetensors, since pb_tensor_lookup has it so. */
pb_status pb_safetensors_lookup(void *context, const char *name, pb_tensor_view *view_out) {
    const pb_safetensors *object = context;
    tensor wanted = {.name = name};
    const tensor *found = NULL;
    if (object->count > 0)
        found = bsearch(&wanted, object->tensors, object->count, sizeof wanted, by_name);
    if (!found)
        return pb_fail(PB_E_INPUT, "%s: it has no tensor %s", object->file, name);
    if (found->type != TYPE_F32)
        return pb_fail(PB_E_INPUT, "%s: tensor %s has type %s where F32 is needed", object->file, name, TYPES[found->type].name);
    *view_out = found->view;
    return pb_ok();
}
