// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/counter.h"
#include "base/log.h"
#include "base/mutant.h"
#include "comm/comm.h"

static const char *remedy_for(int err)
{
	switch (err) {
	case -ECONNRESET:
	case -EPIPE:
		return "the peer process ended or closed the connection; look at its log";
	case -ETIMEDOUT:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		return "the peer's host or the network between is down";
	case -EMSGSIZE:
		return "the message is larger than the posted receive; usually ranks called "
		       "collectives that do not match";
	case -EPROTO:
		return "the stream makes no sense; are all ranks running the same version of the "
		       "plugin?";
	case -ENODEV:
	case -EFAULT:
		return "the device or binding went away under the connection";
	default:
		return "";
	}
}

int comm_fail(struct comm *comm, int err, const char *call)
{
	const char *remedy = remedy_for(err);

	if (comm->err == 0) {
		comm->err = DEVMEM_MUTANT(error_forgotten) ? 0 : err;
		log_err("%s %s %s: %s failed: %s%s%s", comm->nic->name,
			comm->kind == COMM_SEND ? "to" : "from", comm->peer, call, strerror(-err),
			remedy[0] ? "; " : "", remedy);
	}
	return DEVMEM_MUTANT(error_forgotten) ? err : comm->err;
}

void comm_init(struct comm *comm, enum comm_kind kind, const struct nic *nic, int ctrl_fd,
	       const int *socks, int n_socks, const struct sockaddr *peer)
{
	int i;

	comm->kind = kind;
	comm->err = 0;
	comm->nic = nic;
	comm->ctrl_fd = ctrl_fd;
	comm->n_socks = n_socks;
	comm->peer_is_local = nic_addr_is_local(peer);
	sock_addr_text(peer, comm->peer);
	for (i = 0; i < n_socks; i++) {
		memset(&comm->socks[i], 0, sizeof(comm->socks[i]));
		comm->socks[i].fd = socks[i];
	}
	counter_inc(conns);
}

void comm_close(struct comm *comm)
{
	int i;

	for (i = 0; i < comm->n_socks; i++)
		data_sock_close(&comm->socks[i]);
	if (comm->ctrl_fd >= 0)
		close(comm->ctrl_fd);
	comm->ctrl_fd = -1;
}

void comm_discard(enum comm_kind kind, const struct nic *nic, int ctrl_fd, const int *socks,
		  int n_socks, const struct sockaddr *peer)
{
	struct comm comm;

	comm_init(&comm, kind, nic, ctrl_fd, socks, n_socks, peer);
	comm_close(&comm);
}

void requests_release(struct request *reqs)
{
	int i;

	for (i = 0; i < NET_MAX_REQUESTS; i++)
		if (reqs[i].used)
			request_release(&reqs[i]);
}

void request_release(struct request *req)
{
	if (req->mr)
		mr_put(req->mr);
	req->mr = NULL;
	req->used = false;
}

int request_check(const struct comm *comm, const struct mr *mr, const void *data, size_t size,
		  const char *call)
{
	if (size == 0)
		return 0;
	if (size > NET_MAX_MESSAGE)
		return -EINVAL;
	if (!mr || !mr_contains(mr, data, size)) {
		log_err("%s %s: %s of %zu bytes at %p is outside its registered memory",
			comm->nic->name, comm->peer, call, size, data);
		return -EINVAL;
	}
	return 0;
}

void request_tell_oversize(const struct request *req, uint64_t total)
{
	log_err("%s from %s: message of %llu bytes for a receive of %zu: mismatched collective? "
		"Check that all ranks call the same operations with the same counts",
		req->comm->nic->name, req->comm->peer, (unsigned long long)total, req->size);
}

int comm_refuse_memory(const struct comm *comm)
{
	log_err("%s: receive into dmabuf memory that the CPU cannot map, and no GPU puts it in place: is "
		"a CUDA context current in the thread that accepts?",
		comm->nic->name);
	return -ENOTSUP;
}
