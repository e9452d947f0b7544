// SPDX-License-Identifier: BSD-3-Clause
/*
 * What setsockopt(SO_DEVMEM_DONTNEED) costs, bare and under a cgroup's setsockopt program.
 *	dontneed-cost
 * The program lets every option pass, the least one can do. The token is one that was never given out, so the call does all
 * but give back memory. Wants the cgroup2 hierarchy at /sys/fs/cgroup, and to run in its root.
 */
#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>

#include "measure.h"
#include "uapi/devmem.h"

#define ROUNDS 400

static int prog_load(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_SOCKOPT,
		.expected_attach_type = BPF_CGROUP_SETSOCKOPT,
		.insns = (uintptr_t)insns,
		.insn_cnt = sizeof(insns) / sizeof(insns[0]),
		.license = (uintptr_t) "BSD",
	};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0)
		die("bpf(BPF_PROG_LOAD)");
	return fd;
}

static void prog_attach(int prog)
{
	int cgroup = open("/sys/fs/cgroup", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	union bpf_attr attr = {
		.target_fd = (uint32_t)cgroup,
		.attach_bpf_fd = (uint32_t)prog,
		.attach_type = BPF_CGROUP_SETSOCKOPT,
	};

	if (cgroup < 0)
		die("/sys/fs/cgroup");
	if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof(attr)))
		die("bpf(BPF_PROG_ATTACH)");
	close(cgroup);
}

static void measure(const char *name, int fd, int optname, const void *val, socklen_t len)
{
	uint64_t samples[ROUNDS], start;
	int ret;

	for (int i = 0; i < ROUNDS; i++) {
		int level = optname == SO_DEVMEM_DONTNEED ? SOL_SOCKET : IPPROTO_TCP;

		start = count_now();
		ret = setsockopt(fd, level, optname, val, len);
		samples[i] = count_now() - start;
		if (ret)
			die("%s: setsockopt gave %d", name, ret);
	}
	printf("%s %lu\n", name, samples_least(samples, ROUNDS));
}

int main(void)
{
	struct dmabuf_token token = { .token_start = 1, .token_count = 1 };
	int tx, rx, one = 1;

	stream_make("127.0.0.1", &tx, &rx);
	measure("dontneed.bare", rx, SO_DEVMEM_DONTNEED, &token, sizeof(token));
	/* Another option shows that the program is run where it should be. */
	measure("nodelay.bare", rx, TCP_NODELAY, &one, sizeof(one));
	prog_attach(prog_load());
	measure("dontneed.program", rx, SO_DEVMEM_DONTNEED, &token, sizeof(token));
	measure("nodelay.program", rx, TCP_NODELAY, &one, sizeof(one));
	return 0;
}
