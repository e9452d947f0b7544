/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers for people.
 */
#ifndef DEVMEM_NIC_TEXT_H
#define DEVMEM_NIC_TEXT_H

#include <stddef.h>
#include <stdint.h>

#define NIC_RANGES_MAX 128

/*
 * The distinct numbers among @v[0..n-1], as ranges: "0-3,6". Cut off with "..." where @len is too
 * short; "none" for n = 0. Returns @buf.
 */
const char *nic_ranges_text(const uint32_t *v, unsigned int n, char *buf, size_t len);

#endif
