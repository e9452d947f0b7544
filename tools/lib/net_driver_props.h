/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Properties of a device: the versions' structs differ in layout, not in their members' names. Each macro adds what came with
 * its version. @ret is zeroed.
 */
#ifndef PERF_NET_DRIVER_PROPS_H
#define PERF_NET_DRIVER_PROPS_H

#include <stdio.h>

#define NET_DEVICE_FILL_V6(ret, props)                                   \
	do {                                                             \
		(ret)->has_name = (props).name;                          \
		(ret)->has_pci_path = (props).pciPath;                   \
		snprintf((ret)->name, sizeof((ret)->name), "%s",         \
			 (props).name ? (props).name : "");              \
		snprintf((ret)->pci_path, sizeof((ret)->pci_path), "%s", \
			 (props).pciPath ? (props).pciPath : "");        \
		(ret)->guid = (props).guid;                              \
		(ret)->ptr_support = (props).ptrSupport;                 \
		(ret)->speed_mbps = (props).speed;                       \
		(ret)->port = (props).port;                              \
		(ret)->latency_us = (props).latency;                     \
		(ret)->max_comms = (props).maxComms;                     \
		(ret)->max_recvs = (props).maxRecvs;                     \
	} while (0)

#define NET_DEVICE_FILL_V7(ret, props)                            \
	do {                                                      \
		NET_DEVICE_FILL_V6(ret, props);                   \
		(ret)->device_type = (props).netDeviceType;       \
		(ret)->device_version = (props).netDeviceVersion; \
	} while (0)

#define NET_DEVICE_FILL_V8(ret, props)                      \
	do {                                                \
		NET_DEVICE_FILL_V7(ret, props);             \
		(ret)->reg_is_global = (props).regIsGlobal; \
	} while (0)

#define NET_DEVICE_FILL_V9(ret, props)                        \
	do {                                                  \
		NET_DEVICE_FILL_V8(ret, props);               \
		(ret)->force_flush = (props).forceFlush;      \
		(ret)->n_vdevs = (props).vProps.ndevs;        \
		(ret)->max_p2p_bytes = (props).maxP2pBytes;   \
		(ret)->max_coll_bytes = (props).maxCollBytes; \
	} while (0)

#define NET_DEVICE_FILL_V11(ret, props)                                      \
	do {                                                                 \
		NET_DEVICE_FILL_V9(ret, props);                              \
		(ret)->max_multi_request_size = (props).maxMultiRequestSize; \
	} while (0)

#endif
