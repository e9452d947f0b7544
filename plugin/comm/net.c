// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/kernel.h"
#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "base/stats.h"
#include "base/trace.h"
#include "comm/comm_stats.h"
#include "comm/net_internal.h"
#include "mem/gpu.h"
#include "mem/pool.h"

/* Held through the whole of init and finalize, so that the two never overlap. Taken before net.lock. */
static pthread_mutex_t init_lock = PTHREAD_MUTEX_INITIALIZER;

/*
 * @refs:  net_init() calls not yet finalized. @nics, @alive: written by the first and cleared by the last of them, only read
 * in between.
 * @comms: live comms, under @lock.
 * @gpu, @unpack, @gathers_by_copy: is there a GPU driver, do NCCL's kernels unpack, or were copies asked for; as @nics.
 * @alive: a byte on a page that fork() wipes, so that a child knows it is one at the price of one load
 * (madvise(2), MADV_WIPEONFORK). NULL where the kernel cannot: then children are not told apart.
 */
static struct {
	pthread_mutex_t lock;
	int refs;
	struct nic *nics;
	struct nic_caps *caps; /* one for each of @nics */
	int n_nics;
	struct comm *comms;
	bool gpu;
	bool unpack;
	bool gathers_by_copy;
	volatile uint8_t *alive;
} net = { .lock = PTHREAD_MUTEX_INITIALIZER };

bool net_is_forked(void)
{
	return net.alive && !*net.alive && !DEVMEM_MUTANT(fork_unnoticed);
}

static void mark_alive(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	if (madvise(p, page, MADV_WIPEONFORK) < 0) {
		munmap(p, page);
		return;
	}
	*p = 1;
	net.alive = p;
}

static void unmark_alive(void)
{
	if (net.alive)
		munmap((void *)net.alive, (size_t)sysconf(_SC_PAGESIZE));
	net.alive = NULL;
}

static int family(void)
{
	switch (param_choice(PARAM_FAMILY)) {
	case FAMILY_INET:
		return AF_INET;
	case FAMILY_INET6:
		return AF_INET6;
	default:
		return AF_UNSPEC;
	}
}

/* Says for each NIC, before anything is tried, what it could do. */
static void log_devices(void)
{
	char text[SOCK_ADDR_TEXT];
	int i;

	for (i = 0; i < net.n_nics; i++) {
		const struct nic *nic = &net.nics[i];
		const struct nic_caps *caps = &net.caps[i];

		log_info("device %d: %s %s, %d Mbit/s; devmem receive: %s; devmem send: %s", i,
			 nic->name, sock_addr_text((const struct sockaddr *)&nic->addr, text),
			 nic->speed_mbps, caps->rx_devmem.err ? caps->rx_devmem.reason : "yes",
			 caps->tx_devmem.err ? caps->tx_devmem.reason : "yes");
	}
}

static void forget_nics(void)
{
	free(net.nics);
	free(net.caps);
	net.nics = NULL;
	net.caps = NULL;
	net.n_nics = 0;
}

bool net_takes_gpu(const struct nic *nic)
{
	if (!net.gpu || param_choice(PARAM_RECV) == RECV_COPY)
		return false;
	return param_choice(PARAM_RECV) == RECV_STAGED || net_nic_caps(nic)->rx_devmem.err == 0;
}

bool net_unpacks(void)
{
	return net.unpack;
}

/*
 * Only what every rank is told alike counts here: ranks that choose their protocols differently wait for each other for ever. A GPU whose kernel
 * turns out not to work refuses LL and LL128 receives with an error.
 */
bool net_needs_simple(void)
{
	return net.unpack || net.gathers_by_copy;
}

/*
 * NCCL asks device 0 whether it unpacks and holds it true of all (NCCL src/plugin/net.cc, ncclNetCheckDeviceVersion), so it is one
 * answer for the process.
 */
static void decide_gpu(void)
{
	struct verdict why = { 0 };
	bool any = false;
	int i;

	net.gpu = gpu_driver(&why) == 0;
	for (i = 0; i < net.n_nics; i++)
		any |= net_takes_gpu(&net.nics[i]);
	net.unpack = any && param_choice(PARAM_PLACE) == PLACE_UNPACK;
	net.gathers_by_copy = any && param_choice(PARAM_GATHER) == GATHER_BY_COPY;
	if (param_choice(PARAM_PLACE) == PLACE_UNPACK && !any)
		log_warn("%s=unpack has no effect: %s", param_env_name(PARAM_PLACE),
			 net.gpu ? "no device here can receive into GPU memory" : why.reason);
	if (param_choice(PARAM_RECV) == RECV_STAGED && !net.gpu)
		log_warn("%s=staged has no effect: %s", param_env_name(PARAM_RECV), why.reason);
}

static void publish(void)
{
	int i;

	stats_open();
	for (i = 0; i < net.n_nics; i++)
		stats_nic_note(net.nics[i].name, net.nics[i].ifindex, net.nics[i].speed_mbps,
			       net.nics[i].pci_path);
}

static int init_first(void)
{
	struct verdict why = { 0 };
	const char *filter;
	int i, r;

	param_load();
	kernel_probe();
	nic_restore_stale();
	filter = param_str(PARAM_IFNAME);
	r = nic_list(filter, family(), &net.nics, &net.n_nics, &why);
	if (r < 0) {
		log_err("listing network interfaces failed: %s",
			why.reason[0] ? why.reason : strerror(-r));
		return r;
	}
	if (net.n_nics == 0) {
		log_warn("no network interface to use: %s%s%s", why.reason,
			 why.remedy[0] ? "; remedy: " : "", why.remedy);
		forget_nics();
		return -ENODEV;
	}
	net.caps = calloc((size_t)net.n_nics, sizeof(*net.caps));
	if (!net.caps) {
		forget_nics();
		return -ENOMEM;
	}
	for (i = 0; i < net.n_nics; i++)
		nic_probe(&net.nics[i], &net.caps[i]);
	decide_gpu();
	mark_alive();
	publish();
	log_devices();
	return 0;
}

int net_init(void)
{
	int r = 0;

	if (net_is_forked()) {
		log_err("this process was forked from one that had initialised the plugin and "
			"cannot use it: start workers "
			"with spawn or forkserver instead of fork");
		return -ENOTSUP;
	}
	pthread_mutex_lock(&init_lock);
	if (net.refs == 0)
		r = init_first();
	if (r == 0)
		net.refs++;
	pthread_mutex_unlock(&init_lock);
	return r;
}

static void close_comm(struct comm *comm)
{
	net_untrack_comm(comm);
	TRACE1(closed, comm);
	comm->ops->destroy(comm);
}

static void finalize_last(void)
{
	if (net_is_forked()) {
		/* Our copies of the parent's objects: let the memory go with the process, touch nothing else. */
		nic_forget();
		return;
	}
	/* After an abort NCCL closes neither comms nor what was half open (NCCL src/transport/net.cc). */
	while (net.comms && !DEVMEM_MUTANT(sweep_none))
		close_comm(net.comms);
	if (!DEVMEM_MUTANT(half_open_kept))
		connect_sweep();
	listen_comm_sweep();
	/* After the comms, whose requests hold references. */
	mr_sweep();
	if (param_bool(PARAM_SUMMARY))
		counter_log_summary();
	pool_reset();
	ladder_reset();
	forget_nics();
	gpu_reset();
	stats_close();
	unmark_alive();
}

int net_finalize(void)
{
	int r = 0;

	pthread_mutex_lock(&init_lock);
	if (net.refs == 0)
		r = -EINVAL;
	else if (--net.refs == 0 || DEVMEM_MUTANT(finalize_first))
		/* Nobody else is inside the plugin now: NCCL finalizes after its proxy threads have ended. */
		finalize_last();
	pthread_mutex_unlock(&init_lock);
	return r;
}

const struct nic *net_nic(int dev)
{
	return dev >= 0 && dev < net.n_nics ? &net.nics[dev] : NULL;
}

const struct nic_caps *net_nic_caps(const struct nic *nic)
{
	return &net.caps[nic - net.nics];
}

int net_devices(int *ret_n)
{
	*ret_n = net.n_nics;
	return 0;
}

/*
 * NCCL hands in GPU memory where it finds either of CUDA and DMABUF, in both directions (NCCL src/graph/paths.cc, ncclTopoCheckGdr). On a device
 * that cannot receive it NCCL is to do the copying; without a GPU dmabufs are of the host, and those the CPU reaches.
 */
static int memory_kinds(const struct nic *nic)
{
	if (net_takes_gpu(nic))
		return NET_PTR_HOST | NET_PTR_DMABUF | NET_PTR_CUDA;
	return net.gpu ? NET_PTR_HOST : NET_PTR_HOST | NET_PTR_DMABUF;
}

int net_props_get(int dev, struct net_props *ret)
{
	const struct nic *nic = net_nic(dev);

	if (!nic)
		return -EINVAL;
	*ret = (struct net_props){
		.name = nic->name,
		.pci_path = nic->pci_path[0] ? nic->pci_path : NULL,
		.guid = nic->guid,
		.ptr_support = memory_kinds(nic),
		.unpack = net.unpack,
		.speed_mbps = DEVMEM_MUTANT(speed_zero) ? 0 : nic->speed_mbps,
		.max_comms = 65536,
		.latency_us = 0,
	};
	return 0;
}

void net_track_comm(struct comm *comm)
{
	comm_stats_attach(comm);
	pthread_mutex_lock(&net.lock);
	comm->prev = NULL;
	comm->next = net.comms;
	if (net.comms)
		net.comms->prev = comm;
	net.comms = comm;
	pthread_mutex_unlock(&net.lock);
}

void net_untrack_comm(struct comm *comm)
{
	comm_stats_detach(comm);
	pthread_mutex_lock(&net.lock);
	if (comm->prev)
		comm->prev->next = comm->next;
	else
		net.comms = comm->next;
	if (comm->next)
		comm->next->prev = comm->prev;
	pthread_mutex_unlock(&net.lock);
}

int net_listen(int dev, void *handle, struct listen_comm **ret)
{
	const struct nic *nic = net_nic(dev);

	if (!nic || net_is_forked())
		return -EINVAL;
	return listen_comm_create(nic, handle, ret);
}

int net_connect(int dev, void *handle, struct comm **ret)
{
	const struct nic *nic = net_nic(dev);

	if (!nic || net_is_forked())
		return -EINVAL;
	return connect_step(nic, handle, ret);
}

int net_accept(struct listen_comm *listen, struct comm **ret)
{
	if (net_is_forked())
		return -EINVAL;
	return listen_comm_accept(listen, ret);
}

int net_close_listen(struct listen_comm *listen)
{
	if (!net_is_forked())
		listen_comm_destroy(listen);
	return 0;
}

int net_close(struct comm *comm)
{
	if (!net_is_forked())
		close_comm(comm);
	return 0;
}

/* Is this a buffer of NCCL's user, for which its unpacking kernels have no way? */
static bool is_foreign(struct comm *comm, const void *data, size_t size, int type)
{
	if (!net.unpack || reg_gate_admit(&comm->gate, data, size, type))
		return false;
	log_debug(
		"%s: %zu bytes at %p are not registered: with device unpack only NCCL's own buffers are",
		comm->nic->name, size, data);
	return true;
}

int net_reg_mr(struct comm *comm, void *data, size_t size, int type, struct mr **ret)
{
	if (is_foreign(comm, data, size, type)) {
		*ret = NULL;
		return 0;
	}
	if (type == NET_PTR_CUDA && net_takes_gpu(comm->nic))
		return mr_register_cuda(data, size, ret);
	if (type != NET_PTR_HOST) {
		log_err("%s: memory of type %d cannot be registered without a dmabuf; NCCL needs "
			"NCCL_DMABUF_ENABLE=1 and a driver "
			"that exports dmabufs",
			comm->nic->name, type);
		return -ENOTSUP;
	}
	return mr_register_host(data, size, ret);
}

int net_reg_mr_dmabuf(struct comm *comm, void *data, size_t size, int type, uint64_t offset, int fd,
		      struct mr **ret)
{
	bool sends =
		comm->kind == COMM_SEND && !comm->peer_is_local && !comm->nic->is_loopback &&
		(param_choice(PARAM_SEND) == SEND_AUTO || param_choice(PARAM_SEND) == SEND_DEVMEM);
	struct verdict why = { 0 };
	int r;

	if (is_foreign(comm, data, size, type)) {
		*ret = NULL;
		return 0;
	}
	r = mr_register_dmabuf(data, size, offset, fd, sends ? comm->nic : NULL, ret, &why);
	if (r < 0)
		log_err("%s: registering a dmabuf of %zu bytes failed: %s%s%s", comm->nic->name,
			size, why.reason, why.remedy[0] ? "; remedy: " : "", why.remedy);
	return r;
}

int net_dereg_mr(struct comm *comm, struct mr *mr)
{
	(void)comm;
	if (mr && !net_is_forked())
		mr_put(mr);
	return 0;
}

int net_isend(struct comm *comm, const void *data, size_t size, int tag, struct mr *mr,
	      struct request **ret)
{
	int64_t begin;
	int r;

	if (comm->err)
		return comm->err;
	if (!comm->ops->send || net_is_forked())
		return -EINVAL;
	begin = comm_stats_begin(comm);
	r = comm->ops->send(comm, data, size, tag, mr, ret);
	if (r == 0 && *ret)
		comm_stats_posted(comm, *ret, begin);
	return r;
}

int net_irecv(struct comm *comm, void *data, size_t size, int tag, struct mr *mr, bool ll,
	      struct request **ret)
{
	int64_t begin;
	int r;

	if (comm->err)
		return comm->err;
	if (!comm->ops->recv || net_is_forked())
		return -EINVAL;
	begin = comm_stats_begin(comm);
	r = comm->ops->recv(comm, data, size, tag, mr, ll, ret);
	if (r == 0 && *ret)
		comm_stats_posted(comm, *ret, begin);
	return r;
}

int net_test(struct request *req, int *ret_done, size_t *ret_size)
{
	struct comm *comm = req->comm;
	int r;

	*ret_done = 0;
	if (comm->err)
		return comm->err;
	if (net_is_forked())
		return -EINVAL;
	r = comm->ops->test(req, ret_done, ret_size);
	if (r)
		return r;
	if (*ret_done)
		comm_stats_done(comm, req);
	else
		comm_stats_waits(comm, req);
	return 0;
}

int net_request_fd(const struct request *req)
{
	return req->comm->n_socks ? req->comm->socks[0].fd : req->comm->ctrl_fd;
}

void **net_request_cookie(struct request *req)
{
	return &req->cookie;
}

int net_consumed(struct comm *comm, struct request *req)
{
	if (comm->err)
		return comm->err;
	if (!comm->ops->recv || net_is_forked())
		return -EINVAL;
	return comm->ops->consumed ? comm->ops->consumed(comm, req) : 0;
}

void *net_device_handle(struct comm *comm)
{
	return comm->ops->device_handle ? comm->ops->device_handle(comm) : NULL;
}

int net_iflush(struct comm *comm, struct request **ret)
{
	(void)comm;
	/* test() said done when the bytes were in place, by the CPU or by the GPU that reads them. */
	*ret = NULL;
	return 0;
}
