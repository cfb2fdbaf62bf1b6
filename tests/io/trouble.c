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

static void run_in_child(trouble_work work, void *context, long file_bytes, int perturbation, pb_status *result) {
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
