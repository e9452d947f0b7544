/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the stand-in share. One lock guards everything that is not said to have another rule;
 * kernels and copies run without it.
 */
#ifndef STANDIN_STATE_H
#define STANDIN_STATE_H

#include <cuda.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "standin.h"

#define STANDIN_MAX_GPUS 8
#define PAGE		 4096ul
#define MAGIC_CTX	 0x63747831u
#define MAGIC_STREAM	 0x73747231u
#define MAGIC_EVENT	 0x65767431u
#define MAGIC_MODULE	 0x6d6f6431u
#define MAGIC_PHYS	 0x70687931u

/* Of each driver function: definitions are STANDIN_API CUresult cuX(...), and begin with ENTER(). */
#define STANDIN_API STANDIN_EXPORT

/* Counts, traces, and returns the error that STANDIN_FAIL or a missing cuInit() asks for. */
#define ENTER()                                         \
	do {                                            \
		CUresult enter_ = call_enter(__func__); \
		if (enter_ != CUDA_SUCCESS)             \
			return enter_;                  \
	} while (0)

/* The same for what wants a current context, which is left in @ctx. */
#define ENTER_CTX(ctx)                                  \
	CUcontext ctx;                                  \
	do {                                            \
		CUresult enter_ = call_enter(__func__); \
		if (enter_ == CUDA_SUCCESS)             \
			enter_ = ctx_current(&ctx);     \
		if (enter_ != CUDA_SUCCESS)             \
			return enter_;                  \
	} while (0)

CUresult call_enter(const char *function);
/* The same without the check for cuInit(). */
CUresult call_enter_uninitialised(const char *function);

struct device {
	int ordinal;
	size_t memory; /* bytes there are */
	size_t used;
	CUcontext primary; /* made once; alive while primary_refs > 0 */
	unsigned int primary_refs;
};

struct CUctx_st {
	unsigned int magic;
	struct device *device;
	bool alive, is_primary;
	unsigned int flags;
	unsigned long long id;
	CUstream null_stream; /* made when first used */
	unsigned int closing; /* destroyed streams whose work is not done */
	CUcontext next;	      /* of all, ended ones too */
};

enum way { DMABUF_OFF, DMABUF_MEMFD, DMABUF_UDMABUF };

struct state {
	pthread_mutex_t lock;
	pthread_cond_t progress; /* an operation of some stream has ended */
	pid_t pid;		 /* who called cuInit(); a forked child finds nothing initialised */
	bool ready;
	int version;
	enum way dmabuf;
	bool trace;
	unsigned int delay_us;
	int n_devices;
	struct device device[STANDIN_MAX_GPUS];
	struct standin_usage usage;
};

extern struct state standin;

static inline void state_lock(void)
{
	pthread_mutex_lock(&standin.lock);
}

static inline void state_unlock(void)
{
	pthread_mutex_unlock(&standin.lock);
}

/* -- env.c: the environment's words ------------------------------------------------------------- */

/* Reads all variables; called once, with the lock held. */
void env_read(void);
/* Whether STANDIN_MISSING names @function. */
bool env_missing(const char *function);
/* The value that STANDIN_ATTR gives to device attribute @attribute. */
bool env_attribute(int attribute, int *ret);
/* What STANDIN_FAIL says to the @nth call of @function, 0 for nothing. */
CUresult env_fail(const char *function, unsigned long nth);
/* @name without _v2, _v3, _v4: into @out of @size bytes. */
void name_plain(const char *name, char *out, size_t size);

/* -- ctx.c -------------------------------------------------------------------------------------- */

/* The calling thread's context; CUDA_ERROR_INVALID_CONTEXT if there is none. */
CUresult ctx_current(CUcontext *ret);
/* Dies if @ctx was never one; tells whether it is alive. */
bool ctx_check(CUcontext ctx, const char *who);
struct device *device_get(CUdevice dev);

/* -- range.c: addresses ------------------------------------------------------------------------- */

/* Memory that has pages, whether mapped or not: of cuMemAlloc() and of cuMemCreate(). */
struct phys {
	unsigned int magic;
	unsigned int refs; /* mappings, and the handle while it is not released */
	bool handle_open;
	int fd; /* memfd */
	size_t size;
	struct device *device; /* NULL: host memory */
	CUmemAllocationProp prop;
	unsigned long long id;
};

enum range_kind {
	RANGE_DEVICE,	  /* cuMemAlloc() */
	RANGE_HOST,	  /* cuMemHostAlloc(), cuMemAllocHost() */
	RANGE_REGISTERED, /* cuMemHostRegister() */
	RANGE_MAPPED,	  /* cuMemMap() */
};

/* Addresses that mean something. They do not overlap. */
struct range {
	uintptr_t start;
	size_t size; /* as asked for */
	size_t span; /* in whole pages */
	enum range_kind kind;
	CUcontext ctx;
	struct device *device; /* NULL for host memory */
	struct phys *phys;
	size_t phys_offset;
	unsigned int flags;
	bool access; /* cuMemSetAccess() has been called */
	unsigned long long id;
};

/* Whose range @address is in, or NULL. Lock held; valid until it is dropped or ranges change. */
struct range *range_find(uintptr_t address);
/* Adds a copy of @range. Lock held. */
CUresult range_add(const struct range *range);
void range_remove(struct range *range);
/* Calls @f for each range until it returns true, whose range that is. Lock held. */
struct range *range_walk(bool (*f)(struct range *, void *), void *arg);

/*
 * Addresses of the arena are given out once and, when freed, made inaccessible: a use after free hits them.
 * arena_reserve(): @size in pages, @align a power of two. NULL when it is full. Lock held.
 */
void *arena_reserve(size_t size, size_t align);
void arena_forbid(void *at, size_t size);
bool arena_has(uintptr_t address);
void arena_init(void);

/*
 * Dies unless [@address, @size) lies in one live range of device memory (or, with @host_ok, anywhere that is not
 * freed or unmapped memory of ours). Returns the range, NULL for pageable host memory. Lock held.
 */
struct range *range_check(uintptr_t address, size_t size, bool host_ok, const char *who);

/* -- phys.c ------------------------------------------------------------------------------------- */

/* NULL when the device has too little, with *@ret_why. Lock held. */
struct phys *phys_new(struct device *device, size_t size, CUresult *ret_why);
/* For an imported handle: takes @fd. */
struct phys *phys_adopt(struct device *device, int fd, size_t size);
void phys_put(struct phys *phys);
bool phys_map(struct phys *phys, size_t offset, void *at, size_t size, int prot);
/* A dmabuf of [@offset, @size): a descriptor, or -errno. */
int phys_dmabuf(struct phys *phys, size_t offset, size_t size);

/* -- stream.c ----------------------------------------------------------------------------------- */

struct op;

struct CUstream_st {
	unsigned int magic;
	CUcontext ctx;
	unsigned int flags;
	int priority;
	unsigned long long id;
	unsigned int refs; /* the handle, the thread, events and waits */
	bool closing, started;
	uint64_t submitted, done; /* numbers of operations, from 1 */
	struct op *head, **tail;
	pthread_cond_t more;
	pthread_t thread;
	struct CUstream_st *next; /* of all streams whose handle is valid */
};

/*
 * One thing that a stream does. @run is called on the stream's thread without the lock; @end (may be NULL) after it,
 * with the lock held, and frees what @run's argument owns. An operation without @run waits for
 * operation @wait_seq of @wait_for.
 */
struct op {
	struct op *next;
	uint64_t seq;
	void (*run)(struct op *op);
	void (*end)(struct op *op);
	CUstream wait_for;
	uint64_t wait_seq;
	/* For cuMemFree(): what the operation touches. 0 bytes is nothing. */
	struct {
		uintptr_t at;
		size_t size;
	} touch[2];
};

/* The stream that @handle means, dies if there is none; *@ret for NULL is the context's default stream. Lock held. */
CUresult stream_get(CUstream handle, CUcontext ctx, const char *who, CUstream *ret);
/* Appends @op, which is malloc'ed, and is free'd after its end. Returns its number. Lock held. */
uint64_t stream_submit(CUstream stream, struct op *op);
/* Waits, dropping the lock meanwhile. */
void stream_wait(CUstream stream, uint64_t seq);
CUresult stream_submit_wait(CUstream stream, CUstream other, uint64_t seq);
void stream_ref(CUstream stream);
void stream_unref(CUstream stream);
/* Dies if an operation that has not ended touches [@at, @size). Lock held. */
void stream_check_idle(uintptr_t at, size_t size, const char *who);
/* Waits for all streams of @ctx. Lock held. */
void stream_wait_all(CUcontext ctx);
/* Closes all streams of @ctx. Lock held. */
void stream_close_all(CUcontext ctx);

/* -- event.c ------------------------------------------------------------------------------------ */

/* Records @event as the next operation of @stream. Lock held. */
CUresult event_record(CUevent event, CUstream stream, const char *who);

/* -- module.c, kernel.c ------------------------------------------------------------------------- */

struct kernel {
	char *pattern;
	void (*run)(const struct standin_launch *launch);
	void (*end)(const struct standin_launch *launch);
};

/* The registered kernel for @name, or NULL. Takes its own lock. */
const struct kernel *kernel_find(const char *name);

#define PARAMS_MAX 64

struct CUfunc_st {
	char *name;
	CUmodule module; /* NULL: of standin_function_get() */
	const struct kernel *kernel;
	int n_params; /* -1: not known */
	struct param {
		size_t offset, size;
	} param[PARAMS_MAX];
	size_t args_size;
	struct CUfunc_st *next;
};

/* Unloads all modules of @ctx. Lock held. */
void module_end_all(CUcontext ctx);

/* Dies if @function is none. Lock held. */
void function_check(CUfunction function, const char *who);

/*
 * The parameters of `.entry @name` in PTX text: fills @function's. 0, -ENOENT (no such entry), -EINVAL (cannot be read).
 */
int ptx_entry(const char *text, const char *name, struct CUfunc_st *function);

#endif
