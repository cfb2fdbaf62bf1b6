/* fuzz.h: what libFuzzer calls and offers. Not collective. */
#ifndef PB_TESTS_FUZZ_H
#define PB_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Called with each input; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
/* Optional: called once, before. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* Optional: changes an input in place, to at most `most` bytes; returns its new size. */
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t most, unsigned seed);
/* libFuzzer's own way to do so. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t most);

#endif
