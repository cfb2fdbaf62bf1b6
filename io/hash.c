/* hash.c: CRC32C by isa-l, which uses the processor's instruction for it, and SHA-256 by OpenSSL's libcrypto. */
#include "io/hash.h"

#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* crc32_iscsi takes an int as length and neither complements its initial value nor its result (checked by the known vectors
 * of tests/io/test_hash.c), so both are done here, and long memory goes in pieces. */
enum { CRC_PIECE = 1 << 30 };

uint32_t pb_crc32c(const void *bytes, size_t size) {
    const unsigned char *next = bytes;
    unsigned int crc = 0xFFFFFFFFu;
    while (size > 0) {
        size_t piece = size < CRC_PIECE ? size : CRC_PIECE;
        /* isa-l only forgot the const */
        crc = crc32_iscsi((unsigned char *)(uintptr_t)next, (int)piece, crc);
        next += piece;
        size -= piece;
    }
    return crc ^ 0xFFFFFFFFu;
}

/* Of a digest; of a file that are read at a time. */
enum { SHA256_BYTES = 32, SHA256_PIECE = 1 << 20 };

static void digest_text(const unsigned char digest[SHA256_BYTES], char text[PB_SHA256_TEXT]) {
    for (int i = 0; i < SHA256_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
}

void pb_sha256(const void *bytes, size_t size, char text[PB_SHA256_TEXT]) {
    unsigned char digest[SHA256_BYTES];
    /* Fails only where libcrypto has no SHA-256 or no few hundred bytes of memory: nothing can go on then. */
    PB_ASSERT(EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) == 1);
    digest_text(digest, text);
}

bool pb_is_sha256(const char *text) {
    return strlen(text) == PB_SHA256_TEXT - 1 && strspn(text, "0123456789abcdef") == PB_SHA256_TEXT - 1;
}

/* From where the descriptor stands to the end, whatever the length: no size is asked for that could change. */
static pb_status digest_descriptor(const char *path, int descriptor, unsigned char *piece, EVP_MD_CTX *context) {
    for (;;) {
        ssize_t got = read(descriptor, piece, SHA256_PIECE);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return pb_fail_errno(errno, path, "cannot read");
        if (got == 0)
            return pb_ok();
        PB_ASSERT(EVP_DigestUpdate(context, piece, (size_t)got) == 1);
    }
}

/* In pieces of 1 MiB: shards may be larger than memory. Opened without waiting, as by pb_file_read. */
pb_status pb_sha256_file(const char *path, char text[PB_SHA256_TEXT]) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for the writer of a pipe */
    if (descriptor < 0)
        return pb_fail_errno(errno, path, "cannot open");
    unsigned char digest[SHA256_BYTES], *piece = NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    PB_ASSERT(context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
    pb_status status = pb_allocate(&piece, SHA256_PIECE, 1, "a piece of a file");
    if (!pb_failed(&status))
        status = digest_descriptor(path, descriptor, piece, context);
    if (!pb_failed(&status)) {
        PB_ASSERT(EVP_DigestFinal_ex(context, digest, NULL) == 1);
        digest_text(digest, text);
    }
    pb_release(&piece);
    EVP_MD_CTX_free(context);
    close(descriptor);
    return status;
}
