/* oracle.h, private to tests/io/: what the tests need to ask Pillow: a folder, Python, a checksum. Failures end the test. */
#ifndef PB_TESTS_IO_ORACLE_H
#define PB_TESTS_IO_ORACLE_H

#include <stddef.h>
#include <stdint.h>

enum { ORACLE_PATH = 256 };

/* Makes a new temporary folder and writes its path (ORACLE_PATH bytes). */
void oracle_folder(char *path);
/* Removes it with everything in it. */
void oracle_remove(const char *folder);

/* "folder/name" in a static buffer, good until the next call. */
const char *oracle_join(const char *folder, const char *name);

/* Writes a file, or reads one whole (free() the bytes). */
void oracle_write(const char *path, const void *bytes, size_t size);
uint8_t *oracle_read(const char *path, size_t *size_out);

/* Runs the Python script `script` (below the source folder) with shell words `words` and `input` on its standard input (NULL:
 * none); what it prints on standard output is returned, free() it. A failure of the script fails the test. */
char *oracle_python(const char *script, const char *words, const char *input);

/* CRC-32 as in zlib, bit by bit. */
uint32_t oracle_crc32(const void *bytes, size_t size);

/* The image of tests/golden/pillow_resize.py for a seed; free() it. */
uint8_t *oracle_formula(int width, int height, int channels, uint32_t seed);

#endif
