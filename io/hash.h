/* hash.h: checksums. CRC32C (Castagnoli) against decay of bytes, SHA-256 for identity. Host memory, not collective. */
#ifndef PB_IO_HASH_H
#define PB_IO_HASH_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* CRC32C as in iSCSI and ext4: initial value and final xor 0xFFFFFFFF; of "123456789" it is 0xE3069283. */
uint32_t pb_crc32c(const void *bytes, size_t size);

enum { PB_SHA256_TEXT = 65 }; /* 64 lower-case hexadecimal digits and the 0 */

/* SHA-256 of host memory, and of a whole file (read in pieces), as text. Errors: those of reading. */
void pb_sha256(const void *bytes, size_t size, char text[PB_SHA256_TEXT]);
PB_CHECKED pb_status pb_sha256_file(const char *path, char text[PB_SHA256_TEXT]);

/* Whether a text has the form of one. */
bool pb_is_sha256(const char *text);

#endif
