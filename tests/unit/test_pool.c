// SPDX-License-Identifier: BSD-3-Clause
/*
 * The receive pool's book-keeping, with the NIC and the memory played by the test.
 *
 * unit-libs: devmem_mem
 * unit-wrap: nic_rx_bind nic_rx_release nic_rx_queues nic_rx_is_lost mem_block_alloc mem_block_free mem_block_alloc_cuda gpu_host_register gpu_host_unregister gpu_block_stage
 */
#include <errno.h>
#include <stdlib.h>

#include "unit.h"
#include "base/param.h"
#include "mem/pool.h"

#define MIB ((size_t)1 << 20)

struct nic_rx {
	int ifindex;
	bool lost;
};

static struct nic nics[2] = { { .name = "t0", .ifindex = 5 }, { .name = "t1", .ifindex = 6 } };

/* What each part answers next, and what was asked of it. */
static int bind_err[8];
static int n_binds, n_releases, n_allocs, n_frees;
static unsigned int queues_asked;
static size_t size_asked;
static char tried[128];
static int dmaheap_err, udmabuf_err, drm_err;

int __wrap_nic_rx_bind(const struct nic *nic, int fd, unsigned int n, struct nic_rx **ret,
		       struct verdict *why);
void __wrap_nic_rx_release(struct nic_rx *rx);
const char *__wrap_nic_rx_queues(const struct nic_rx *rx);
bool __wrap_nic_rx_is_lost(const struct nic_rx *rx, struct verdict *why);
bool __wrap_nic_rx_is_lost(const struct nic_rx *rx, struct verdict *why)
{
	if (rx->lost)
		verdict_set(why, -ESTALE, "", "lost");
	return rx->lost;
}

int __wrap_mem_block_alloc(const struct memory_provider *p, size_t size, struct mem_block *ret,
			   struct verdict *why);
void __wrap_mem_block_free(struct mem_block *block);

int __wrap_nic_rx_bind(const struct nic *nic, int fd, unsigned int n, struct nic_rx **ret,
		       struct verdict *why)
{
	int err = bind_err[n_binds++];

	assert_int_equal(fd, 99);
	queues_asked = n;
	if (err)
		return verdict_set(why, err, "cure", "%s refuses", nic->name);
	*ret = calloc(1, sizeof(**ret));
	(*ret)->ifindex = nic->ifindex;
	return 0;
}

void __wrap_nic_rx_release(struct nic_rx *rx)
{
	n_releases++;
	/* The memory goes after the binding. */
	assert_int_equal(n_frees, n_allocs - 1);
	free(rx);
}

const char *__wrap_nic_rx_queues(const struct nic_rx *rx)
{
	(void)rx;
	return "3-5";
}

int __wrap_mem_block_alloc(const struct memory_provider *p, size_t size, struct mem_block *ret,
			   struct verdict *why)
{
	int err = p == &provider_dmaheap   ? dmaheap_err
		  : p == &provider_udmabuf ? udmabuf_err
					   : drm_err;

	size_asked = size;
	strcat(strcat(tried, p->name), " ");
	if (err)
		return verdict_set(why, err, "", "%s fails", p->name);
	n_allocs++;
	*ret = (struct mem_block){
		.provider = p, .dmabuf_fd = 99, .size = size, .cpu = (uint8_t *)tried
	};
	return 0;
}

void __wrap_mem_block_free(struct mem_block *block)
{
	n_frees++;
	*block = (struct mem_block){ .dmabuf_fd = -1 };
}

/* The GPU is played, too. */
static int cuda_err, register_err;
static int n_registered;
static char gpu_here;
#define GPU   ((struct gpu *)&gpu_here)
#define STAGE ((struct stage *)&gpu_here)

int __wrap_mem_block_alloc_cuda(struct gpu *gpu, size_t size, struct mem_block *ret,
				struct verdict *why);
int __wrap_gpu_host_register(struct gpu *gpu, void *host, size_t size, uint64_t *ret_dev,
			     struct verdict *why);
void __wrap_gpu_host_unregister(struct gpu *gpu, void *host);
struct stage *__wrap_gpu_block_stage(const struct gpu_block *b);

int __wrap_mem_block_alloc_cuda(struct gpu *gpu, size_t size, struct mem_block *ret,
				struct verdict *why)
{
	assert_ptr_equal(gpu, GPU);
	strcat(tried, "cuda ");
	if (cuda_err)
		return verdict_set(why, cuda_err, "cure", "cuda fails");
	n_allocs++;
	*ret = (struct mem_block){ .provider = &provider_cuda,
				   .dmabuf_fd = 99,
				   .size = size,
				   .priv = 4096,
				   .offset = 64,
				   .gpu_block = (struct gpu_block *)&gpu_here };
	return 0;
}

int __wrap_gpu_host_register(struct gpu *gpu, void *host, size_t size, uint64_t *ret_dev,
			     struct verdict *why)
{
	(void)size;
	assert_ptr_equal(gpu, GPU);
	assert_non_null(host);
	if (register_err)
		return verdict_set(why, register_err, "", "not this memory");
	n_registered++;
	*ret_dev = 8192;
	return 0;
}

void __wrap_gpu_host_unregister(struct gpu *gpu, void *host)
{
	assert_ptr_equal(gpu, GPU);
	assert_non_null(host);
	n_registered--;
}

struct stage *__wrap_gpu_block_stage(const struct gpu_block *b)
{
	assert_ptr_equal(b, &gpu_here);
	return STAGE;
}

static int setup(void **state)
{
	(void)state;
	clearenv();
	param_load();
	unit_log_clear();
	memset(bind_err, 0, sizeof(bind_err));
	n_binds = n_releases = n_allocs = n_frees = 0;
	dmaheap_err = udmabuf_err = drm_err = 0;
	cuda_err = register_err = n_registered = 0;
	tried[0] = '\0';
	pool_reset();
	return 0;
}

static void test_shared_and_freed(void **state)
{
	struct pool *a, *b, *c;
	struct verdict why;

	(void)state;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	assert_ok(pool_get(&nics[0], NULL, &b, &why));
	assert_ptr_equal(a, b);
	assert_int_equal(n_binds, 1);
	assert_int_equal(size_asked, 64 * MIB);
	assert_int_equal(queues_asked, 1);
	assert_logged("t0: receive pool of 64 MiB dmaheap memory bound to queue 3-5");
	pool_put(a);
	assert_int_equal(n_releases, 0);
	pool_put(b);
	assert_int_equal(n_releases, 1);
	assert_int_equal(n_frees, 1);
	pool_put(NULL);

	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	assert_int_equal(n_binds, 2);
	pool_put(a);

	n_allocs = n_frees = 0;
	assert_ok(pool_get(&nics[1], NULL, &c, &why));
	assert_string_equal(c->nic.name, "t1");
	pool_put(c);
}

static void test_two_nics(void **state)
{
	struct pool *a, *b;
	struct verdict why;

	(void)state;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	assert_ok(pool_get(&nics[1], NULL, &b, &why));
	assert_ptr_not_equal(a, b);
	assert_int_equal(n_binds, 2);
	n_allocs = 1;
	n_frees = 0;
	pool_put(a);
	n_allocs = 1;
	n_frees = 0;
	pool_put(b);
}

static void test_parameters(void **state)
{
	struct verdict why;
	struct pool *a;

	(void)state;
	setenv("NCCL_DEVMEM_POOL_SIZE", "8M", 1);
	setenv("NCCL_DEVMEM_QUEUES", "3", 1);
	setenv("NCCL_DEVMEM_POOL_MEMORY", "udmabuf", 1);
	param_load();
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	assert_int_equal(size_asked, 8 * MIB);
	assert_int_equal(queues_asked, 3);
	assert_string_equal(tried, "udmabuf ");
	pool_put(a);
}

static void test_named_memory_has_no_substitute(void **state)
{
	struct verdict why;
	struct pool *a = NULL;

	(void)state;
	setenv("NCCL_DEVMEM_POOL_MEMORY", "drm", 1);
	param_load();
	drm_err = -ENOENT;
	assert_int_equal(pool_get(&nics[0], NULL, &a, &why), -ENOENT);
	assert_string_equal(tried, "drm ");
	assert_null(a);
}

static void test_auto_order(void **state)
{
	struct verdict why;
	struct pool *a;

	(void)state;
	dmaheap_err = -ENOENT;
	udmabuf_err = -EINVAL;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	assert_string_equal(tried, "dmaheap udmabuf drm ");
	pool_put(a);
}

static void test_auto_verdicts(void **state)
{
	struct verdict why;
	struct pool *a;

	(void)state;
	dmaheap_err = udmabuf_err = drm_err = -ENOENT;
	assert_int_equal(pool_get(&nics[0], NULL, &a, &why), -ENOENT);
	assert_non_null(strstr(why.remedy, "modprobe udmabuf"));

	setup(state);
	dmaheap_err = drm_err = -ENOENT;
	udmabuf_err = -EACCES;
	assert_int_equal(pool_get(&nics[0], NULL, &a, &why), -EACCES);
	assert_string_equal(why.reason, "udmabuf fails");
}

static void test_nic_refuses(void **state)
{
	struct verdict why;
	struct pool *a;

	(void)state;
	bind_err[0] = -EPERM;
	assert_int_equal(pool_get(&nics[0], NULL, &a, &why), -EPERM);
	assert_string_equal(why.reason, "t0 refuses");
	assert_string_equal(why.remedy, "cure");
	assert_string_equal(tried, "dmaheap ");
	assert_int_equal(n_frees, 1);

	/* Only a dmabuf that the NIC does not like is worth another provider. */
	setup(state);
	bind_err[0] = -EINVAL;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	assert_string_equal(tried, "dmaheap udmabuf ");
	pool_put(a);
}

static void test_failure_is_remembered(void **state)
{
	struct verdict why, again;
	struct pool *a;

	(void)state;
	bind_err[0] = -EBUSY;
	assert_int_equal(pool_get(&nics[0], NULL, &a, &why), -EBUSY);
	memset(&again, 0, sizeof(again));
	assert_int_equal(pool_get(&nics[0], NULL, &a, &again), -EBUSY);
	assert_string_equal(again.reason, why.reason);
	assert_string_equal(again.remedy, why.remedy);
	assert_int_equal(n_binds, 1);
	/* Another NIC's luck is its own. */
	assert_ok(pool_get(&nics[1], NULL, &a, &why));
	n_allocs = 1;
	n_frees = 0;
	pool_put(a);

	pool_reset();
	n_allocs = n_frees = 0;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	pool_put(a);
}

/* Whose broker has ended keeps what it has; who comes next gets a pool of its own, as soon as one is to be had. */
static void test_lost_is_replaced(void **state)
{
	struct pool *a, *b, *c;
	struct verdict why;

	(void)state;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	a->rx->lost = true;
	bind_err[1] = -EBUSY;
	assert_int_equal(pool_get(&nics[0], NULL, &b, &why), -EBUSY);
	/* The failure is not remembered: the lost pool's queue will be free. */
	assert_ok(pool_get(&nics[0], NULL, &b, &why));
	assert_ptr_not_equal(a, b);
	assert_ok(pool_get(&nics[0], NULL, &c, &why));
	assert_ptr_equal(b, c);
	assert_int_equal(n_binds, 3);
	assert_int_equal(n_releases, 0);
	n_allocs = 1;
	n_frees = 0;
	pool_put(a);
	assert_int_equal(n_releases, 1);
	pool_put(b);
	n_frees = 0;
	pool_put(c);
	assert_int_equal(n_releases, 2);

	/* Nor is that of a broker which ended while it was asked. */
	setup(state);
	bind_err[0] = -ECONNRESET;
	assert_int_equal(pool_get(&nics[0], NULL, &a, &why), -ECONNRESET);
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	n_allocs = 1;
	n_frees = 0;
	pool_put(a);
}

static void test_reserve(void **state)
{
	struct verdict why = { 0 };
	struct pool *a;

	(void)state;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	assert_ok(pool_reserve(a, 32 * MIB, &why));
	assert_ok(pool_reserve(a, 16 * MIB, &why));
	assert_int_equal(pool_reserve(a, 4096, &why), -ENOSPC);
	assert_non_null(strstr(why.remedy, "NCCL_DEVMEM_POOL_SIZE"));
	assert_non_null(strstr(why.reason, "t0: the receive pool of 65536 KiB has 0 KiB left"));
	assert_int_equal(pool_reserve(a, SIZE_MAX, &why), -ENOSPC);
	pool_unreserve(a, 32 * MIB);
	assert_ok(pool_reserve(a, 4096, &why));
	assert_int_equal(pool_reserve(a, 32 * MIB, &why), -ENOSPC);
	pool_put(a);
}

/* A GPU's pool is in its memory, and another than the host's on the same NIC. */
static void test_gpu_pool(void **state)
{
	struct pool *host, *of_gpu, *same;
	struct verdict why;

	(void)state;
	assert_ok(pool_get(&nics[0], NULL, &host, &why));
	assert_string_equal(tried, "dmaheap ");
	assert_ok(pool_get(&nics[0], GPU, &of_gpu, &why));
	assert_string_equal(tried, "dmaheap cuda ");
	assert_ptr_not_equal(host, of_gpu);
	assert_null(host->gpu);
	assert_null(host->stage);
	assert_ptr_equal(of_gpu->gpu, GPU);
	assert_ptr_equal(of_gpu->stage, STAGE);
	assert_int_equal(of_gpu->block.offset, 64);
	assert_ok(pool_get(&nics[0], GPU, &same, &why));
	assert_ptr_equal(of_gpu, same);
	pool_put(same);
	n_frees = n_allocs - 1;
	pool_put(of_gpu);
	n_frees = n_allocs - 1;
	pool_put(host);
}

/* Without a NIC there is nothing to bind. */
static void test_staged_pool(void **state)
{
	struct pool *a, *b, *bound;
	struct verdict why;

	(void)state;
	assert_ok(pool_get_staged(GPU, &a, &why));
	assert_ok(pool_get_staged(GPU, &b, &why));
	assert_ptr_equal(a, b);
	assert_null(a->rx);
	assert_ptr_equal(a->stage, STAGE);
	assert_int_equal(n_binds, 0);
	assert_ok(pool_get(&nics[0], GPU, &bound, &why));
	assert_ptr_not_equal(a, bound);
	n_allocs = 1;
	n_frees = 0;
	pool_put(bound);
	pool_put(b);
	pool_put(a);
	assert_int_equal(n_releases, 1);

	setup(state);
	cuda_err = -ENOMEM;
	assert_int_equal(pool_get_staged(GPU, &a, &why), -ENOMEM);
	/* Not remembered: memory may be free the next time. */
	cuda_err = 0;
	assert_ok(pool_get_staged(GPU, &a, &why));
	pool_put(a);
}

/* A GPU that exports nothing reads a pool in host memory; any other failure is the answer. */
static void test_gpu_that_does_not_export(void **state)
{
	struct verdict why;
	struct pool *a;

	(void)state;
	cuda_err = -ENOTSUP;
	assert_ok(pool_get(&nics[0], GPU, &a, &why));
	assert_string_equal(tried, "cuda udmabuf ");
	assert_ptr_equal(a->gpu, GPU);
	assert_null(a->stage);
	assert_int_equal(a->block.priv, 8192);
	assert_int_equal(n_registered, 1);
	assert_logged("t0: receive pool in host memory: cuda fails; remedy: cure");
	pool_put(a);
	assert_int_equal(n_registered, 0);

	setup(state);
	cuda_err = -ENOTSUP;
	register_err = -EINVAL;
	assert_int_equal(pool_get(&nics[0], GPU, &a, &why), -ENOTSUP);
	assert_string_equal(why.reason, "cuda fails");
	assert_string_equal(why.remedy, "cure");
	assert_int_equal(n_frees, n_allocs);
	/* Remembered for this GPU; the host's pool is another matter. */
	assert_int_equal(pool_get(&nics[0], GPU, &a, &why), -ENOTSUP);
	assert_string_equal(tried, "cuda udmabuf ");
	n_allocs = n_frees = 0;
	assert_ok(pool_get(&nics[0], NULL, &a, &why));
	pool_put(a);

	setup(state);
	cuda_err = -ENOMEM;
	assert_int_equal(pool_get(&nics[0], GPU, &a, &why), -ENOMEM);
	assert_string_equal(tried, "cuda ");
}

static void test_named_memory_and_gpus(void **state)
{
	struct verdict why;
	struct pool *a;

	(void)state;
	setenv("NCCL_DEVMEM_POOL_MEMORY", "cuda", 1);
	param_load();
	assert_int_equal(pool_get(&nics[0], NULL, &a, &why), -EINVAL);
	assert_non_null(strstr(why.remedy, "NCCL_DEVMEM_POOL_MEMORY"));
	assert_ok(pool_get(&nics[0], GPU, &a, &why));
	pool_put(a);
	setenv("NCCL_DEVMEM_POOL_MEMORY", "udmabuf", 1);
	param_load();
	n_allocs = n_frees = 0;
	assert_ok(pool_get(&nics[0], GPU, &a, &why));
	assert_int_equal(n_registered, 1);
	pool_put(a);
	assert_int_equal(n_registered, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_shared_and_freed, setup),
		cmocka_unit_test_setup(test_two_nics, setup),
		cmocka_unit_test_setup(test_parameters, setup),
		cmocka_unit_test_setup(test_named_memory_has_no_substitute, setup),
		cmocka_unit_test_setup(test_auto_order, setup),
		cmocka_unit_test_setup(test_auto_verdicts, setup),
		cmocka_unit_test_setup(test_nic_refuses, setup),
		cmocka_unit_test_setup(test_failure_is_remembered, setup),
		cmocka_unit_test_setup(test_lost_is_replaced, setup),
		cmocka_unit_test_setup(test_reserve, setup),
		cmocka_unit_test_setup(test_gpu_pool, setup),
		cmocka_unit_test_setup(test_staged_pool, setup),
		cmocka_unit_test_setup(test_gpu_that_does_not_export, setup),
		cmocka_unit_test_setup(test_named_memory_and_gpus, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
