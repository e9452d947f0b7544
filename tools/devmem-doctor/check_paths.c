// SPDX-License-Identifier: BSD-3-Clause
/*
 * What all that comes to: the path that each kind of memory takes on each interface, to a peer on another host, and why it is
 * not a better one. The plugin's log uses the same names.
 */
#include <stdio.h>
#include <string.h>

#include "base/param.h"
#include "exam.h"

static void path_add(struct exam *x, const struct nic *nic, const char *memory,
		     const char *direction, const char *path, const char *why)
{
	struct exam_path *p;
	size_t len = strlen(nic->name);

	if (x->n_paths == EXAM_PATHS_MAX)
		return;
	p = &x->paths[x->n_paths++];
	if (!strncmp(why, nic->name, len) && !strncmp(why + len, ": ", 2))
		why += len + 2;
	snprintf(p->nic, sizeof(p->nic), "%s", nic->name);
	snprintf(p->why, sizeof(p->why), "%s", why);
	p->memory = memory;
	p->direction = direction;
	p->path = path;
}

static bool can_export(const struct exam *x)
{
	for (unsigned int i = 0; i < x->findings.n; i++)
		if (!strcmp(x->findings.v[i].check, "dmabuf-export"))
			return x->findings.v[i].state == FINDING_OK;
	return false;
}

static const char *switched_off(enum param_id id, char *buf, size_t len)
{
	snprintf(buf, len, "%s=%s", param_env_name(id), param_text(id));
	return buf;
}

static void path_receive(struct exam *x, const struct nic *nic, const struct verdict *rx, bool gpu)
{
	const int recv = param_choice(PARAM_RECV);
	const char *memory = gpu ? "GPU" : "host";
	bool export = gpu ? x->gpus[0].dmabuf : can_export(x);
	char off[64];

	if (recv == RECV_STAGED && gpu)
		path_add(x, nic, memory, "receive", "staged",
			 switched_off(PARAM_RECV, off, sizeof(off)));
	else if (recv == RECV_COPY || recv == RECV_STAGED)
		path_add(x, nic, memory, "receive", "copy",
			 switched_off(PARAM_RECV, off, sizeof(off)));
	else if (rx->err)
		path_add(x, nic, memory, "receive", "copy", rx->reason);
	else if (!export)
		path_add(x, nic, memory, "receive", "copy",
			 gpu ? "the GPU does not export its memory"
			     : "host memory cannot be exported");
	else
		path_add(x, nic, memory, "receive", "devmem", "");
}

/*
 * Host memory is sent from its pages (zerocopy) unless the device copies it anyway; loopback does, and what to do about that, as about virtual
 * devices, the plugin finds out as it sends.
 */
static void path_send(struct exam *x, const struct nic *nic, const struct verdict *tx, bool gpu)
{
	const int send = param_choice(PARAM_SEND);
	char off[64];

	if (send == SEND_COPY || (gpu && send == SEND_ZEROCOPY))
		path_add(x, nic, gpu ? "GPU" : "host", "send", "copy",
			 switched_off(PARAM_SEND, off, sizeof(off)));
	else if (gpu && tx->err)
		path_add(x, nic, "GPU", "send", "copy", tx->reason);
	else if (gpu)
		path_add(x, nic, "GPU", "send", "devmem", "");
	else if (nic->is_loopback)
		path_add(x, nic, "host", "send", "copy",
			 "or lent to the socket, where that is measured to cost less");
	else
		path_add(x, nic, "host", "send", "zerocopy", "");
}

void check_paths(struct exam *x)
{
	for (int i = 0; i < x->n_nics; i++) {
		const struct nic *nic = &x->nics[i];
		const struct nic_caps *c = &x->caps[i];

		if (x->n_gpus) {
			path_receive(x, nic, &c->rx_devmem, true);
			path_send(x, nic, &c->tx_devmem, true);
		}
		path_receive(x, nic, &c->rx_devmem, false);
		path_send(x, nic, &c->tx_devmem, false);
	}
}
