/* mpi.h: the part of MPI that mpi/ uses, for many ranks in one process (simulator.h). Put before the real one on the include
 * path, it lets mpi/ and everything above be compiled unchanged. */
#ifndef PB_TESTS_SIMULATOR_MPI_H
#define PB_TESTS_SIMULATOR_MPI_H

typedef enum MPI_Comm { MPI_COMM_WORLD = 1, MPI_COMM_SELF } MPI_Comm;
typedef enum MPI_Datatype { MPI_BYTE = 1, MPI_UINT64_T, MPI_DOUBLE } MPI_Datatype;
typedef enum MPI_Op { MPI_MAX = 1, MPI_SUM } MPI_Op;

#define MPI_IN_PLACE ((void *)-1)
#define MPI_STATUS_IGNORE ((void *)0)
enum { MPI_PROC_NULL = -2, MPI_INFO_NULL = 0, MPI_COMM_TYPE_SHARED = 1, MPI_THREAD_FUNNELED = 1 };

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided);
int MPI_Finalize(void);
int MPI_Comm_rank(MPI_Comm comm, int *rank);
int MPI_Comm_size(MPI_Comm comm, int *size);
/* Every rank has a host of its own. */
int MPI_Comm_split_type(MPI_Comm comm, int type, int key, int info, MPI_Comm *made);
int MPI_Comm_free(MPI_Comm *comm);
int MPI_Barrier(MPI_Comm comm);
int MPI_Allreduce(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm);
int MPI_Exscan(const void *send, void *receive, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm);
int MPI_Bcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm);
int MPI_Gather(const void *send, int count, MPI_Datatype type, void *receive, int receive_count, MPI_Datatype receive_type,
               int root, MPI_Comm comm);
int MPI_Allgather(const void *send, int count, MPI_Datatype type, void *receive, int receive_count, MPI_Datatype receive_type,
                  MPI_Comm comm);
int MPI_Allgatherv(const void *send, int count, MPI_Datatype type, void *receive, const int *counts, const int *places,
                   MPI_Datatype receive_type, MPI_Comm comm);
int MPI_Send(const void *buffer, int count, MPI_Datatype type, int to, int tag, MPI_Comm comm);
int MPI_Recv(void *buffer, int count, MPI_Datatype type, int from, int tag, MPI_Comm comm, void *status);
int MPI_Sendrecv(const void *send, int count, MPI_Datatype type, int to, int tag, void *receive, int receive_count,
                 MPI_Datatype receive_type, int from, int receive_tag, MPI_Comm comm, void *status);

#endif
