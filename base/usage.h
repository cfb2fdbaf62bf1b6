/* usage.h: what this process has used of its machine. Not collective, thread safe. */
#ifndef PB_BASE_USAGE_H
#define PB_BASE_USAGE_H

#include <stdint.h>

/* A look at this process. */
typedef struct pb_usage {
    double processor_s;    /* of all threads since the process began, in user and kernel mode */
    uint64_t memory_bytes; /* resident now */
    uint64_t peak_bytes;   /* most that ever was resident since the program was loaded */
} pb_usage;

/* What has been used until now. The two figures of memory are 0 where the system does not tell. They come from /proc/self/status:
 * the peak of getrusage(2) also counts what the process was before it loaded this program, that is, a copy of whoever started it.
 * Costs a few system calls: for the ends of steps, not for items. */
pb_usage pb_usage_now(void);

/* Memory of this host in bytes, whoever may use it (a cgroup's limit is not looked at); 0 when unknown. */
uint64_t pb_usage_host_memory(void);

/* Bytes of a host's name, with the closing 0. */
enum { PB_HOST_MAX = 64 };

/* Name of this host, cut to PB_HOST_MAX bytes with the closing 0; "unknown" when it has none. */
void pb_usage_host(char name[PB_HOST_MAX]);

#endif
