// SPDX-License-Identifier: BSD-3-Clause
/* Loading, initialising, ending, and doing it again. */
#include <string.h>

#include "cases.h"

static void check_device(const struct net_device *d)
{
	CHECK(d->has_name && d->name[0], "no name");
	CHECK(d->speed_mbps > 0, "%s: speed %d: NCCL divides by it", d->name, d->speed_mbps);
	CHECK(d->ptr_support & NCCL_PTR_HOST, "%s: ptrSupport 0x%x lacks host memory", d->name,
	      d->ptr_support);
	CHECK(!(d->ptr_support & ~(NCCL_PTR_HOST | NCCL_PTR_CUDA | NCCL_PTR_DMABUF)),
	      "%s: ptrSupport 0x%x has unknown bits", d->name, d->ptr_support);
	CHECK(d->max_comms > 0, "%s: maxComms %d", d->name, d->max_comms);
	CHECK(d->max_recvs >= 1 && d->max_recvs <= GROUP_MAX, "%s: maxRecvs %d", d->name,
	      d->max_recvs);
	CHECK(d->latency_us >= 0, "%s: latency %f", d->name, (double)d->latency_us);
	if (conf.version >= 7) {
		int wanted = d->device_type == NCCL_NET_DEVICE_UNPACK
				     ? NCCL_NET_DEVICE_UNPACK_VERSION
				     : NCCL_NET_DEVICE_INVALID_VERSION;

		CHECK(d->device_type != NCCL_NET_DEVICE_UNPACK || d->max_recvs == 1,
		      "%s: unpack with maxRecvs %d", d->name, d->max_recvs);
		CHECK(d->device_version == wanted, "%s: device type %d has version 0x%x, not 0x%x",
		      d->name, d->device_type, d->device_version, wanted);
	}
	if (conf.version >= 9) {
		CHECK(d->max_p2p_bytes > 0 && d->max_p2p_bytes <= (size_t)NCCL_MAX_NET_SIZE_BYTES,
		      "%s: maxP2pBytes %zu: NCCL refuses the plugin", d->name, d->max_p2p_bytes);
		CHECK(d->max_coll_bytes <= (size_t)NCCL_MAX_NET_SIZE_BYTES, "%s: maxCollBytes %zu",
		      d->name, d->max_coll_bytes);
		CHECK(d->n_vdevs >= 1, "%s: vProps.ndevs %d", d->name, d->n_vdevs);
	}
	if (conf.version >= 11)
		CHECK(d->max_multi_request_size >= 1, "%s: maxMultiRequestSize %d", d->name,
		      d->max_multi_request_size);
}

/* Each device, and one beyond them. */
static void properties(void)
{
	struct call c = { 0 };
	struct net_device d;
	int n;

	rank_call(TX, &c, ON_APP, OP_DEVICES);
	n = (int)c.a[0];
	for (int i = 0; i < n; i++) {
		c = (struct call){ .a = { (uint64_t)i } };
		rank_call(TX, &c, ON_APP, OP_PROPS);
		EXPECT(c.res, ncclSuccess, "getProperties");
		memcpy(&d, c.data, sizeof(d));
		check_device(&d);
	}
	conf_note("%d device%s; %s", n, n == 1 ? "" : "s", d.name);
}

/* NCCL asks without a lock, from every thread. */
static void properties_threads(void)
{
	static struct call c[CALL_THREADS];

	for (int t = 0; t < CALL_THREADS; t++) {
		c[t] = (struct call){ .a = { (uint64_t)TX->dev, 100 } };
		rank_begin(TX, &c[t], (enum call_thread)t, OP_PROPS_STORM);
	}
	for (int t = 0; t < CALL_THREADS; t++)
		rank_finish(TX, (enum call_thread)t);
	for (int t = 0; t < CALL_THREADS; t++) {
		CHECK(c[t].res != (int)ncclNumResults, "the answers differ");
		EXPECT(c[t].res, ncclSuccess, "getProperties");
	}
}

/* A communicator each: what one ends, the others keep. */
static void init_each(void)
{
	uint64_t ctx[3];
	struct link l;

	if (conf.version < 11)
		SKIP("before version 11 NCCL calls init once per process");
	for (int i = 0; i < 3; i++) {
		struct call c = { .a = { 0, (uint64_t)i + 7 } };

		rank_call(RX, &c, ON_APP, OP_INIT);
		EXPECT(c.res, ncclSuccess, "init of another communicator");
		ctx[i] = c.a[0];
	}
	link_open(&l, TX, RX, MIB);
	link_exchange(&l, 1000, 1);
	for (int i = 0; i < 3; i++) {
		struct call c = { .a = { ctx[i] } };

		rank_call(RX, &c, ON_APP, OP_FINALIZE);
		EXPECT(c.res, ncclSuccess, "finalize of another communicator");
		link_exchange(&l, MIB, (uint64_t)i + 2);
	}
	link_close(&l);
}

/* All communicators end, the library stays, and new ones come (NCCL_NET_PLUGIN_REF_COUNT=1). */
static void init_again(void)
{
	struct process_state st;
	struct link l;

	if (conf.version < 11)
		SKIP("before version 11 there is no finalize");
	rank_state(TX, &st);
	for (int i = 0; i < 4; i++) {
		link_open(&l, TX, RX, MIB);
		link_exchange(&l, 100000, (uint64_t)i + 1);
		link_close(&l);
		for (int r = 0; r < n_ranks; r++)
			rank_finalize(&ranks[r]);
		for (int r = 0; r < n_ranks; r++)
			rank_check_state(&ranks[r], &ranks[r].before);
		for (int r = 0; r < n_ranks; r++)
			rank_init(&ranks[r]);
	}
}

/* dlopen to dlclose, again and again: no thread, descriptor, mapping or TLS destructor stays. */
static void reload(void)
{
	struct process_state now;
	struct link l;

	for (int i = 0; i < 6; i++) {
		for (int r = 0; r < n_ranks; r++) {
			rank_load(&ranks[r]);
			rank_init(&ranks[r]);
		}
		link_open(&l, TX, RX, 4 * MIB);
		link_exchange(&l, 4 * MIB, (uint64_t)i + 1);
		link_close(&l);
		for (int r = 0; r < n_ranks; r++)
			rank_finalize(&ranks[r]);
		for (int r = 0; r < n_ranks; r++)
			rank_unload(&ranks[r]);
		for (int r = 0; r < n_ranks; r++) {
			rank_check_state(&ranks[r], &ranks[r].before);
			rank_state(&ranks[r], &now);
			CHECK(now.mapped == 0, "dlclose left %d mappings of the library",
			      now.mapped);
		}
	}
}

/* Loaded and let go: a plugin that NCCL looks at and does not take. */
static void load_only(void)
{
	struct process_state now;

	for (int i = 0; i < 3; i++) {
		rank_load(TX);
		rank_unload(TX);
		rank_check_state(TX, &TX->before);
		rank_state(TX, &now);
		CHECK(now.mapped == 0, "dlclose left the library mapped");
	}
}

static void set_net_attr(void)
{
	struct call c = { .a = { TX->ctx } };
	struct link l;

	rank_call(TX, &c, ON_SERVICE, OP_SET_ATTR);
	if (c.res < 0)
		SKIP("the plugin leaves setNetAttr NULL");
	EXPECT(c.res, ncclSuccess, "setNetAttr on the service thread");
	link_open(&l, TX, RX, MIB);
	c = (struct call){ .a = { TX->ctx } };
	rank_call(TX, &c, ON_PROGRESS, OP_SET_ATTR);
	EXPECT(c.res, ncclSuccess, "setNetAttr on the progress thread");
	link_exchange(&l, 1000, 1);
	link_close(&l);
}

/* ncclCommSplit with shared resources: one init, the comms of several communicators. */
static void shared(void)
{
	struct stream_set set;
	struct link l[4];

	for (int i = 0; i < 4; i++)
		link_open(&l[i], i & 1 ? RX : TX, i & 1 ? TX : RX, MIB);
	streams_begin(&set);
	for (uint32_t i = 0; i < 4; i++)
		streams_add(&set, &l[i], 40, 8, 65536, i + 1, 0);
	streams_run(&set, END_MS);
	/* One of the communicators ends; the rest goes on. */
	link_close(&l[0]);
	link_close(&l[3]);
	link_exchange(&l[1], MIB, 9);
	link_exchange(&l[2], MIB, 10);
	link_close(&l[1]);
	link_close(&l[2]);
}

/* Abort before anything is connected: NCCL closes nothing (src/transport/net.cc), finalize has to. */
static void abort_unconnected(void)
{
	uint8_t handle[3][NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen[3], comm;

	for (int i = 0; i < 3; i++) {
		listen[i] = rank_listen(RX, handle[i]);
		if (i > 0)
			EXPECT(rank_connect(TX, handle[i], 0, &comm), ncclSuccess, "connect");
		CHECK(i == 0 || !comm || i == 1, "connected without an accept");
		if (i > 1)
			EXPECT(rank_accept(RX, listen[i], 0, &comm), ncclSuccess, "accept");
	}
	/* ranks_end() finalizes, unloads and counts. */
}

/* Abort with connections and requests: nothing is closed, and the memory is the caller's again. */
static void abort_connected(void)
{
	struct link l[3];

	for (int i = 0; i < 3; i++) {
		link_open(&l[i], TX, RX, 4 * MIB);
		side_irecv(&l[i].rx, 0, 4 * MIB, 0);
		if (i)
			side_isend(&l[i].tx, 0, 4 * MIB, 0);
	}
}

/*
 * exit() of a program that has not shut NCCL down, whose proxy threads may be inside the plugin: here one waits for a receive. It ends, at
 * once and with 0, and its peer learns of it.
 */
static void exit_open(void)
{
	struct call wait = { .a = { END_MS } };
	struct link to, from;
	struct item r, s;

	link_open(&to, TX, RX, 4 * MIB);
	link_open(&from, RX, TX, 4 * MIB);
	link_exchange(&to, MIB, 1);
	link_exchange(&from, MIB, 2);
	r = item_recv(&to.rx, side_irecv(&to.rx, 0, 4 * MIB, 0));
	s = item_recv(&from.rx, side_irecv(&from.rx, 0, 4 * MIB, 0));
	wait.len = sizeof(r);
	memcpy(wait.data, &r, sizeof(r));
	rank_begin(RX, &wait, ON_PROGRESS, OP_WAIT);
	rank_exit(RX);
	wait_items(TX, &s, 1, 0, END_MS);
	item_expect(&s, ncclRemoteError, -1);
	side_deregister(&to.tx);
	side_deregister(&from.rx);
	side_close(&to.tx, true);
	side_close(&from.rx, false);
}

static void listen_only(void)
{
	uint8_t handle[NCCL_NET_HANDLE_MAXSIZE];
	uint64_t listen[16];

	for (int i = 0; i < 16; i++)
		listen[i] = rank_listen(RX, handle);
	for (int i = 0; i < 16; i++)
		rank_close_listen(RX, listen[i]);
}

const struct conf_case cases_life[] = {
	{ "life.load", "dlopen and dlclose without init leave nothing", load_only,
	  CASE_BARE | CASE_ONE, 0 },
	{ "life.properties", "every device's properties are within NCCL's bounds", properties,
	  CASE_ONE, 0 },
	{ "life.properties_threads", "getProperties from three threads at once", properties_threads,
	  CASE_ONE, 0 },
	{ "life.init_each", "init and finalize per communicator, counted", init_each, 0, 0 },
	{ "life.init_again", "init after the last finalize", init_again, 0, 0 },
	{ "life.reload", "dlclose and dlopen: no thread, TLS, descriptor or mapping is left",
	  reload, CASE_BARE, 180 },
	{ "life.listen", "listen and closeListen without a peer", listen_only, 0, 0 },
	{ "life.set_net_attr", "setNetAttr from both proxy threads", set_net_attr, 0, 0 },
	{ "life.shared", "one init, the comms of several communicators", shared, 0, 0 },
	{ "life.abort_unconnected", "finalize with half-open connections that nobody closes",
	  abort_unconnected, 0, 0 },
	{ "life.abort_connected", "finalize with comms and requests that nobody closes",
	  abort_connected, 0, 0 },
	{ "life.exit_open", "exit() with comms, requests and a thread at work", exit_open,
	  CASE_PROCESSES | CASE_DIRTY, 0 },
	{ 0 },
};
