// SPDX-License-Identifier: BSD-3-Clause
/* Registration: always an mhandle, at any time, and dmabufs whose descriptor is closed at once. */
#include <string.h>
#include <unistd.h>

#include "cases.h"

static void mhandle(void)
{
	static const struct {
		size_t off, size;
	} parts[] = {
		{ 0, MIB }, { 0, 1 }, { 1, 4095 }, { 4097, 65536 }, { 123457, 1 }, { 0, MIB }
	};
	uint64_t mh[2][6];
	struct link l;

	if (conf.memory != DEVICE_MEMORY_HOST)
		SKIP("parts of host buffers; memory is %s", memory_name(conf.memory));
	link_open(&l, TX, RX, MIB);
	/* Several over the same bytes, on either side. */
	for (size_t i = 0; i < 6; i++) {
		mh[0][i] = side_register(TX, l.tx.comm, l.tx.buf + parts[i].off, parts[i].size);
		mh[1][i] = side_register(RX, l.rx.comm, l.rx.buf + parts[i].off, parts[i].size);
	}
	/* One of them ends, the others still hold. */
	for (size_t i = 0; i < 6; i++) {
		struct side s = { .rank = TX, .comm = l.tx.comm, .mh = mh[0][i] };
		struct side r = { .rank = RX, .comm = l.rx.comm, .mh = mh[1][i] };

		link_exchange(&l, MIB, i + 1);
		side_deregister(&s);
		side_deregister(&r);
	}
	link_exchange(&l, MIB, 9);
	link_close(&l);
}

/* The service thread registers while the progress thread sends and receives on the same comms. */
static void while_flying(void)
{
	static struct call c[2];
	struct stream_set set;
	struct link l;
	uint64_t n = 0;

	if (conf.memory != DEVICE_MEMORY_HOST)
		SKIP("host buffers; memory is %s", memory_name(conf.memory));
	link_open(&l, TX, RX, 4 * MIB);
	streams_begin(&set);
	streams_add(&set, &l, 400, 16, 200000, 5, 0);
	streams_start(&set, 3 * END_MS);
	c[0] = (struct call){ .a = { l.tx.comm, l.tx.buf, 4 * MIB, NCCL_PTR_HOST, 300 } };
	c[1] = (struct call){ .a = { l.rx.comm, l.rx.buf, 4 * MIB, NCCL_PTR_HOST, 300 } };
	rank_begin(TX, &c[0], ON_SERVICE, OP_REG_STORM);
	rank_begin(RX, &c[1], ON_SERVICE, OP_REG_STORM);
	rank_finish(TX, ON_SERVICE);
	rank_finish(RX, ON_SERVICE);
	streams_finish(&set);
	for (int i = 0; i < 2; i++) {
		CHECK(c[i].res != (int)ncclNumResults, "a registration without an mhandle");
		EXPECT(c[i].res, ncclSuccess, "regMr or deregMr beside traffic");
		n += c[i].a[0];
	}
	link_close(&l);
	conf_note("%llu registrations beside traffic", (unsigned long long)n);
}

/* deregMr comes while requests on that memory are in flight, as after an abort; then the comms close. */
static void dereg_in_flight(void)
{
	struct item s[4], r[4];
	struct link l;

	link_open(&l, TX, RX, 4 * MIB);
	side_fill(&l.tx, 0, 4 * MIB, 1);
	for (int i = 0; i < 4; i++) {
		r[i] = item_recv(&l.rx, side_irecv(&l.rx, 0, 4 * MIB, 0));
		s[i] = item_send(side_isend(&l.tx, 0, 4 * MIB, 0));
	}
	wait_both(TX, s, 4, RX, r, 4, 0, 1);
	side_deregister(&l.tx);
	side_deregister(&l.rx);
	side_close(&l.tx, true);
	side_close(&l.rx, false);
}

/* NCCL closes the descriptor as soon as regMrDmaBuf returns: the plugin keeps its own. */
static void dmabuf_closed(void)
{
	static struct call c;
	struct stream_set set;
	struct link l;
	uint64_t again;

	if (conf.memory == DEVICE_MEMORY_HOST)
		SKIP("wants --memory udmabuf, dmaheap, drm or cuda");
	if (!(TX->device.ptr_support & NCCL_PTR_DMABUF))
		SKIP("the plugin takes no dmabufs (ptrSupport 0x%x)", TX->device.ptr_support);
	link_open(&l, TX, RX, 4 * MIB);
	/* The number is another file's by now. */
	for (int i = 0; i < 4; i++) {
		c = (struct call){ .a = { l.tx.buf } };
		rank_call(TX, &c, ON_APP, OP_DUP_DMABUF);
		if (c.res)
			SKIP("%s memory without a dmabuf", memory_name(conf.memory));
		c = (struct call){ .a = { l.tx.comm, l.tx.buf, 4 * MIB, 0, c.a[0] } };
		rank_call(TX, &c, ON_SERVICE, OP_REG_DMABUF);
		EXPECT(c.res, ncclSuccess, "regMrDmaBuf again");
		again = c.a[0];
		/* Where the GPU unpacks, NCCL has to be kept from sending from buffers of the user's. */
		if (!again && TX->device.device_type == NCCL_NET_DEVICE_UNPACK)
			continue;
		CHECK(again, "no mhandle");
		c = (struct call){ .a = { l.tx.comm, again } };
		rank_call(TX, &c, ON_SERVICE, OP_DEREG);
		EXPECT(c.res, ncclSuccess, "deregMr");
	}
	streams_begin(&set);
	streams_add(&set, &l, 60, 8, 256 << 10, 3, 0);
	streams_run(&set, END_MS);
	link_close(&l);
}

/* Not a dmabuf (rank 0 is in this process): an error, no crash, and the comm goes on. */
static void dmabuf_wrong(void)
{
	static struct call c;
	struct link l;
	int fd;

	if (!(TX->device.ptr_support & NCCL_PTR_DMABUF))
		SKIP("the plugin takes no dmabufs (ptrSupport 0x%x)", TX->device.ptr_support);
	link_open(&l, TX, RX, MIB);
	fd = dup(STDIN_FILENO);
	CHECK(fd >= 0, "dup");
	c = (struct call){ .a = { l.tx.comm, l.tx.buf, MIB, 0, (uint64_t)fd } };
	rank_call(TX, &c, ON_SERVICE, OP_REG_DMABUF);
	if (c.res == (int)ncclNumResults)
		SKIP("no regMrDmaBuf");
	CHECK(c.res != (int)ncclSuccess || !c.a[0],
	      "a descriptor that is no dmabuf was registered");
	link_exchange(&l, MIB, 1);
	link_close(&l);
}

const struct conf_case cases_memory[] = {
	{ "memory.mhandle", "every registration has an mhandle, whatever its address and size",
	  mhandle, 0, 0 },
	{ "memory.while_flying", "regMr and deregMr on the service thread beside traffic",
	  while_flying, 0, 90 },
	{ "memory.dereg_in_flight", "deregMr under requests in flight", dereg_in_flight, 0, 0 },
	{ "memory.dmabuf_closed", "the dmabuf's descriptor is closed right after regMrDmaBuf",
	  dmabuf_closed, 0, 60 },
	{ "memory.dmabuf_wrong", "regMrDmaBuf of something else", dmabuf_wrong, 0, 0 },
	{ 0 },
};
