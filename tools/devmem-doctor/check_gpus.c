// SPDX-License-Identifier: BSD-3-Clause
/*
 * GPUs: the driver, whether it exports its memory, and how far each is from each NIC.
 */
#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exam.h"
#include "mem/cuda.h"

static void gpu_pci_path(const char *bus, char *ret, size_t len)
{
	char link[64], name[32], path[PATH_MAX];
	size_t n = strlen(bus), i;

	/* The driver writes upper case and, at times, eight digits of domain. */
	if (n > 12)
		bus += n - 12;
	for (i = 0; i < sizeof(name) - 1 && bus[i]; i++)
		name[i] = (char)tolower((unsigned char)bus[i]);
	name[i] = '\0';
	snprintf(link, sizeof(link), "/sys/bus/pci/devices/%s", name);
	ret[0] = '\0';
	if (realpath(link, path) && strlen(path) < len)
		snprintf(ret, len, "%s", path);
}

static void gpu_find(struct exam *x, const struct cuda_api *cu, int ordinal)
{
	struct exam_gpu *g = &x->gpus[x->n_gpus];
	char name[80] = "?", bus[24] = "?", subject[16];
	int dmabuf = 0, dev = 0;
	struct finding *f;

	snprintf(subject, sizeof(subject), "GPU %d", ordinal);
	if (cu->cuDeviceGet(&dev, ordinal) != CU_OK) {
		findings_add(&x->findings, "gpu", subject, FINDING_FAIL,
			     "the driver does not open it");
		return;
	}
	cu->cuDeviceGetName(name, sizeof(name), dev);
	cu->cuDeviceGetPCIBusId(bus, sizeof(bus), dev);
	cu->cuDeviceGetAttribute(&dmabuf, CU_ATTR_DMABUF, dev);
	g->dmabuf = dmabuf && cu->cuMemGetHandleForAddressRange;
	snprintf(g->name, sizeof(g->name), "%s", subject);
	gpu_pci_path(bus, g->pci, sizeof(g->pci));
	x->n_gpus++;
	f = findings_add(&x->findings, "gpu", subject, g->dmabuf ? FINDING_OK : FINDING_FAIL,
			 "%s, %s: %s", name, bus,
			 g->dmabuf ? "exports its memory as dmabuf"
				   : "does not export its memory as dmabuf");
	if (!g->dmabuf)
		finding_fix(
			f,
			"use the open kernel modules of the NVIDIA driver (nvidia-open), version 515 or newer");
}

/* How many bridges of two paths under /sys/devices differ, on both sides; -1: not even the host bridge is the same. */
static int pci_distance(const char *a, const char *b)
{
	size_t same = 0;
	int steps = 0;

	for (size_t i = 0; a[i] && a[i] == b[i]; i++)
		if (a[i] == '/')
			same = i;
	/* "/sys/devices/pci0000:00" is the host bridge. */
	if (same < strlen("/sys/devices/pci"))
		return -1;
	for (const char *p = a + same; *p; p++)
		steps += *p == '/';
	for (const char *p = b + same; *p; p++)
		steps += *p == '/';
	return steps - 2;
}

static void check_distance(struct exam *x, const struct exam_gpu *g)
{
	struct finding *f;
	int d;

	for (int i = 0; i < x->n_nics; i++) {
		const struct nic *nic = &x->nics[i];

		if (!nic->pci_path[0] || !g->pci[0])
			continue;
		d = pci_distance(g->pci, nic->pci_path);
		if (d >= 0) {
			findings_add(&x->findings, "pci-distance", g->name, FINDING_OK,
				     "%s is %d PCI bridges away, under one host bridge", nic->name,
				     d);
			continue;
		}
		f = findings_add(
			&x->findings, "pci-distance", g->name, FINDING_NOTE,
			"%s is under another host bridge: what it writes to this GPU crosses "
			"the CPU",
			nic->name);
		finding_fix(
			f,
			"give the GPU's rank a NIC of the same socket or switch, if there is one");
	}
}

/* With translation on, each write of a NIC to a GPU goes up to the root complex, whatever switch they share. */
static void check_iommu(struct exam *x)
{
	char path[PATH_MAX], type[32];
	struct finding *f;

	for (unsigned int i = 0; i < x->n_gpus; i++) {
		if (!x->gpus[i].pci[0])
			continue;
		snprintf(path, sizeof(path), "%s/iommu_group/type", x->gpus[i].pci);
		if (read_line(path, type, sizeof(type)) || !strcmp(type, "identity"))
			continue;
		f = findings_add(
			&x->findings, "iommu", x->gpus[i].name, FINDING_WARN,
			"the IOMMU translates its accesses (%s): traffic between NIC and GPU "
			"goes by the root complex",
			type);
		finding_fix(f, "boot with iommu=pt");
	}
}

void check_gpus(struct exam *x)
{
	const struct cuda_api *cu;
	struct verdict why;
	int n = 0;

	if (!access("/dev/kfd", F_OK))
		findings_add(
			&x->findings, "gpu", "GPU", FINDING_NOTE,
			"AMD GPUs: RCCL hands their memory over as dmabufs; nothing is asked of "
			"their driver here");
	cu = cuda_open(&why);
	if (!cu || cu->cuDeviceGetCount(&n) != CU_OK || !n) {
		if (cu)
			verdict_set(&why, -1, "", "the CUDA driver has no device");
		findings_add_verdict(&x->findings, "gpu", "GPU", FINDING_NOTE, &why);
		return;
	}
	for (int i = 0; i < n && x->n_gpus < EXAM_GPUS_MAX; i++)
		gpu_find(x, cu, i);
	for (unsigned int i = 0; i < x->n_gpus; i++)
		check_distance(x, &x->gpus[i]);
	check_iommu(x);
}
