#include "trouble.h"

#include "base/fault.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

void trouble_arm(const char *specification) {
    pb_status status = pb_fault_arm(specification, 0);
    cr_assert_eq(status.code, PB_OK, "%s", status.message);
}

static int is_name(const struct dirent *entry) { return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0; }

char *trouble_names(const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, is_name, alphasort);
    cr_assert_geq(count, 0, "%s cannot be listed", folder);
    size_t room = 1, at = 0;
    for (int i = 0; i < count; i++)
        room += strlen(entries[i]->d_name) + 1;
    char *names = calloc(room, 1);
    cr_assert_not_null(names);
    for (int i = 0; i < count; i++) {
        at += (size_t)sprintf(names + at, "%s ", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return names;
}

#ifdef __SANITIZE_ADDRESS__
/* Asked by LeakSanitizer at exit. It stops all threads that it knows of, and a child of a forked test knows of threads that it
 * has not: it can wait for them for ever. Leaks are looked for in the tests' own processes. */
static bool in_child;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return in_child; }

/* HDF5 1.10 loses some hundred bytes whenever it refuses damaged metadata, and Criterion 48 bytes once; neither is ours. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libhdf5\nleak:libcriterion\n"; }
#endif

static void run_in_child(trouble_work work, void *context, long file_bytes, int perturbation, pb_status *result) {
#ifdef __SANITIZE_ADDRESS__
    in_child = true;
#endif
    alarm(60);
    if (perturbation != 0)
        mallopt(M_PERTURB, perturbation);
    if (file_bytes >= 0) {
        struct rlimit limit = {(rlim_t)file_bytes, (rlim_t)file_bytes};
        signal(SIGXFSZ, SIG_IGN);
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
            _exit(99);
    }
    *result = work(context);
    exit(0); /* with every exit handler */
}

pb_status trouble_child(trouble_work work, void *context, long file_bytes, int perturbation) {
    pb_status *result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(result, MAP_FAILED);
    fflush(NULL);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0)
        run_in_child(work, context, file_bytes, perturbation, result);
    int end;
    cr_assert_eq(waitpid(child, &end, 0), child);
    cr_assert(WIFEXITED(end) && WEXITSTATUS(end) == 0, "child ended by signal %d, exit status %d (limit %ld)",
              WIFSIGNALED(end) ? WTERMSIG(end) : 0, WIFEXITED(end) ? WEXITSTATUS(end) : 0, file_bytes);
    pb_status status = *result;
    munmap(result, sizeof *result);
    return status;
}
