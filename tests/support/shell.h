/* shell.h: runs a command as a user would and keeps what it says. For tests. */
#ifndef PB_TESTS_SHELL_H
#define PB_TESTS_SHELL_H

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/wait.h>

/* Runs a printf-formatted shell command; standard output and standard error end up in output (cut at size - 1 bytes). Returns the
 * exit code, or 128 + signal. */
__attribute__((format(printf, 3, 4))) static inline int shell(char *output, size_t size, const char *format, ...) {
    char command[8192];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length + 8 > sizeof command)
        return -1;
    snprintf(command + length, sizeof command - (size_t)length, " 2>&1");
    FILE *pipe = popen(command, "r");
    if (!pipe)
        return -1;
    size_t used = 0, more;
    char rest[4096];
    while ((more = used + 1 < size ? fread(output + used, 1, size - 1 - used, pipe) : fread(rest, 1, sizeof rest, pipe)) > 0)
        used += used + 1 < size ? more : 0;
    output[used] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#endif
