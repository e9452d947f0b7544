/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The broker: binds RX queues and sets flow rules for jobs that may not, and takes all of it back when they end.
 *
 * One process listens. For each connection it forks another, which does what that client asks: a client can hold up, or bring
 * down, only its own. What a process that was killed has left is found in the records of NCCL_DEVMEM_STATE_DIR and put back by the
 * listening one, now and when it is started again.
 */
#ifndef NICD_BROKER_H
#define NICD_BROKER_H

/*
 * @listen_path: where to make the socket; NULL: it was made by systemd (LISTEN_FDS).
 * @conf_path:   who is served; read for each connection, so that a change counts at once.
 * @idle_s:      seconds without a client and without anything to put back after which it ends; 0: never.
 */
struct broker_options {
	const char *listen_path;
	const char *conf_path;
	unsigned int idle_s;
};

/* Until SIGTERM or SIGINT, or idle. 0 or -errno, which was logged. Clients that are being served stay so. */
int broker_run(const struct broker_options *o);

/* In a process of its own: serves the client on @sock (owned) until it has gone and all is put back. */
void worker_run(int sock, const char *conf_path);

#endif
