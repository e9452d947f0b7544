// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <linux/udmabuf.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"
#include "nic/nic_ethtool.h"
#include "nic/nic_netdev.h"
#include "nic/nic_rss.h"
#include "nic/nic_rule.h"

const struct fault_case *const fault_tables[] = { cases_plan, cases_ending, NULL };

void settings_get(const char *ifname, struct settings *s)
{
	struct nic_rings rings = { 0 };
	struct nic_rss rss = { 0 };
	unsigned int rules = 0;
	bool ntuple = false;
	uint32_t sum = 0, i;

	memset(s, 0, sizeof(*s));
	CHECK_EQ(nic_rings_get((int)if_nametoindex(ifname), &rings), 0);
	CHECK_EQ(nic_rss_get(ifname, &rss), 0);
	CHECK_EQ(nic_ntuple_get(ifname, &ntuple), 0);
	CHECK_EQ(nic_rule_count(ifname, &rules), 0);
	for (i = 0; i < rss.n; i++)
		sum = sum * 31 + rss.entry[i];
	nic_rss_drop(&rss);
	snprintf(s->text, sizeof(s->text), "split %d threshold %u ntuple %d rss %08x rules %u",
		 (int)rings.split, rings.thresh, ntuple, sum, rules);
}

void settings_same(const char *ifname, const struct settings *before)
{
	struct settings now;

	settings_get(ifname, &now);
	if (strcmp(before->text, now.text) != 0)
		FAIL("settings of %s are \"%s\", were \"%s\"", ifname, now.text, before->text);
}

void receive(struct side *s, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		void *req;
		int got;

		memset(s->buf, 0xee, MSG);
		CHECK_EQ(do_irecv(s, 0, MSG, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, &got, ERROR_MS), ncclSuccess);
		CHECK_EQ(got, MSG);
		pattern_check(s->buf, MSG, i);
	}
}

void check_counters(uint32_t count, bool devmem)
{
	struct nccl_devmem_counters c;

	plug_counters(&c);
	CHECK_EQ(c.tokens_out, c.tokens_in);
	if (devmem) {
		CHECK_EQ(c.recv_devmem, (uint64_t)count * MSG);
		CHECK_EQ(c.recv_linear, 0);
		CHECK_EQ(c.recv_copy, 0);
		CHECK(c.tokens_out > 0);
	} else {
		CHECK_EQ(c.recv_copy, (uint64_t)count * MSG);
		CHECK_EQ(c.recv_devmem, 0);
	}
	CHECK_EQ(c.rules, c.rules_removed);
}

void sdm_up(pid_t peer)
{
	ns_veth(peer);
	shell("ip addr flush dev ve0 && ip link add sdm0 link ve0 type sdm && ip link set sdm0 up && "
	      "ip addr add 10.77.0.1/24 dev sdm0");
	shell("nsenter -t %d -n sh -c 'ip addr flush dev ve1 && ip link add sdm1 link ve1 type sdm && "
	      "ip link set sdm1 up && ip addr add 10.77.0.2/24 dev sdm1'",
	      (int)peer);
	ms_sleep(100);
}

void side_open_dmabuf(struct side *s, void *comm, size_t size)
{
	struct udmabuf_create req = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), fd;

	CHECK(dev >= 0);
	req.memfd = (uint32_t)memfd_create("faults", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	CHECK(ftruncate((int)req.memfd, (off_t)size) == 0);
	CHECK(fcntl((int)req.memfd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	fd = ioctl(dev, UDMABUF_CREATE, &req);
	CHECK(fd >= 0);
	s->comm = comm;
	s->size = size;
	s->buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(s->buf != MAP_FAILED);
	CHECK_EQ(plug.net->regMrDmaBuf(comm, s->buf, size, NCCL_PTR_CUDA, 0, fd, &s->mh),
		 ncclSuccess);
	close(fd);
	close((int)req.memfd);
	close(dev);
}

void side_close_dmabuf(struct side *s)
{
	CHECK_EQ(plug.net->deregMr(s->comm, s->mh), ncclSuccess);
	CHECK_EQ(plug.net->closeSend(s->comm), ncclSuccess);
	munmap(s->buf, s->size);
	memset(s, 0, sizeof(*s));
}

void send_messages(struct side *s, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		void *req;

		pattern_fill(s->buf, MSG, i);
		CHECK_EQ(do_isend(s, 0, MSG, &req, ERROR_MS), ncclSuccess);
		CHECK_EQ(wait_one(req, NULL, ERROR_MS), ncclSuccess);
	}
}

ncclResult_t stream(struct side *s, bool sends, int fd)
{
	int64_t end = ms_now() + ERROR_MS;
	bool told = false;

	while (ms_now() < end) {
		ncclResult_t r;
		void *req;

		r = sends ? do_isend(s, 0, MSG, &req, ERROR_MS)
			  : do_irecv(s, 0, MSG, &req, ERROR_MS);
		if (r == ncclSuccess)
			r = wait_one(req, NULL, ERROR_MS);
		if (r != ncclSuccess)
			return r;
		if (!told && fd >= 0)
			peer_put(fd, "t", 1);
		told = true;
	}
	return ncclSuccess;
}
