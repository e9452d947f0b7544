// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <string.h>

#include "base/param.h"
#include "base/log.h"
#include "comm/net_internal.h"
#include "comm/send_path.h"
#include "path/zc_send.h"

/* Zerocopy sends in a row that the kernel copied after all, until we stop asking for it. */
#define COPIED_RUN_MAX 8

static void init_rungs(struct send_path *sp, bool acks)
{
	struct comm *c = sp->comm;
	int top = param_choice(PARAM_SEND);
	int i, r = 0;

	if (top == SEND_COPY) {
		verdict_set(&sp->no_devmem, -ENOTSUP, NULL, "%s=copy", param_env_name(PARAM_SEND));
		sp->no_zerocopy = sp->no_devmem;
		return;
	}
	sp->lends = acks;
	sp->must_lend = top == SEND_ZEROCOPY || param_choice(PARAM_REQUIRE) == REQUIRE_ZEROCOPY;
	if (c->peer_is_local || c->nic->is_loopback) {
		verdict_set(&sp->no_devmem, -ENODEV, NULL,
			    "the peer is on this host: traffic takes the loopback device, which "
			    "always copies");
		sp->no_zerocopy = sp->no_devmem;
		return;
	}
	for (i = 0; i < c->n_socks && r == 0; i++)
		r = data_sock_enable_zerocopy(&c->socks[i]);
	if (r < 0) {
		verdict_set(&sp->no_devmem, r, NULL, "this kernel refuses SO_ZEROCOPY: %s",
			    strerror(-r));
		sp->no_zerocopy = sp->no_devmem;
		return;
	}
	sp->zerocopy = true;
	sp->devmem = top != SEND_ZEROCOPY;
	if (!sp->devmem)
		verdict_set(&sp->no_devmem, -ENOTSUP, NULL, "%s=zerocopy",
			    param_env_name(PARAM_SEND));
}

static bool make_stage(struct send_path *sp)
{
	if (!sp->stage && !sp->no_stage.err &&
	    send_stage_create(sp->gpu, sp->comm->socks, sp->comm->n_socks, &sp->stage,
			      &sp->no_stage) < 0)
		sp->stage = NULL;
	return sp->stage;
}

/*
 * The GPU that this thread works for: NCCL's service thread has the communicator's device current (NCCL src/proxy.cc, ncclProxyService).
 * A stage that will be wanted is made now, because memory is not to be pinned while kernels run that wait for this connection.
 */
static void init_stage(struct send_path *sp)
{
	const struct nic *nic = sp->comm->nic;

	if (!net_takes_gpu(nic) || gpu_current(&sp->gpu, &sp->no_stage) < 0) {
		sp->gpu = NULL;
		return;
	}
	if (!sp->devmem || net_nic_caps(nic)->tx_devmem.err)
		make_stage(sp);
}

void send_path_init(struct send_path *sp, struct comm *comm, bool acks)
{
	*sp = (struct send_path){ .comm = comm };
	sp->zerocopy_min = (size_t)param_int(PARAM_ZEROCOPY_MIN);
	sp->splice_min = (size_t)param_int(PARAM_SPLICE_MIN);
	init_rungs(sp, acks);
	init_stage(sp);
}

void send_path_destroy(struct send_path *sp)
{
	send_stage_destroy(sp->stage);
	sp->stage = NULL;
}

/*
 * Tells the ladder which path memory of this kind takes, and why no higher one; what it answers (an error when
 * NCCL_DEVMEM_REQUIRE forbids the path) holds until the path changes. So a message costs a comparison, not a lock.
 */
static int tell_ladder(struct send_path *sp, const struct mr *mr, const struct path_ops *path,
		       enum rung wanted, const struct verdict *why)
{
	struct told *told = &sp->told[mr->type];
	const char *name = sp->comm->nic->name;

	if (told->path == path)
		return told->result;
	told->path = path;
	told->result = 0;
	if (why && path->rung < wanted)
		told->result = ladder_step_down(name, DIR_SEND, wanted, path->rung, why);
	if (told->result == 0)
		ladder_chosen(name, DIR_SEND, path->rung,
			      path == &path_send_staged ? "GPU memory through host memory"
			      : mr->type == MR_DMABUF	? "dmabuf memory"
			      : path == &path_send_spliced
				      ? "host memory, lent to the socket until the peer has read it"
				      : "host memory");
	return told->result;
}

static void stop_lending(struct send_path *sp, int err, const char *call)
{
	int i;

	sp->lends = false;
	for (i = 0; i < sp->comm->n_socks; i++)
		data_sock_disable_lending(&sp->comm->socks[i]);
	verdict_set(&sp->no_zerocopy, err,
		    err == -EPERM ? "sysctl fs.pipe-user-pages-soft=0" : NULL, "%s: %s", call,
		    strerror(-err));
}

/* GPU memory that has no send binding. */
static int choose_staged(struct send_path *sp, struct request *req)
{
	const struct mr *mr = req->mr;
	const char *name = sp->comm->nic->name;

	if (!sp->gpu || gpu_ordinal(mr->gpu) != gpu_ordinal(sp->gpu)) {
		log_err("%s: a send from memory of %s on a connection that was made without it: is its CUDA context "
			"current in the thread that connects?",
			name, gpu_name(mr->gpu));
		return -ENOTSUP;
	}
	if (!make_stage(sp)) {
		log_err("%s: no way to send from memory of %s: %s%s%s", name, gpu_name(mr->gpu),
			sp->no_stage.reason, sp->no_stage.remedy[0] ? "; remedy: " : "",
			sp->no_stage.remedy);
		return -ENOTSUP;
	}
	req->path = &path_send_staged;
	return tell_ladder(sp, mr, req->path, RUNG_DEVMEM,
			   sp->devmem ? &mr->tx_why : &sp->no_devmem);
}

/* Copied by choice, not for want of a better path. */
static int tell_cheap(struct send_path *sp)
{
	if (!sp->told_cheap)
		ladder_chosen(sp->comm->nic->name, DIR_SEND, RUNG_COPY,
			      "host memory, when that costs less than lending it");
	sp->told_cheap = true;
	return 0;
}

/* Are there pipes to lend memory through? They are made when there is something to lend. */
static bool can_lend(struct send_path *sp)
{
	struct comm *c = sp->comm;
	int i, r = 0;

	for (i = 0; sp->lends && i < c->n_socks && r == 0; i++)
		r = data_sock_enable_lending(&c->socks[i]);
	if (r < 0)
		stop_lending(sp, r, "making a pipe to lend memory through");
	return sp->lends;
}

/*
 * The highest rung that can move @req's bytes. Host memory never asks for devmem (there is no dmabuf to send from), so
 * NCCL_DEVMEM_REQUIRE=devmem is about dmabuf memory. Pages of a dmabuf mapping cannot be pinned for MSG_ZEROCOPY, so
 * there the rung below devmem is copy.
 */
int send_path_choose(struct send_path *sp, struct request *req)
{
	const struct mr *mr = req->mr;
	int r;

	if (!mr)
		return -EINVAL; /* request_check() lets only empty messages come without */
	if (mr->type == MR_DMABUF && sp->devmem && mr->tx) {
		req->path = &path_send_devmem;
		return tell_ladder(sp, mr, req->path, RUNG_DEVMEM, NULL);
	}
	if (mr->gpu)
		return choose_staged(sp, req);
	if (mr->type == MR_DMABUF) {
		req->path = &path_send_copy;
		r = tell_ladder(sp, mr, req->path, RUNG_DEVMEM,
				sp->devmem ? &mr->tx_why : &sp->no_devmem);
		if (r == 0 && !mr->cpu) {
			log_err("%s: %zu bytes of dmabuf memory that the CPU cannot read have no "
				"path left",
				sp->comm->nic->name, req->size);
			r = -ENOTSUP;
		}
		return r;
	}
	if ((sp->zerocopy && req->size < sp->zerocopy_min) ||
	    (!sp->zerocopy && sp->lends && req->size < sp->splice_min)) {
		/* By choice, not for want of a better path. */
		req->path = &path_send_copy;
		if (!sp->told_small)
			ladder_chosen(sp->comm->nic->name, DIR_SEND, RUNG_COPY,
				      sp->zerocopy ? "host memory below NCCL_DEVMEM_ZEROCOPY_MIN"
						   : "host memory below NCCL_DEVMEM_SPLICE_MIN");
		sp->told_small = true;
		return 0;
	}
	req->path = &path_send_copy;
	if (sp->zerocopy) {
		req->path = &path_send_zerocopy;
	} else if (can_lend(sp)) {
		if (!sp->must_lend && send_choice_next(&sp->choice, req->size) == WAY_COPY)
			return tell_cheap(sp);
		req->path = &path_send_spliced;
	}
	if (param_choice(PARAM_REQUIRE) == REQUIRE_DEVMEM)
		return 0;
	return tell_ladder(sp, mr, req->path, RUNG_ZEROCOPY, &sp->no_zerocopy);
}

/* A send failed in a way that says "not like this", not "the connection is dead". */
static bool is_path_error(int err)
{
	return err == -ENODEV || err == -EINVAL || err == -EOPNOTSUPP || err == -ENOBUFS ||
	       err == -EFAULT || err == -EIO;
}

int send_path_leave(struct send_path *sp, struct request *req, int err)
{
	const struct nic *nic = sp->comm->nic;
	enum rung from = req->path->rung;
	struct verdict why;

	if (from == RUNG_COPY || (!req->mr->cpu && !req->mr->gpu) || !is_path_error(err))
		return err;
	if (err == -ENOBUFS)
		verdict_set(
			&why, err, "sysctl net.core.optmem_max=1048576",
			"the kernel has no room for a zerocopy notification (net.core.optmem_max)");
	else if (from == RUNG_DEVMEM)
		verdict_set(
			&why, err, NULL,
			"sendmsg from dmabuf %u: %s (is the route to %s through another device?)",
			req->mr->tx_id, strerror(-err), sp->comm->peer);
	else
		verdict_set(&why, err, NULL, "sendmsg with MSG_ZEROCOPY: %s", strerror(-err));

	if (req->path == &path_send_spliced) {
		/* Of requests that were to be lent, only the first one's error tells why. */
		if (sp->lends)
			stop_lending(sp, err, "splice");
		why = sp->no_zerocopy;
	} else if (from == RUNG_DEVMEM) {
		sp->devmem = false;
		sp->no_devmem = why;
	} else {
		sp->zerocopy = false;
		sp->no_zerocopy = why;
	}
	if (req->mr->gpu)
		return choose_staged(sp, req);
	req->path = &path_send_copy;
	return ladder_step_down(nic->name, DIR_SEND, from, RUNG_COPY, &why);
}

int send_path_reap(struct send_path *sp, struct comm *comm)
{
	int i, r;

	for (i = 0; i < comm->n_socks; i++) {
		struct data_sock *ds = &comm->socks[i];

		if (!ds->zc || !ds->zc->outstanding)
			continue;
		if (sp->events && !sock_events_may_read(sp->events, i))
			continue;
		r = zc_reap(ds);
		if (r < 0)
			return comm_fail(comm, r, "fetching completions");
		if (sp->zerocopy && ds->zc->copied_run >= COPIED_RUN_MAX) {
			sp->zerocopy = false;
			verdict_set(&sp->no_zerocopy, -EOPNOTSUPP, NULL,
				    "the kernel copies zerocopy sends on this route (veth, "
				    "loopback, or no scatter-gather)");
			if (sp->lends)
				log_info("%s: %s: messages are lent to the socket instead, "
					 "where that costs less than copying them",
					 comm->nic->name, sp->no_zerocopy.reason);
		}
	}
	return 0;
}
