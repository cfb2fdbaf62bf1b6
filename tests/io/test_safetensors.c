#include "io/safetensors.h"

#include "oracle.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_ROOM = 4096 };

/* A file in memory: length, header text, `data_size` bytes of data 1, 2, 3 ... Returns its size. */
static size_t build(uint8_t file[FILE_ROOM], const char *header, size_t data_size) {
    uint64_t length = strlen(header);
    cr_assert_leq(8 + length + data_size, FILE_ROOM);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        file[8 + length + i] = (uint8_t)(i + 1);
    return 8 + length + data_size;
}

/* The bytes lie in a block of their own size, so that the address sanitizer sees a read beyond the end. */
static pb_status parse(const uint8_t *file, size_t size, pb_safetensors **tensors) {
    uint8_t *exact = malloc(size ? size : 1);
    memcpy(exact, file, size);
    pb_status status = pb_safetensors_parse("w.safetensors", exact, size, tensors);
    free(exact);
    return status;
}

static pb_safetensors *parse_good(const char *header, size_t data_size) {
    uint8_t file[FILE_ROOM];
    pb_safetensors *tensors;
    pb_status status = parse(file, build(file, header, data_size), &tensors);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    return tensors;
}

static void expect_bytes_refused(const uint8_t *file, size_t size, const char *message) {
    pb_safetensors *tensors = (pb_safetensors *)&size;
    pb_status status = parse(file, size, &tensors);
    cr_assert_eq(status.code, PB_E_INPUT, "not refused, expected: %s", message);
    char beginning[PB_MESSAGE_MAX];
    snprintf(beginning, sizeof beginning, "w.safetensors: not a safetensors file: %s", message);
    cr_assert_eq(strncmp(status.message, beginning, strlen(beginning)), 0, "\"%s\" does not begin with \"%s\"", status.message,
                 beginning);
    cr_assert_null(strchr(status.message, '\n'));
    cr_assert_null(tensors);
}

static void expect_refused(const char *header, size_t data_size, const char *message) {
    uint8_t file[FILE_ROOM];
    expect_bytes_refused(file, build(file, header, data_size), message);
}

/* One tensor "t" with the given parts in a file of 8 bytes of data. */
static void expect_tensor_refused(const char *dtype, const char *shape, const char *offsets, const char *message) {
    char header[512];
    snprintf(header, sizeof header, "{\"t\":{\"dtype\":%s,\"shape\":%s,\"data_offsets\":%s}}", dtype, shape, offsets);
    expect_refused(header, 8, message);
}

/* --- good files ------------------------------------------------------------------------------------------------- */

#define MIXED                                                                                              \
    "{\"__metadata__\":{\"made by\":\"test\"},"                                                             \
    "\"z.bool\":{\"dtype\":\"BOOL\",\"shape\":[3],\"data_offsets\":[0,3]},"                                 \
    "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[3,27]},"                             \
    "\"half\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[27,31]},"                                \
    "\"brain\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[31,33]},"                                \
    "\"a.bias\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[33,37]},"                                 \
    "\"steps\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[37,45]},"                                  \
    "\"none\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[37,37]}}      "
enum { MIXED_DATA = 45 };

static float value_at(size_t offset) {
    uint8_t bytes[4];
    float value;
    for (size_t i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(offset + i + 1);
    memcpy(&value, bytes, 4);
    return value;
}

Test(safetensors, names_in_order_and_hash) {
    static const char *const NAMES[] = {"a.bias", "b.weight", "brain", "half", "none", "steps", "z.bool"};
    uint8_t file[FILE_ROOM];
    size_t size = build(file, MIXED, MIXED_DATA);
    pb_safetensors *tensors = parse_good(MIXED, MIXED_DATA);
    cr_assert_eq(pb_safetensors_count(tensors), 7);
    for (size_t i = 0; i < 7; i++)
        cr_assert_str_eq(pb_safetensors_name(tensors, i), NAMES[i]);
    char sha256[PB_SHA256_TEXT];
    pb_sha256(file, size, sha256);
    cr_assert_str_eq(pb_safetensors_sha256(tensors), sha256);
    pb_safetensors_close(&tensors);
    cr_assert_null(tensors);
    pb_safetensors_close(&tensors);
}

/* The F32 tensors begin at odd places of the file, but not in memory. */
Test(safetensors, values_shapes_and_alignment) {
    pb_safetensors *tensors = parse_good(MIXED, MIXED_DATA);
    pb_tensor_view view;
    pb_status status = pb_safetensors_lookup(tensors, "b.weight", &view);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert(view.rank == 2 && view.shape[0] == 2 && view.shape[1] == 3);
    cr_assert_eq((uintptr_t)view.data % 64, 0);
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(view.data[i], value_at(3 + 4 * i));
    status = pb_safetensors_lookup(tensors, "a.bias", &view);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert_eq(view.rank, 0);
    cr_assert_eq((uintptr_t)view.data % 64, 0);
    cr_assert_eq(view.data[0], value_at(33));
    status = pb_safetensors_lookup(tensors, "none", &view);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert(view.rank == 2 && view.shape[0] == 0 && view.shape[1] == 5);
    pb_safetensors_close(&tensors);
}

Test(safetensors, lookup_of_what_is_not_there) {
    pb_safetensors *tensors = parse_good(MIXED, MIXED_DATA);
    pb_tensor_view view;
    pb_status status = pb_safetensors_lookup(tensors, "c.weight", &view);
    cr_assert_eq(status.code, PB_E_INPUT);
    cr_assert_str_eq(status.message, "w.safetensors: it has no tensor c.weight");
    static const char *const OTHERS[][2] = {{"half", "F16"}, {"brain", "BF16"}, {"steps", "I64"}, {"z.bool", "BOOL"}};
    for (size_t i = 0; i < 4; i++) {
        char message[128];
        snprintf(message, sizeof message, "w.safetensors: tensor %s has type %s where F32 is needed", OTHERS[i][0], OTHERS[i][1]);
        status = pb_safetensors_lookup(tensors, OTHERS[i][0], &view);
        cr_assert_eq(status.code, PB_E_INPUT);
        cr_assert_str_eq(status.message, message);
    }
    status = pb_safetensors_lookup(tensors, "__metadata__", &view);
    cr_assert_eq(status.code, PB_E_INPUT);
    pb_safetensors_close(&tensors);
}

Test(safetensors, file_without_tensors) {
    pb_safetensors *tensors = parse_good("{}", 0);
    cr_assert_eq(pb_safetensors_count(tensors), 0);
    pb_tensor_view view;
    pb_status status = pb_safetensors_lookup(tensors, "t", &view);
    cr_assert_eq(status.code, PB_E_INPUT);
    pb_safetensors_close(&tensors);
}

/* A file that Python wrote; tests/golden/README.md says what is in it. */
Test(safetensors, opens_the_golden_file) {
    pb_safetensors *tensors;
    pb_status status = pb_safetensors_open(PB_SOURCE_DIR "/tests/golden/efficientnet_lite0.safetensors", &tensors);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    pb_tensor_view view;
    status = pb_safetensors_lookup(tensors, "rgb.patches_right", &view);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert(view.rank == 2 && view.shape[0] == 28 && view.shape[1] == 152);
    for (int i = 0; i < 28 * 152; i++)
        cr_assert(view.data[i] >= -40.f && view.data[i] <= 40.f, "value %d is %g", i, (double)view.data[i]);
    char sha256[PB_SHA256_TEXT];
    status = pb_sha256_file(PB_SOURCE_DIR "/tests/golden/efficientnet_lite0.safetensors", sha256);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
    cr_assert_str_eq(pb_safetensors_sha256(tensors), sha256);
    pb_safetensors_close(&tensors);
}

Test(safetensors, open_names_the_file) {
    char folder[ORACLE_PATH];
    oracle_folder(folder);
    const char *path = oracle_join(folder, "w.safetensors");
    pb_safetensors *tensors = NULL;
    pb_status status = pb_safetensors_open(path, &tensors);
    cr_assert_eq(status.code, PB_E_INPUT);
    cr_assert_null(tensors);
    cr_assert_not_null(strstr(status.message, path), "%s", status.message);
    oracle_write(path, "short", 5);
    status = pb_safetensors_open(path, &tensors);
    cr_assert_eq(status.code, PB_E_INPUT);
    cr_assert_null(tensors);
    cr_assert_eq(strncmp(status.message, path, strlen(path)), 0, "%s", status.message);
    cr_assert_not_null(strstr(status.message, "not a safetensors file: it has 5 bytes"), "%s", status.message);
    oracle_remove(folder);
}

/* --- bad headers ------------------------------------------------------------------------------------------------ */

Test(safetensors, header_length) {
    uint8_t file[FILE_ROOM];
    size_t size = build(file, MIXED, MIXED_DATA);
    for (size_t cut = 0; cut < 8; cut++)
        expect_bytes_refused(file, cut, "it has");
    for (size_t cut = 8; cut < 8 + strlen(MIXED); cut++)
        expect_bytes_refused(file, cut, "header length");
    for (size_t cut = 8 + strlen(MIXED); cut < size; cut++)
        expect_bytes_refused(file, cut, "tensor ");
    uint64_t lengths[] = {size - 7, (uint64_t)1 << 20, (uint64_t)1 << 40, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(file, &lengths[i], 8);
        expect_bytes_refused(file, size, "header length");
    }
    memset(file, 0, 8);
    expect_bytes_refused(file, size, "the header is not a JSON object");
}

Test(safetensors, header_json) {
    expect_refused("", 0, "the header is not a JSON object");
    expect_refused("[]", 0, "the header is not a JSON object");
    expect_refused(" {}", 0, "the header is not a JSON object");
    expect_refused("{", 0, "the header is not valid JSON");
    expect_refused("{}x", 0, "the header is not valid JSON");
    expect_refused("{\"a\":1,}", 0, "the header is not valid JSON");
    expect_refused("{\"\xff\":{}}", 0, "the header is not valid JSON");
    expect_refused("{\"a\\u0000\":{}}", 0, "the header is not valid JSON");
    expect_refused("{\"a\":\n\"b", 0, "the header is not valid JSON");
    expect_refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                   "\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
                   8, "the header is not valid JSON: duplicate");
    expect_refused("{\"__metadata__\":3}", 0, "__metadata__ is not an object");
    expect_refused("{\"__metadata__\":{\"epoch\":3}}", 0, "__metadata__: epoch is not a text");
}

Test(safetensors, tensor_entries) {
    expect_refused("{\"t\":3}", 0, "tensor t: described by something that is not an object");
    expect_refused("{\"t\":{}}", 0, "tensor t: no dtype");
    expect_refused("{\"t\":{\"dtype\":\"F32\"}}", 0, "tensor t: no shape");
    expect_refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[]}}", 0, "tensor t: no data_offsets");
    expect_tensor_refused("5", "[2]", "[0,8]", "tensor t: no dtype");
    expect_tensor_refused("\"F33\"", "[2]", "[0,8]", "tensor t: unknown dtype \"F33\"");
    expect_tensor_refused("\"f32\"", "[2]", "[0,8]", "tensor t: unknown dtype \"f32\"");
    expect_tensor_refused("\"F32\"", "2", "[0,8]", "tensor t: no shape");
    expect_tensor_refused("\"F32\"", "[2.0]", "[0,8]", "tensor t: shape holds something");
    expect_tensor_refused("\"F32\"", "[-2]", "[0,8]", "tensor t: shape holds something");
    expect_tensor_refused("\"F32\"", "[true]", "[0,8]", "tensor t: shape holds something");
    expect_tensor_refused("\"F32\"", "[99999999999999999999]", "[0,8]", "the header is not valid JSON");
    expect_tensor_refused("\"F32\"", "[1,1,1,1,1,1,1,1,2]", "[0,8]", "tensor t: 9 dimensions");
    expect_tensor_refused("\"F32\"", "[4611686018427387904]", "[0,8]", "tensor t: the product of its shape overflows");
    expect_tensor_refused("\"F32\"", "[4294967296,4294967296,2]", "[0,8]", "tensor t: the product of its shape overflows");
    expect_tensor_refused("\"F32\"", "[3]", "[0,8]", "tensor t: its shape takes 12 bytes, its data_offsets 8");
    expect_tensor_refused("\"F64\"", "[2]", "[0,8]", "tensor t: its shape takes 16 bytes, its data_offsets 8");
    expect_tensor_refused("\"F32\"", "[0]", "[0,8]", "tensor t: its shape takes 0 bytes, its data_offsets 8");
    expect_tensor_refused("\"F32\"", "[2]", "[0]", "tensor t: no data_offsets");
    expect_tensor_refused("\"F32\"", "[2]", "[0,4,8]", "tensor t: no data_offsets");
    expect_tensor_refused("\"F32\"", "[2]", "{\"0\":8}", "tensor t: no data_offsets");
    expect_tensor_refused("\"F32\"", "[2]", "[\"0\",8]", "tensor t: data_offsets holds something");
    expect_tensor_refused("\"F32\"", "[2]", "[-8,0]", "tensor t: data_offsets holds something");
    expect_tensor_refused("\"F32\"", "[2]", "[4,12]", "tensor t: data_offsets [4, 12] are not within the 8 bytes of data");
    expect_tensor_refused("\"F32\"", "[2]", "[8,0]", "tensor t: data_offsets [8, 0] are not within the 8 bytes of data");
}

static void expect_pair_refused(const char *offsets_a, const char *offsets_b, size_t data_size, const char *message) {
    char header[512];
    snprintf(header, sizeof header,
             "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":%s},"
             "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":%s}}",
             offsets_b, offsets_a);
    expect_refused(header, data_size, message);
}

Test(safetensors, every_byte_belongs_to_one_tensor) {
    expect_pair_refused("[0,4]", "[3,7]", 7, "tensor b: overlaps the one before, a");
    expect_pair_refused("[0,4]", "[0,4]", 4, "tensor b: overlaps the one before, a");
    expect_pair_refused("[4,8]", "[1,5]", 8, "tensor b: there is a hole of 1 bytes before it");
    expect_pair_refused("[6,10]", "[0,4]", 10, "tensor a: there is a hole of 2 bytes before it");
    expect_pair_refused("[0,4]", "[4,8]", 9, "1 bytes at the end belong to no tensor");
    expect_refused("{}", 1, "1 bytes at the end belong to no tensor");
    expect_refused("{\"t\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[2,2]},"
                   "\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "tensor t: overlaps the one before, u");
}
