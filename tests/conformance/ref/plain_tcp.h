/* SPDX-License-Identifier: BSD-3-Clause */
/* plain_tcp.c, as the tables of all versions need it. */
#ifndef PLAIN_TCP_H
#define PLAIN_TCP_H

#include <stdbool.h>
#include <stddef.h>

#include "nccl/net.h"

struct plain_props {
	char *name;
	int speed;
	int max_comms;
};

ncclResult_t plain_init(void **ctx, ncclDebugLogger_t log);
ncclResult_t plain_finalize(void *ctx);
ncclResult_t plain_devices(int *ndev);
void plain_props(struct plain_props *p);
ncclResult_t plain_listen(int dev, void *handle, void **listen_comm);
ncclResult_t plain_connect(int dev, void *handle, void **send_comm);
ncclResult_t plain_accept(void *listen_comm, void **recv_comm);
ncclResult_t plain_reg(void *comm, void *data, size_t size, int type, void **mhandle);
ncclResult_t plain_dereg(void *comm, void *mhandle);
ncclResult_t plain_isend(void *comm, void *data, size_t size, int tag, void **request);
ncclResult_t plain_irecv(void *comm, int n, void **data, size_t size, int tag, void **request);
ncclResult_t plain_iflush(void *comm, int n, void **data, int *sizes, void **mhandles,
			  void **request);
ncclResult_t plain_test(void *request, int *done, int *sizes);
/* Send, receive or listen comm. */
ncclResult_t plain_close(void *comm);

#endif
