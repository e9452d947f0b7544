/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NCCL, opened at run time: any 2.x from 2.19 on, whose ABI (nccl.h) has only grown. All calls that return int return
 * an ncclResult_t. Streams are CUstream.
 */
#ifndef TRAIN_NCCL_LIB_H
#define TRAIN_NCCL_LIB_H

#include <stddef.h>

struct nccl_unique_id {
	char internal[128];
};

/* ncclResult_t, as far as anything is done about it. */
enum {
	NCCL_SUCCESS = 0,
	NCCL_SYSTEM_ERROR = 2,
	NCCL_INTERNAL_ERROR = 3,
	NCCL_INVALID_USAGE = 5,
	NCCL_REMOTE_ERROR = 6,
	NCCL_IN_PROGRESS = 7,
};

/* ncclDataType_t */
enum nccl_type {
	NCCL_INT8,
	NCCL_UINT8,
	NCCL_INT32,
	NCCL_UINT32,
	NCCL_INT64,
	NCCL_UINT64,
	NCCL_FLOAT16,
	NCCL_FLOAT32,
	NCCL_FLOAT64,
	NCCL_BFLOAT16,
	NCCL_TYPES
};

/* ncclRedOp_t */
enum nccl_redop { NCCL_SUM, NCCL_PROD, NCCL_MAX, NCCL_MIN, NCCL_AVG, NCCL_REDOPS };

typedef struct ncclComm *nccl_comm;

/* X(member, exported symbol, parameters) */
#define NCCL_LIB_CALLS(X)                                                                        \
	X(get_version, "ncclGetVersion", (int *ret))                                             \
	X(get_unique_id, "ncclGetUniqueId", (struct nccl_unique_id * ret))                       \
	X(comm_init, "ncclCommInitRank",                                                         \
	  (nccl_comm * ret, int nranks, struct nccl_unique_id id, int rank))                     \
	X(comm_split, "ncclCommSplit",                                                           \
	  (nccl_comm comm, int color, int key, nccl_comm *ret, void *config))                    \
	X(comm_finalize, "ncclCommFinalize", (nccl_comm comm))                                   \
	X(comm_destroy, "ncclCommDestroy", (nccl_comm comm))                                     \
	X(comm_abort, "ncclCommAbort", (nccl_comm comm))                                         \
	X(comm_async_error, "ncclCommGetAsyncError", (nccl_comm comm, int *ret))                 \
	X(comm_register, "ncclCommRegister",                                                     \
	  (nccl_comm comm, void *at, size_t size, void **ret_handle))                            \
	X(comm_deregister, "ncclCommDeregister", (nccl_comm comm, void *handle))                 \
	X(mem_alloc, "ncclMemAlloc", (void **ret, size_t size))                                  \
	X(mem_free, "ncclMemFree", (void *at))                                                   \
	X(group_start, "ncclGroupStart", (void))                                                 \
	X(group_end, "ncclGroupEnd", (void))                                                     \
	X(all_reduce, "ncclAllReduce",                                                           \
	  (const void *src, void *dst, size_t count, int type, int op, nccl_comm comm,           \
	   void *stream))                                                                        \
	X(all_gather, "ncclAllGather",                                                           \
	  (const void *src, void *dst, size_t count, int type, nccl_comm comm, void *stream))    \
	X(reduce_scatter, "ncclReduceScatter",                                                   \
	  (const void *src, void *dst, size_t count, int type, int op, nccl_comm comm,           \
	   void *stream))                                                                        \
	X(broadcast, "ncclBroadcast",                                                            \
	  (const void *src, void *dst, size_t count, int type, int root, nccl_comm comm,         \
	   void *stream))                                                                        \
	X(reduce, "ncclReduce",                                                                  \
	  (const void *src, void *dst, size_t count, int type, int op, int root, nccl_comm comm, \
	   void *stream))                                                                        \
	X(send, "ncclSend",                                                                      \
	  (const void *src, size_t count, int type, int peer, nccl_comm comm, void *stream))     \
	X(recv, "ncclRecv",                                                                      \
	  (void *dst, size_t count, int type, int peer, nccl_comm comm, void *stream))

/* @version: as 22907 for 2.29.7. */
struct nccl_lib {
	void *handle;
	int version;
	const char *(*error_string)(int result);
	const char *(*last_error)(nccl_comm comm);
#define X(member, symbol, parameters) int(*member) parameters;
	NCCL_LIB_CALLS(X)
#undef X
};

/*
 * Opens libnccl.so.2 (or what @path names). NCCL reads its environment from now on. Negative errno, reported:
 * -ENOENT no library, -ENOSYS it lacks a function. The library stays loaded for the life of the process.
 */
int nccl_lib_open(const char *path, struct nccl_lib *ret);

/* Reports @result of @what, with NCCL's last message. -EIO; 0 for ncclSuccess. */
int nccl_lib_check(const struct nccl_lib *nccl, int result, const char *what);

#endif
