/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Driver settings that devmem TCP depends on: header split (ethtool netlink) and, by the older
 * ioctl, what needs no newer interface. Reading needs no privilege, setting needs CAP_NET_ADMIN.
 */
#ifndef DEVMEM_NIC_ETHTOOL_H
#define DEVMEM_NIC_ETHTOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * @has_split, @has_thresh: the driver reports the setting at all.
 * @split:  ETHTOOL_TCP_DATA_SPLIT_*.
 * @thresh: header split applies to packets larger than this many bytes; devmem wants 0.
 */
struct nic_rings {
	bool has_split;
	bool has_thresh;
	uint8_t split;
	uint32_t thresh;
};

/* -EOPNOTSUPP when the driver has no ring settings. */
int nic_rings_get(int ifindex, struct nic_rings *ret);
/* Sets what @rings has. The kernel's words of a refusal go to @ext of @ext_len bytes. */
int nic_rings_set(int ifindex, const struct nic_rings *rings, char *ext, size_t ext_len);

/* One SIOCETHTOOL request: @cmd starts with the ETHTOOL_* command. Returns 0 or -errno. */
int nic_ethtool_ioctl(const char *ifname, void *cmd);

/* The driver's name and its bus address ("0000:3b:00.0"), "" where there is none. */
void nic_driver_get(const char *ifname, char *driver, size_t driver_len, char *bus, size_t bus_len);
/* Link speed in Mbit/s, or -errno; -ENODATA when the driver does not know it. */
int nic_speed_get(const char *ifname);

/* The feature that makes a NIC look at flow rules ("ntuple-filters" in ethtool -k). */
int nic_ntuple_get(const char *ifname, bool *ret_on);
int nic_ntuple_set(const char *ifname, bool on);

#endif
