/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A stand-in for the CUDA driver, for tests on machines without a GPU: a library that is called libcuda.so.1 and
 * exports the driver API as cuda.h declares it. Device memory is memfd memory mapped at the same address, streams
 * are threads, kernels are C functions that tests register here. README.md tells what it models, what it
 * refuses, and what it cannot show.
 *
 * Environment (read once, at cuInit()):
 *   STANDIN_GPUS=N             devices; 1 if not set, 0 for none
 *   STANDIN_MEMORY_MIB=N       memory of each device; 16384 if not set
 *   STANDIN_DRIVER_VERSION=V   cuDriverGetVersion(), as 12080 for 12.8; younger functions are not found
 *   STANDIN_MISSING=A,B,...    functions that cuGetProcAddress() does not find
 *   STANDIN_FAIL=F[:N]=R,...   the Nth call of function F (each, without N) returns CUresult R (a number)
 *   STANDIN_ATTR=A=V,...       device attribute A (a number, CUdevice_attribute) has value V
 *   STANDIN_DMABUF=WAY         udmabuf (where /dev/udmabuf is; the default then), memfd (a plain memfd stands
 *                              for the dmabuf: no driver can import it), off (not supported)
 *   STANDIN_KERNELS=A.so:B.so  libraries to load; their constructors register kernels
 *   STANDIN_DELAY_US=N         each copy and launch takes so many microseconds longer: a GPU that is late
 *   STANDIN_TRACE=1            each call on stderr
 *
 * Function names in these are without _v2 and such.
 */
#ifndef STANDIN_H
#define STANDIN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STANDIN_EXPORT __attribute__((visibility("default")))

/*
 * Blocks of one launch that run at the same time, each on a thread of its own. Of a larger grid the later blocks
 * begin when earlier ones have ended, as on a GPU that is full.
 */
#define STANDIN_CONCURRENT_BLOCKS 64

/*
 * What one block of a launch sees. Everything in it belongs to the stand-in and lives until @run returns.
 *
 * @name:         the kernel's name as the module has it (C++ names are mangled).
 * @grid, @block: as given to the launch.
 * @block_index:  which block this is; x runs fastest. @block_linear is the same as one number.
 * @shared_bytes: dynamic shared memory asked for. Nothing is allocated: a kernel brings its own.
 * @args:         the kernel's arguments in one buffer of @args_size bytes, each aligned as in C: what
 *                CU_LAUNCH_PARAM_BUFFER_POINTER pointed at, or kernelParams packed by the PTX's parameter
 *                list. A copy made when the launch was queued.
 * @params:       kernelParams' pointers, each into @args; NULL if the launch came with a buffer.
 * @stream:       CUstream of the launch; NULL for the default stream.
 * @launch_id:    counts launches in the process from 1, the same for all blocks of one.
 * @scratch:      the same pointer cell for all blocks of a launch, NULL at first: for what blocks share
 *                (set it by compare-and-swap; free it in @end, see below).
 */
struct standin_launch {
	const char *name;
	unsigned int grid[3];
	unsigned int block[3];
	unsigned int block_index[3];
	unsigned int block_linear;
	unsigned int blocks;
	unsigned int shared_bytes;
	const void *args;
	size_t args_size;
	void *const *params;
	unsigned int n_params;
	void *stream;
	unsigned long launch_id;
	void **scratch;
};

/*
 * Registers @run for kernels whose name matches @name, a fnmatch(3) pattern ("devmem_gather",
 * "*ncclDevKernel_*"); the first registered match wins, and an exact name wins over patterns. @run is called
 * once per block on threads of the stand-in; pointers in the arguments are plain addresses. It must
 * return: what spins has to poll the abort flag its arguments bring. @name is copied, @run stays
 * registered for the life of the process. Any thread, also before cuInit() and from a constructor.
 * Returns 0 or -ENOMEM.
 */
STANDIN_EXPORT int standin_kernel_register(const char *name,
					   void (*run)(const struct standin_launch *));

/* The same, with a function that is called once when all blocks of a launch have returned. */
STANDIN_EXPORT int standin_kernel_register_end(const char *name,
					       void (*run)(const struct standin_launch *),
					       void (*end)(const struct standin_launch *));

/*
 * A CUfunction for the kernel called @name that no module holds, as the runtime makes one from
 * __cudaRegisterFunction(). NULL when no registered kernel matches or there is no memory. Never freed.
 */
STANDIN_EXPORT void *standin_function_get(const char *name);

/* What the process holds of the stand-in, for leak checks. Any thread. */
struct standin_usage {
	size_t device_bytes; /* cuMemAlloc, cuMemCreate */
	size_t host_bytes;   /* cuMemHostAlloc, cuMemAllocHost, cuMemHostRegister */
	unsigned int allocs; /* of both kinds */
	unsigned int streams;
	unsigned int events;
	unsigned int modules;
	unsigned int contexts;	/* primary contexts retained, and created ones */
	unsigned long launches; /* kernels launched so far */
	unsigned long copies;	/* copies and memsets queued so far */
};

STANDIN_EXPORT void standin_usage_get(struct standin_usage *ret);

/* Calls of the driver function called @name ("cuMemAlloc", without _v2) so far; 0 also for an unknown one. */
STANDIN_EXPORT unsigned long standin_calls(const char *name);

/*
 * Misuse that a GPU would answer with a crash or with silently wrong data ends the process: one line
 * "standin: ..." on stderr, then abort(). Kernels may use it too. Thread-safe.
 */
STANDIN_EXPORT void standin_die(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));

#ifdef __cplusplus
}
#endif
#endif
