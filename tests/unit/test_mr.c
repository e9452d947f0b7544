// SPDX-License-Identifier: BSD-3-Clause
/*
 * Registrations. A dmabuf proper needs a provider of the running kernel; without one, those parts are played
 * on memfds that fstatfs() is made to call dmabufs, which the code under test cannot tell apart.
 *
 * unit-libs: devmem_mem
 * unit-wrap: nic_tx_bind nic_tx_id nic_tx_release fstatfs gpu_of_pointer gpu_sees_host gpu_name
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "unit.h"
#include "mem/mr.h"
#include "mem/provider.h"

#define PAGES(n) ((size_t)(n)*4096)

struct nic_tx {
	uint32_t id;
};

static struct nic nics[2] = { { .name = "t0", .ifindex = 5 }, { .name = "t1", .ifindex = 6 } };
static int n_binds, n_releases;
static int bind_err;
static bool disguise;

int __real_fstatfs(int fd, struct statfs *st);
int __wrap_fstatfs(int fd, struct statfs *st);
int __wrap_nic_tx_bind(const struct nic *nic, int fd, struct nic_tx **ret, struct verdict *why);
uint32_t __wrap_nic_tx_id(const struct nic_tx *tx);
void __wrap_nic_tx_release(struct nic_tx *tx);

/* A GPU, played: whose memory begins at GPU_MEMORY. */
static char gpu_here;
#define GPU	   ((struct gpu *)&gpu_here)
#define GPU_MEMORY ((uint8_t *)0x7e0000000000)

int __wrap_gpu_of_pointer(const void *p, struct gpu **ret);
bool __wrap_gpu_sees_host(const void *p);
const char *__wrap_gpu_name(const struct gpu *gpu);

int __wrap_gpu_of_pointer(const void *p, struct gpu **ret)
{
	if ((const uint8_t *)p < GPU_MEMORY || (const uint8_t *)p >= GPU_MEMORY + PAGES(16))
		return -ENODEV;
	*ret = GPU;
	return 0;
}

bool __wrap_gpu_sees_host(const void *p)
{
	return p == &gpu_here;
}

const char *__wrap_gpu_name(const struct gpu *gpu)
{
	assert_ptr_equal(gpu, GPU);
	return "GPU 0";
}

int __wrap_fstatfs(int fd, struct statfs *st)
{
	int r = __real_fstatfs(fd, st);

	if (!r && disguise)
		st->f_type = DMA_BUF_MAGIC;
	return r;
}

int __wrap_nic_tx_bind(const struct nic *nic, int fd, struct nic_tx **ret, struct verdict *why)
{
	assert_true(fd >= 0);
	__atomic_fetch_add(&n_binds, 1, __ATOMIC_RELAXED);
	if (bind_err)
		return verdict_set(why, bind_err, "cure", "%s cannot", nic->name);
	*ret = malloc(sizeof(**ret));
	(*ret)->id = (uint32_t)(100 * nic->ifindex + n_binds);
	return 0;
}

uint32_t __wrap_nic_tx_id(const struct nic_tx *tx)
{
	return tx->id;
}

void __wrap_nic_tx_release(struct nic_tx *tx)
{
	__atomic_fetch_add(&n_releases, 1, __ATOMIC_RELAXED);
	free(tx);
}

static int setup(void **state)
{
	(void)state;
	n_binds = 0;
	n_releases = 0;
	bind_err = 0;
	disguise = true;
	return 0;
}

static int buffer(size_t size)
{
	int fd = memfd_create("mr", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_ok(ftruncate(fd, (off_t)size));
	return fd;
}

static void test_host(void **state)
{
	uint8_t around[102];
	uint8_t *mem = around + 1;
	struct mr *mr;

	(void)state;
	assert_ok(mr_register_host(mem, 100, &mr));
	assert_int_equal(mr->type, MR_HOST);
	assert_ptr_equal(mr_cpu(mr, mem + 7), mem + 7);
	assert_null(mr->tx);
	assert_int_not_equal(mr->tx_why.err, 0);
	assert_true(mr_contains(mr, mem, 100));
	assert_true(mr_contains(mr, mem + 100, 0));
	assert_true(mr_contains(mr, mem + 99, 1));
	assert_false(mr_contains(mr, mem + 99, 2));
	assert_false(mr_contains(mr, mem, 101));
	assert_false(mr_contains(mr, mem - 1, 1));
	assert_false(mr_contains(mr, mem + 1, SIZE_MAX));
	mr_put(mr);
	mr_put(NULL);
}

static void test_not_a_dmabuf(void **state)
{
	struct verdict why = { 0 };
	struct mr *mr = (void *)1;
	int fd = buffer(PAGES(1));

	(void)state;
	disguise = false;
	assert_int_equal(mr_register_dmabuf(NULL, 4096, 0, fd, NULL, &mr, &why), -EINVAL);
	assert_non_null(strstr(why.reason, "no dmabuf"));
	close(fd);
	assert_int_equal(mr_register_dmabuf(NULL, 4096, 0, fd, NULL, &mr, &why), -EBADF);
	assert_int_equal(mr_register_dmabuf(NULL, 4096, 0, -1, NULL, &mr, &why), -EBADF);
	assert_ptr_equal(mr, (void *)1);
	assert_int_equal(n_binds, 0);
}

static void test_bounds(void **state)
{
	static const struct {
		size_t size;
		uint64_t offset;
	} bad[] = { { PAGES(4) + 1, 0 },  { 1, PAGES(4) },    { PAGES(4), 1 },
		    { 4096, UINT64_MAX }, { SIZE_MAX, 4096 }, { 2, UINT64_MAX - 1 } };
	struct verdict why;
	struct mr *mr;
	int fd = buffer(PAGES(4));

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(mr_register_dmabuf(NULL, bad[i].size, bad[i].offset, fd, &nics[0],
						    &mr, &why),
				 -EINVAL);
	assert_int_equal(n_binds, 0);
	close(fd);
}

static void test_pointers(void **state)
{
	/* A pointer that the CPU must never follow, as CUDA's are. */
	uint8_t *base = (uint8_t *)0x7f0000000000ULL;
	struct verdict why;
	uint8_t byte;
	struct mr *mr;
	int fd = buffer(PAGES(4));

	(void)state;
	assert_ok(mr_register_dmabuf(base, PAGES(2), 4096 + 512, fd, &nics[0], &mr, &why));
	assert_int_equal(mr->type, MR_DMABUF);
	assert_int_equal(mr->offset, 4096 + 512);
	assert_non_null(mr->tx);
	assert_int_equal(mr->tx_id, 501);
	*mr_cpu(mr, base + 100) = 0x5a;
	assert_int_equal(pread(fd, &byte, 1, 4096 + 512 + 100), 1);
	assert_int_equal(byte, 0x5a);
	/* NCCL closes its descriptor at once. */
	close(fd);
	assert_int_equal(*mr_cpu(mr, base + 100), 0x5a);
	mr_put(mr);
	assert_int_equal(n_releases, 1);
}

static void test_cache(void **state)
{
	struct verdict why;
	struct mr *a, *b, *c, *d;
	int fd = buffer(PAGES(4));
	int again = dup(fd);
	int other = buffer(PAGES(4));

	(void)state;
	assert_ok(mr_register_dmabuf(NULL, 4096, 0, fd, &nics[0], &a, &why));
	assert_ok(mr_register_dmabuf(NULL, 4096, 4096, again, &nics[0], &b, &why));
	assert_int_equal(n_binds, 1);
	assert_int_equal(a->tx_id, b->tx_id);
	assert_ptr_equal(a->cpu + 4096, b->cpu);

	assert_ok(mr_register_dmabuf(NULL, 4096, 0, fd, &nics[1], &c, &why));
	assert_int_equal(n_binds, 2);
	assert_int_not_equal(c->tx_id, a->tx_id);
	assert_ok(mr_register_dmabuf(NULL, 4096, 0, other, &nics[0], &d, &why));
	assert_int_equal(n_binds, 3);

	mr_put(a);
	assert_int_equal(n_releases, 0);
	mr_put(b);
	assert_int_equal(n_releases, 1);
	mr_put(c);
	mr_put(d);
	assert_int_equal(n_releases, 3);
	/* The entry went with its last registration. */
	assert_ok(mr_register_dmabuf(NULL, 4096, 0, fd, &nics[0], &a, &why));
	assert_int_equal(n_binds, 4);
	mr_put(a);
	close(fd);
	close(again);
	close(other);
}

static void test_references(void **state)
{
	struct verdict why;
	struct mr *mr;
	int fd = buffer(PAGES(1));

	(void)state;
	assert_ok(mr_register_dmabuf(NULL, 4096, 0, fd, &nics[0], &mr, &why));
	close(fd);
	assert_ptr_equal(mr_get(mr), mr); /* a request in flight */
	mr_put(mr);			  /* deregMr */
	assert_int_equal(n_releases, 0);
	mr->cpu[0] = 1;
	mr_put(mr);
	assert_int_equal(n_releases, 1);
}

static void test_failed_binding_is_no_error(void **state)
{
	struct verdict why;
	struct mr *a, *b;
	int fd = buffer(PAGES(1));

	(void)state;
	bind_err = -EOPNOTSUPP;
	assert_ok(mr_register_dmabuf(NULL, 4096, 0, fd, &nics[0], &a, &why));
	assert_null(a->tx);
	assert_non_null(a->cpu);
	assert_int_equal(a->tx_why.err, -EOPNOTSUPP);
	assert_string_equal(a->tx_why.reason, "t0 cannot");
	assert_ok(mr_register_dmabuf(NULL, 4096, 0, fd, &nics[0], &b, &why));
	assert_int_equal(n_binds, 1);
	assert_int_equal(b->tx_why.err, -EOPNOTSUPP);
	mr_put(a);
	mr_put(b);
	assert_int_equal(n_releases, 0);

	assert_ok(mr_register_dmabuf(NULL, 4096, 0, fd, NULL, &a, &why));
	assert_int_equal(n_binds, 1);
	assert_null(a->tx);
	assert_int_not_equal(a->tx_why.err, 0);
	mr_put(a);
	close(fd);
}

/* Neither binding nor mapping: a read-only descriptor cannot be mapped for writing. */
static void test_nothing_can_move_it(void **state)
{
	struct verdict why;
	char path[64];
	struct mr *mr;
	int fd = buffer(PAGES(1));
	int ro;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	bind_err = -EPERM;
	assert_int_equal(mr_register_dmabuf(NULL, 4096, 0, ro, &nics[0], &mr, &why), -ENOTSUP);
	assert_non_null(strstr(why.reason, "t0 cannot"));
	assert_string_equal(why.remedy, "cure");
	bind_err = 0;
	assert_ok(mr_register_dmabuf(NULL, 4096, 0, ro, &nics[0], &mr, &why));
	assert_null(mr_cpu(mr, mr->base));
	assert_non_null(mr->tx);
	mr_put(mr);
	close(ro);
	close(fd);
}

/* The same on a true dmabuf, of whichever provider this kernel has. */
static void test_true_dmabuf(void **state)
{
	static const struct memory_provider *const providers[] = { &provider_udmabuf,
								   &provider_dmaheap,
								   &provider_drm };
	uint8_t *base = (uint8_t *)0x7f0000000000ULL;
	struct mem_block block;
	struct mr *a, *b, *c;
	struct verdict why;
	size_t i = 0;

	(void)state;
	while (i < 3 && mem_block_alloc(providers[i], PAGES(16), &block, &why))
		i++;
	if (i == 3)
		skip();
	disguise = false;
	assert_ok(mr_register_dmabuf(base, PAGES(15), 4096, block.dmabuf_fd, &nics[0], &a, &why));
	assert_ok(mr_register_dmabuf(base, PAGES(1), 0, block.dmabuf_fd, &nics[0], &b, &why));
	assert_int_equal(n_binds, 1);
	*mr_cpu(a, base + 5) = 0x77;
	assert_int_equal(block.cpu[4096 + 5], 0x77);
	block.cpu[3] = 0x66;
	assert_int_equal(*mr_cpu(b, base + 3), 0x66);
	assert_int_equal(
		mr_register_dmabuf(base, PAGES(16), 4096, block.dmabuf_fd, &nics[0], &c, &why),
		-EINVAL);
	mem_block_free(&block);
	assert_int_equal(*mr_cpu(a, base + 5), 0x77);
	mr_put(a);
	mr_put(b);
	assert_int_equal(n_releases, 1);
}

#define ROUNDS 2000

static int shared_fd;

static void *hammer(void *arg)
{
	struct verdict why;
	struct mr *mr;

	for (int i = 0; i < ROUNDS; i++) {
		if (mr_register_dmabuf(NULL, 4096, 0, shared_fd, arg, &mr, &why))
			return (void *)1;
		mr_put(mr_get(mr));
		mr_put(mr);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[4];
	void *failed;

	(void)state;
	shared_fd = buffer(PAGES(4));
	for (int i = 0; i < 4; i++)
		assert_ok(pthread_create(&threads[i], NULL, hammer, &nics[0]));
	for (int i = 0; i < 4; i++) {
		assert_ok(pthread_join(threads[i], &failed));
		assert_null(failed);
	}
	assert_int_equal(__atomic_load_n(&n_binds, __ATOMIC_SEQ_CST),
			 __atomic_load_n(&n_releases, __ATOMIC_SEQ_CST));
	close(shared_fd);
}

static void test_gpu_memory(void **state)
{
	struct mr *mr = NULL;
	char plain;

	(void)state;
	assert_int_equal(mr_register_cuda(&plain, 1, &mr), -ENOTSUP);
	assert_null(mr);
	assert_ok(mr_register_cuda(GPU_MEMORY + 100, 4096, &mr));
	assert_int_equal(mr->type, MR_CUDA);
	assert_ptr_equal(mr->gpu, GPU);
	assert_null(mr_cpu(mr, GPU_MEMORY + 100));
	assert_null(mr->tx);
	assert_int_not_equal(mr->tx_why.err, 0);
	assert_non_null(strstr(mr->tx_why.remedy, "NCCL_DMABUF_ENABLE"));
	assert_true(mr_contains(mr, GPU_MEMORY + 100, 4096));
	assert_false(mr_contains(mr, GPU_MEMORY + 99, 2));
	mr_put(mr);

	assert_ok(mr_register_host(&gpu_here, 1, &mr));
	assert_true(mr->pinned);
	assert_null(mr->gpu);
	mr_put(mr);
	assert_ok(mr_register_host(&plain, 1, &mr));
	assert_false(mr->pinned);
	mr_put(mr);
}

/* The CPU leaves it alone, and what cannot be bound for sending is the GPU's to move. */
static void test_gpu_dmabuf(void **state)
{
	struct verdict why = { 0 };
	int fd = buffer(PAGES(4));
	struct mr *mr;

	(void)state;
	assert_ok(mr_register_dmabuf(GPU_MEMORY, PAGES(2), 4096, fd, &nics[0], &mr, &why));
	assert_int_equal(mr->type, MR_DMABUF);
	assert_ptr_equal(mr->gpu, GPU);
	assert_null(mr->cpu);
	assert_non_null(mr->tx);
	assert_int_equal(mr->offset, 4096);
	mr_put(mr);
	bind_err = -EOPNOTSUPP;
	assert_ok(mr_register_dmabuf(GPU_MEMORY, PAGES(2), 0, fd, &nics[0], &mr, &why));
	assert_null(mr->tx);
	assert_int_equal(mr->tx_why.err, -EOPNOTSUPP);
	mr_put(mr);
	assert_ok(mr_register_dmabuf(GPU_MEMORY, PAGES(2), 0, fd, NULL, &mr, &why));
	assert_null(mr->tx);
	mr_put(mr);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_host, setup),
		cmocka_unit_test_setup(test_not_a_dmabuf, setup),
		cmocka_unit_test_setup(test_bounds, setup),
		cmocka_unit_test_setup(test_pointers, setup),
		cmocka_unit_test_setup(test_cache, setup),
		cmocka_unit_test_setup(test_references, setup),
		cmocka_unit_test_setup(test_failed_binding_is_no_error, setup),
		cmocka_unit_test_setup(test_nothing_can_move_it, setup),
		cmocka_unit_test_setup(test_true_dmabuf, setup),
		cmocka_unit_test_setup(test_threads, setup),
		cmocka_unit_test_setup(test_gpu_memory, setup),
		cmocka_unit_test_setup(test_gpu_dmabuf, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
