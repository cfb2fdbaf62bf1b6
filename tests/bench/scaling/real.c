/* real.c: the ranks are processes of mpiexec. */
#include "scaling.h"

void scaling_begin(pb_comm *comm) { (void)comm; }

void scaling_end(pb_comm *comm, int part) { (void)comm, (void)part; }

void scaling_print(int part) { (void)part; }

int main(int argc, char **argv) {
    int code = scaling_read(argv + 1, argc - 1);
    if (code == 0)
        scaling_rank();
    return code;
}
