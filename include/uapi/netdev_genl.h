/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers of the kernel's `netdev` generic netlink family and of newer ethtool ring attributes,
 * declared anew because distribution headers lag behind the kernels that have them.
 *
 * Source: Linux 7.2, Documentation/netlink/specs/netdev.yaml and
 * Documentation/netlink/specs/ethtool.yaml (attribute set "rings"). Only what is used here.
 * The names differ from the kernel's on purpose: a build against newer system headers must not
 * clash with them.
 */
#ifndef DEVMEM_UAPI_NETDEV_GENL_H
#define DEVMEM_UAPI_NETDEV_GENL_H

#define NDEV_FAMILY "netdev"

/* Operations. bind-rx: Linux 6.12, CAP_NET_ADMIN; bind-tx: Linux 6.16, no privilege. */
enum {
	NDEV_CMD_QUEUE_GET = 10,
	NDEV_CMD_BIND_RX = 13,
	NDEV_CMD_BIND_TX = 15,
};

/* Attribute set "queue". */
enum {
	NDEV_A_QUEUE_ID = 1,	   /* u32 */
	NDEV_A_QUEUE_IFINDEX = 2,  /* u32 */
	NDEV_A_QUEUE_TYPE = 3,	   /* u32, NDEV_QUEUE_* */
	NDEV_A_QUEUE_NAPI_ID = 4,  /* u32 */
	NDEV_A_QUEUE_DMABUF = 5,   /* u32, id of the bound dmabuf */
	NDEV_A_QUEUE_IO_URING = 6, /* nest, present when io_uring zero-copy receive owns it */
	NDEV_A_QUEUE_XSK = 7,	   /* nest, present when an AF_XDP socket owns it */
	NDEV_A_QUEUE_LEASE = 8,	   /* nest, present when leased to a virtual device */
	NDEV_A_QUEUE_MAX = 8,
};

enum {
	NDEV_QUEUE_RX = 0,
	NDEV_QUEUE_TX = 1,
};

/* Attribute set "dmabuf". */
enum {
	NDEV_A_DMABUF_IFINDEX = 1, /* u32 */
	NDEV_A_DMABUF_QUEUES = 2,  /* nest of queue id and type, repeated */
	NDEV_A_DMABUF_FD = 3,	   /* u32 */
	NDEV_A_DMABUF_ID = 4,	   /* u32, in the reply */
	NDEV_A_DMABUF_RX_PAGE_SIZE =
		5, /* u32; kernel-patches/7.2 patch 7; answered with the size in use */
	NDEV_A_DMABUF_MAX = 5,
};

/* ETHTOOL_MSG_RINGS_GET/SET: attributes that Linux 6.1's headers end before. */
enum {
	NDEV_A_RINGS_TCP_DATA_SPLIT = 11, /* u8, ETHTOOL_TCP_DATA_SPLIT_* */
	NDEV_A_RINGS_HDS_THRESH = 17,	  /* u32, bytes */
	NDEV_A_RINGS_HDS_THRESH_MAX = 18, /* u32, bytes */
	NDEV_A_RINGS_MAX = 18,
};

#endif
