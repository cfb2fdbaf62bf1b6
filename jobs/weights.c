/* weights.c: the bytes of a weights file go to all ranks by one broadcast and are parsed there; they are released when the
 * network has its own copy. No code is in them (docs/ARCHITECTURE.md, invariant 10). */
#include "jobs/weights.h"

#include "base/memory.h"
#include "io/safetensors.h"
#include "jobs/share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char RANDOM_PREFIX[] = "random:";
static const size_t FILE_BYTES_MAX = (size_t)16 << 30;

/* Weights from the counter-based generator: the same on every rank. Digits alone are a seed: strtoull would also take signs and
 * blanks. */
static pb_status random_network(const char *source, const char *backbone, const char *taps, pb_size input, pb_network *network,
                                char *identity) {
    const char *digits = source + sizeof RANDOM_PREFIX - 1;
    char *end;
    errno = 0;
    unsigned long long seed = strtoull(digits, &end, 10);
    if (errno != 0 || *digits < '0' || *digits > '9' || *end)
        return pb_fail(PB_E_USAGE, "--weights %s: random: needs a seed below 2^64, as random:7", source);
    snprintf(identity, PB_WEIGHTS_IDENTITY_MAX, "%s%llu", RANDOM_PREFIX, seed);
    return pb_network_random(backbone, taps, input, seed, network);
}

/* The network copies what it takes of `bytes`. */
static pb_status parse(const char *path, const void *bytes, size_t size, const char *backbone, const char *taps, pb_size input,
                       pb_network *network, char *identity) {
    pb_safetensors *tensors;
    PB_TRY(pb_safetensors_parse(path, bytes, size, &tensors));
    snprintf(identity, PB_WEIGHTS_IDENTITY_MAX, "sha256:%s", pb_safetensors_sha256(tensors));
    pb_status status = pb_network_load(backbone, taps, input, pb_safetensors_lookup, tensors, network);
    pb_safetensors_close(&tensors);
    return status;
}

pb_status pb_weights_load(pb_comm *comm, const char *source, const char *backbone, const char *taps, pb_size input,
                          pb_network *network, char identity[PB_WEIGHTS_IDENTITY_MAX]) {
    if (strncmp(source, RANDOM_PREFIX, sizeof RANDOM_PREFIX - 1) == 0) /* the same on every rank */
        return pb_agree(comm, random_network(source, backbone, taps, input, network, identity));
    char *bytes = NULL;
    size_t size = 0;
    pb_status status = pb_read_for_all(comm, source, FILE_BYTES_MAX, &bytes, &size);
    if (pb_failed(&status))
        return status;
    status = parse(source, bytes, size, backbone, taps, input, network, identity);
    pb_release(&bytes);
    return pb_agree(comm, status);
}
