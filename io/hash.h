/* hash.h: checksums. CRC32C (Castagnoli) against decay of bytes, SHA-256 for identity. Host memory, not collective. */
#ifndef PB_IO_HASH_H
#define PB_IO_HASH_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* CRC32C as in iSCSI (RFC 3720, B.4) and ext4: initial value and final xor 0xFFFFFFFF; of "123456789" it is 0xE3069283, of no
 * bytes 0. Thread safe. */
uint32_t pb_crc32c(const void *bytes, size_t size);

enum { PB_SHA256_TEXT = 65 }; /* 64 lower-case hexadecimal digits and the 0 */

/* SHA-256 (FIPS 180-4) of host memory, and of a whole file (read in pieces, whatever its length), as text. Errors: those of
 * reading; text is then not set. Thread safe. */
void pb_sha256(const void *bytes, size_t size, char text[PB_SHA256_TEXT]);
PB_CHECKED pb_status pb_sha256_file(const char *path, char text[PB_SHA256_TEXT]);

/* Whether a text has the form of one: 64 lower-case hexadecimal digits and no more. */
bool pb_is_sha256(const char *text);

#endif
