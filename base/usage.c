/* usage.c: processor time by getrusage(2), memory by /proc. Whatever cannot be found out is 0: no job fails for a figure about
 * itself. */
#include "base/usage.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static double seconds_of(struct timeval time) { return (double)time.tv_sec + 1e-6 * (double)time.tv_usec; }

/* The number behind "name:" of a line "VmHWM:   1234 kB", in bytes. */
static void read_line(const char *line, const char *name, uint64_t *bytes) {
    unsigned long long kilobytes;
    size_t length = strlen(name);
    if (strncmp(line, name, length) == 0 && sscanf(line + length, " %llu", &kilobytes) == 1)
        *bytes = 1024 * (uint64_t)kilobytes;
}

/* The file is text, and the order of its lines is not promised, so every line is tried for both names. */
pb_usage pb_usage_now(void) {
    pb_usage usage = {0};
    struct rusage times;
    char line[256];
    if (getrusage(RUSAGE_SELF, &times) == 0)
        usage.processor_s = seconds_of(times.ru_utime) + seconds_of(times.ru_stime);
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file)) {
        read_line(line, "VmRSS:", &usage.memory_bytes);
        read_line(line, "VmHWM:", &usage.peak_bytes);
    }
    if (file)
        fclose(file);
    return usage;
}

uint64_t pb_usage_host_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
}

void pb_usage_host(char name[PB_HOST_MAX]) {
    if (gethostname(name, PB_HOST_MAX) != 0 || !*name)
        snprintf(name, PB_HOST_MAX, "unknown");
    name[PB_HOST_MAX - 1] = '\0';
}
