/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Initialisers of struct net_device from a version's properties: the structs differ in layout, not in their members' names. Each
 * adds what came with its version. The names are net_device_names()'s.
 */
#ifndef PERF_NET_DRIVER_PROPS_H
#define PERF_NET_DRIVER_PROPS_H

/* clang-format off */
#define NET_DEVICE_V6(props)                   \
	.guid = (props).guid,                  \
	.ptr_support = (props).ptrSupport,     \
	.speed_mbps = (props).speed,           \
	.port = (props).port,                  \
	.latency_us = (props).latency,         \
	.max_comms = (props).maxComms,         \
	.max_recvs = (props).maxRecvs

#define NET_DEVICE_V7(props)                   \
	NET_DEVICE_V6(props),                  \
	.device_type = (props).netDeviceType,  \
	.device_version = (props).netDeviceVersion

#define NET_DEVICE_V8(props)                   \
	NET_DEVICE_V7(props),                  \
	.reg_is_global = (props).regIsGlobal

#define NET_DEVICE_V9(props)                   \
	NET_DEVICE_V8(props),                  \
	.force_flush = (props).forceFlush,     \
	.n_vdevs = (props).vProps.ndevs,       \
	.max_p2p_bytes = (props).maxP2pBytes,  \
	.max_coll_bytes = (props).maxCollBytes

#define NET_DEVICE_V11(props)                  \
	NET_DEVICE_V9(props),                  \
	.max_multi_request_size = (props).maxMultiRequestSize
/* clang-format on */

#endif
