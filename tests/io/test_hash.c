/* Checks io/hash.c: published vectors, a bitwise twin, and files against memory. */
#include "base/random.h"
#include "io/hash.h"
#include "oracle.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* RFC 3720, appendix B.4; the check value of the catalogue of parametrised CRC algorithms. */
Test(hash, crc32c_vectors) {
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    memset(ones, 0xFF, sizeof ones);
    for (int i = 0; i < 32; i++) {
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    cr_assert_eq(pb_crc32c("123456789", 9), 0xE3069283u);
    cr_assert_eq(pb_crc32c(zeros, 32), 0x8A9136AAu);
    cr_assert_eq(pb_crc32c(ones, 32), 0x62A8AB43u);
    cr_assert_eq(pb_crc32c(up, 32), 0x46DD794Eu);
    cr_assert_eq(pb_crc32c(down, 32), 0x113FDB5Cu);
    cr_assert_eq(pb_crc32c("", 0), 0u);
    cr_assert_eq(pb_crc32c(NULL, 0), 0u);
}

static uint32_t bitwise_crc32c(const uint8_t *bytes, size_t size) {
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82F63B78u : crc >> 1;
    }
    return crc ^ 0xFFFFFFFFu;
}

/* Lengths around the block sizes of the vectorised forms, at every alignment. */
Test(hash, crc32c_equals_twin) {
    enum { SIZE = 5000 };
    uint8_t bytes[SIZE + 16];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)pb_random_u32(1, PB_STREAM_TEST, 0, i);
    for (size_t size = 0; size < SIZE; size += size < 300 ? 1 : 97)
        for (size_t shift = 0; shift < 16; shift += 5)
            cr_assert_eq(pb_crc32c(bytes + shift, size), bitwise_crc32c(bytes + shift, size), "%zu bytes at %zu", size, shift);
}

/* FIPS 180-4 examples. */
Test(hash, sha256_vectors) {
    char text[PB_SHA256_TEXT];
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    pb_sha256("", 0, text);
    cr_assert_str_eq(text, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    pb_sha256("abc", 3, text);
    cr_assert_str_eq(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    pb_sha256(million, 1000000, text);
    cr_assert_str_eq(text, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
}

/* More than one piece of a read, and exactly one. */
Test(hash, sha256_of_file) {
    const size_t sizes[] = {0, 1, 1 << 20, (1 << 20) + 1, 3000000};
    char folder[ORACLE_PATH], of_memory[PB_SHA256_TEXT], of_file[PB_SHA256_TEXT];
    uint8_t *bytes = calloc(3000000, 1);
    for (size_t i = 0; i < 3000000; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    oracle_folder(folder);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const char *path = oracle_join(folder, "bytes");
        oracle_write(path, bytes, sizes[i]);
        pb_status status = pb_sha256_file(path, of_file);
        cr_assert_eq(status.code, PB_OK, "%s", status.message);
        pb_sha256(bytes, sizes[i], of_memory);
        cr_assert_str_eq(of_file, of_memory, "%zu bytes", sizes[i]);
    }
    free(bytes);
    oracle_remove(folder);
}

Test(hash, sha256_of_no_file) {
    char folder[ORACLE_PATH], text[PB_SHA256_TEXT];
    oracle_folder(folder);
    pb_status missing = pb_sha256_file(oracle_join(folder, "none"), text);
    pb_status directory = pb_sha256_file(folder, text);
    cr_assert_eq(missing.code, PB_E_INPUT);
    cr_assert_not_null(strstr(missing.message, "/none: "), "%s", missing.message);
    cr_assert_eq(directory.code, PB_E_INPUT);
    oracle_remove(folder);
}
