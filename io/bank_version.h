/* bank_version.h: what a version of a bank store says of itself: meta.json. Format: docs/FORMATS.md. Nothing here knows of
 * stores: these are a record, its file and its name. Not collective; thread safe. */
#ifndef PB_IO_BANK_VERSION_H
#define PB_IO_BANK_VERSION_H

#include "base/clock.h"
#include "base/status.h"
#include "io/generation.h"
#include "io/hash.h"

#include <stdint.h>

struct json_t;

/* Bytes of a version's name, with the closing 0: up to fifteen digits. */
enum { PB_VERSION_NAME = 16 };

/* What a version was let in by: the figure that `bank publish` compared, and the numbers that it was compared with. kind "":
 * nothing, it was rolled back to. */
typedef struct pb_gate_record {
    char kind[16];         /* "auroc", "false-alarms" */
    double figure;         /* of the bank; greater is better */
    double current_figure; /* of the bank that was current; NaN: there was none */
    double margin, floor;  /* figure >= floor, and >= current_figure - margin where there was one */
    double threshold;      /* of false alarms; NaN else */
    uint64_t images;       /* that the figures are of */
    char archive_sha256[PB_SHA256_TEXT]; /* of the archive that has them */
} pb_gate_record;

/* What meta.json says. Plain data, owns nothing; texts end with 0 and fit. */
typedef struct pb_bank_version {
    char name[PB_VERSION_NAME];     /* "000012": its folder */
    char parent[PB_VERSION_NAME];   /* what its bank was judged against; "": it was the first */
    char restores[PB_VERSION_NAME]; /* the version whose bank this is again, after a rollback; "" else. The parent is then that
                                     * version's, so that rolling back again goes further back */
    char bank_sha256[PB_SHA256_TEXT], archive_sha256[PB_SHA256_TEXT]; /* of the bank file; of what it was made from */
    uint64_t rows;
    int dim;
    double covering_radius; /* NaN: the bank does not say */
    pb_generation generation;
    pb_gate_record gate;
    char program_version[32], program_commit[64]; /* of the program that published */
    char published[PB_TIMESTAMP_MAX];             /* UTC */
} pb_bank_version;

/* A version as a new JSON object, owned by the caller (json_decref). Errors: PB_E_SYSTEM. */
PB_CHECKED pb_status pb_bank_version_to_json(const pb_bank_version *version, struct json_t **json_out);

/* Writes `path`, completely or not at all, and flushed to the disk. Errors: those of pb_file_write; PB_E_SYSTEM when memory is
 * out. */
PB_CHECKED pb_status pb_bank_version_write(const char *path, const pb_bank_version *version);

/* Reads and checks it; keys that are not known are passed over. Errors: PB_E_INPUT (missing, not JSON, not a version, newer
 * format, impossible values, with the key); PB_E_SYSTEM. *version_out is then set in part. */
PB_CHECKED pb_status pb_bank_version_read(const char *path, pb_bank_version *version_out);

/* The number of a version's name, 0 when it is no such name: six digits, from 000001, or more of them. */
uint64_t pb_version_number(const char *name);
/* The name of number 1 to 10^15 - 1; a larger one fails an assertion. */
void pb_version_name(uint64_t number, char name[PB_VERSION_NAME]);

#endif
