#include "oracle.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void oracle_folder(char *path) {
    const char *base = getenv("TMPDIR");
    snprintf(path, ORACLE_PATH, "%s/patchbank-io-XXXXXX", base && strlen(base) < ORACLE_PATH - 32 ? base : "/tmp");
    cr_assert_not_null(mkdtemp(path), "no temporary folder %s", path);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *place) {
    (void)facts, (void)kind, (void)place;
    return remove(path);
}

void oracle_remove(const char *folder) {
    cr_assert_eq(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0, "%s could not be removed", folder);
}

const char *oracle_join(const char *folder, const char *name) {
    static char joined[2 * ORACLE_PATH];
    cr_assert_lt(snprintf(joined, sizeof joined, "%s/%s", folder, name), (int)sizeof joined);
    return joined;
}

void oracle_write(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file, "%s cannot be created", path);
    cr_assert(size == 0 || fwrite(bytes, size, 1, file) == 1);
    cr_assert_eq(fclose(file), 0);
}

/* A pipe has no size to ask for, so files and pipes are both read until they end. */
static uint8_t *read_stream(FILE *stream, size_t *size_out) {
    size_t room = 1 << 16, size = 0, got;
    uint8_t *bytes = malloc(room);
    cr_assert_not_null(bytes);
    while ((got = fread(bytes + size, 1, room - size - 1, stream)) > 0) {
        size += got;
        if (room - size < 2) {
            bytes = realloc(bytes, room *= 2);
            cr_assert_not_null(bytes);
        }
    }
    bytes[size] = 0;
    *size_out = size;
    return bytes;
}

uint8_t *oracle_read(const char *path, size_t *size_out) {
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s cannot be opened", path);
    uint8_t *bytes = read_stream(file, size_out);
    cr_assert_eq(fclose(file), 0);
    return bytes;
}

char *oracle_python(const char *script, const char *words, const char *input) {
    char *command, input_path[] = "/tmp/patchbank-io-input-XXXXXX";
    int descriptor = mkstemp(input_path);
    cr_assert_geq(descriptor, 0);
    if (input)
        oracle_write(input_path, input, strlen(input));
    cr_assert_gt(asprintf(&command, "'%s' '%s/%s' %s < %s", PB_PYTHON, PB_SOURCE_DIR, script, words, input_path), 0);
    FILE *pipe = popen(command, "r");
    cr_assert_not_null(pipe, "%s cannot be run", command);
    size_t size;
    char *answer = (char *)read_stream(pipe, &size);
    int result = pclose(pipe);
    close(descriptor);
    unlink(input_path);
    cr_assert_eq(result, 0, "failed: %s", command);
    free(command);
    return answer;
}

uint32_t oracle_crc32(const void *bytes, size_t size) {
    const uint8_t *next = bytes;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= next[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
    }
    return crc ^ 0xFFFFFFFFu;
}

uint8_t *oracle_formula(int width, int height, int channels, uint32_t seed) {
    size_t size = (size_t)width * (size_t)height * (size_t)channels;
    uint8_t *bytes = malloc(size);
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < size; i++) {
        uint32_t v = (uint32_t)(i + 1) * 2654435761u + seed * 40503u;
        bytes[i] = (uint8_t)(v >> 24 ^ v >> 8);
    }
    return bytes;
}
