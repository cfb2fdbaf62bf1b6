/* safetensors.h: reads weights files: 8 bytes header length, a JSON header, raw tensors. No code runs from a file.
 *
 * Everything in the file is checked before use: header length (at most 16 MiB) and JSON, no doubled names, types, shapes (at most
 * PB_TENSOR_RANK_MAX dimensions), offsets within the file, sizes that agree, every byte of data in exactly one tensor: no overlap
 * and, as the format demands, no hole. Values are not looked at. Format: https://github.com/huggingface/safetensors. Not
 * collective.
 *
 * Life: one rank reads the file (pb_file_read) and all parse it, or one opens it by itself; pb_safetensors_lookup goes to the
 * backbone, which copies what it needs; pb_safetensors_close.
 */
#ifndef PB_IO_SAFETENSORS_H
#define PB_IO_SAFETENSORS_H

#include "base/status.h"
#include "base/tensor.h"
#include "io/hash.h"

#include <stddef.h>

/* An opened file of weights. Does not change, so any number of threads may look things up. */
typedef struct pb_safetensors pb_safetensors;

/* Reads and checks the whole file (at most 4 GiB). Out: *tensors, owned by the caller, NULL on error. Memory: the file, while it
 * is read, and its float32 tensors. Errors: PB_E_INPUT ("x: not a safetensors file: ...", missing, too large), PB_E_SYSTEM. */
PB_CHECKED pb_status pb_safetensors_open(const char *path, pb_safetensors **tensors_out);

/* As open, from memory that is copied (one rank reads, all parse) and need not be aligned. name: for messages, copied. */
PB_CHECKED pb_status pb_safetensors_parse(const char *name, const void *bytes, size_t size, pb_safetensors **tensors_out);
/* Frees it, and with it all views that were lent; NULL is fine, *tensors is NULL afterwards. */
void pb_safetensors_close(pb_safetensors **tensors);

/* SHA-256 of the file, as text; number of tensors; name of tensor `index` in name order. All belong to the object. */
const char *pb_safetensors_sha256(const pb_safetensors *tensors);
size_t pb_safetensors_count(const pb_safetensors *tensors);
const char *pb_safetensors_name(const pb_safetensors *tensors, size_t index);

/* A pb_tensor_lookup; context is a pb_safetensors. F32 tensors only; the view lives as long as the object. Errors: PB_E_INPUT
 * naming file and tensor when it is missing or of another type. The data are aligned to PB_ALIGNMENT bytes, wherever they were in
 * the file. Thread safe. */
pb_status pb_safetensors_lookup(void *context, const char *name, pb_tensor_view *view_out);

#endif
