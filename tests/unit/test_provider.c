// SPDX-License-Identifier: BSD-3-Clause
/*
 * Each memory provider on the running kernel; a device that is not there is a skip that says so.
 *
 * unit-libs: devmem_mem
 * unit-args: host udmabuf dmaheap drm
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"
#include "base/param.h"
#include "mem/dmabuf.h"
#include "mem/provider.h"

static const struct memory_provider *provider;

static int fds_open(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_name(void **state)
{
	(void)state;
	assert_ptr_equal(memory_provider_find(provider->name), provider);
	assert_null(memory_provider_find("cuda?"));
	assert_null(memory_provider_find(""));
}

static void test_alloc_and_free(void **state)
{
	static const size_t sizes[] = { 1, 4096, 4097, (1 << 20) + 1, 16 << 20 };
	struct mem_block b;
	struct verdict why;
	int fds = fds_open();

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_ok(mem_block_alloc(provider, sizes[i], &b, &why));
		assert_ptr_equal(b.provider, provider);
		assert_true(b.size >= sizes[i] && b.size < sizes[i] + 4096);
		assert_int_equal(b.size % 4096, 0);
		assert_non_null(b.cpu);
		for (size_t at = 0; at < b.size; at += 4096)
			assert_int_equal(b.cpu[at], 0);
		memset(b.cpu, 0xa5, b.size);
		assert_int_equal(b.cpu[b.size - 1], 0xa5);
		assert_true((provider == &provider_host) == (b.dmabuf_fd == -1));
		mem_block_free(&b);
		assert_null(b.cpu);
		assert_int_equal(b.dmabuf_fd, -1);
		mem_block_free(&b);
	}
	assert_int_equal(fds_open(), fds);
}

/* What a second importer sees through the descriptor is the same memory. */
static void test_dmabuf_is_the_memory(void **state)
{
	struct dmabuf_id id, other;
	struct mem_block b, c;
	struct verdict why;
	uint8_t *view;
	size_t size;

	(void)state;
	assert_ok(mem_block_alloc(provider, 1 << 20, &b, &why));
	assert_ok(mem_block_alloc(provider, 1 << 20, &c, &why));
	assert_ok(dmabuf_identify(b.dmabuf_fd, &id));
	assert_ok(dmabuf_identify(c.dmabuf_fd, &other));
	assert_int_not_equal(id.ino, other.ino);
	assert_ok(dmabuf_size(b.dmabuf_fd, &size));
	assert_int_equal(size, b.size);
	assert_true(fcntl(b.dmabuf_fd, F_GETFD) & FD_CLOEXEC);

	assert_ok(dmabuf_map(b.dmabuf_fd, size, &view));
	b.cpu[0] = 1;
	b.cpu[size - 1] = 2;
	assert_int_equal(view[0], 1);
	assert_int_equal(view[size - 1], 2);
	view[4096] = 3;
	assert_int_equal(b.cpu[4096], 3);
	/* The mapping outlives descriptor and block. */
	mem_block_free(&b);
	assert_int_equal(view[4096], 3);
	munmap(view, size);
	mem_block_free(&c);
}

static void test_bad_sizes(void **state)
{
	struct mem_block b = { .dmabuf_fd = -7 };
	struct verdict why = { 0 };
	int fds = fds_open();

	(void)state;
	assert_int_equal(mem_block_alloc(provider, 0, &b, &why), -EINVAL);
	assert_int_equal(mem_block_alloc(provider, SIZE_MAX, &b, &why), -EINVAL);
	assert_int_not_equal(mem_block_alloc(provider, (size_t)1 << 46, &b, &why), 0);
	assert_int_not_equal(why.err, 0);
	assert_true(why.reason[0]);
	assert_int_equal(b.dmabuf_fd, -7);
	assert_int_equal(fds_open(), fds);
}

static void test_udmabuf_limit_is_named(void **state)
{
	struct mem_block b;
	struct verdict why;

	(void)state;
	if (access("/sys/module/udmabuf/parameters/size_limit_mb", R_OK))
		skip();
	assert_int_equal(mem_block_alloc(provider, (size_t)1 << 36, &b, &why), -EINVAL);
	assert_non_null(strstr(why.remedy, "udmabuf.size_limit_mb=65536"));
}

static void test_drm_node_is_named(void **state)
{
	struct mem_block b;
	struct verdict why;

	(void)state;
	setenv("NCCL_DEVMEM_DRM_DEVICE", "/dev/dri/nowhere", 1);
	param_load();
	assert_int_equal(mem_block_alloc(provider, 4096, &b, &why), -ENOENT);
	assert_non_null(strstr(why.reason, "/dev/dri/nowhere"));
	setenv("NCCL_DEVMEM_DRM_DEVICE", "/dev/null", 1);
	param_load();
	assert_int_equal(mem_block_alloc(provider, 4096, &b, &why), -EOPNOTSUPP);
	assert_non_null(strstr(why.remedy, "NCCL_DEVMEM_DRM_DEVICE"));
	unsetenv("NCCL_DEVMEM_DRM_DEVICE");
	param_load();
}

int main(int argc, char **argv)
{
	/* The first three are for all, the fourth for dmabufs, the last for one provider. */
	struct CMUnitTest tests[] = {
		cmocka_unit_test(test_name),
		cmocka_unit_test(test_alloc_and_free),
		cmocka_unit_test(test_bad_sizes),
		cmocka_unit_test(test_dmabuf_is_the_memory),
		cmocka_unit_test(test_udmabuf_limit_is_named),
	};
	const struct CMUnitTest drm = cmocka_unit_test(test_drm_node_is_named);
	size_t n_tests = 5;
	struct mem_block b;
	struct verdict why;
	int err;

	provider = argc > 1 ? memory_provider_find(argv[1]) : NULL;
	if (!provider) {
		fprintf(stderr, "usage: %s host|udmabuf|dmaheap|drm\n", argv[0]);
		return 2;
	}
	err = mem_block_alloc(provider, 4096, &b, &why);
	if (err) {
		/* Only "not there" is a reason to skip, and it must come with a remedy. */
		printf("%s; remedy: %s\n", why.reason, why.remedy);
		return err == -ENOENT && why.remedy[0] ? UNIT_SKIP : 1;
	}
	mem_block_free(&b);
	if (provider == &provider_host)
		n_tests = 3;
	else if (provider == &provider_dmaheap)
		n_tests = 4;
	else if (provider == &provider_drm)
		tests[4] = drm;
	return _cmocka_run_group_tests(provider->name, tests, n_tests, NULL, NULL);
}
