/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One look at the machine: the interfaces that the plugin would use, and everything that was found about them, the kernel, the
 * GPUs and NCCL. Changes nothing; sees what its caller may see.
 */
#ifndef DOCTOR_EXAM_H
#define DOCTOR_EXAM_H

#include "finding.h"
#include "nic/nic.h"

/* @pci: canonical path under /sys/devices. @dmabuf: the driver exports its memory. */
struct exam_gpu {
	char name[96];
	char pci[256];
	bool dmabuf;
};
#define EXAM_GPUS_MAX 16

/* The way that traffic of an interface takes in one direction, and why not a better one. */
struct exam_path {
	char nic[IF_NAMESIZE];
	const char *memory;    /* "GPU", "host" */
	const char *direction; /* "receive", "send" */
	const char *path;      /* as the plugin's log names it: "devmem", "zerocopy", "copy" */
	char why[224];
};
#define EXAM_PATHS_MAX 128

/* @caps[i] are of @nics[i]. */
struct exam {
	struct findings findings;
	struct nic *nics;
	struct nic_caps *caps;
	int n_nics;
	struct exam_gpu gpus[EXAM_GPUS_MAX];
	unsigned int n_gpus;
	struct exam_path paths[EXAM_PATHS_MAX];
	unsigned int n_paths;
};

/* Fills a zeroed @x. Reads the environment as the plugin would. 0, or -ENOMEM. */
int exam_run(struct exam *x);
void exam_drop(struct exam *x);

/* The parts, in this order. Each adds to x->findings. */
void check_settings(struct exam *x); /* the plugin's own parameters; to be first: it reads them */
void check_kernel(struct exam *x);
void check_host(struct exam *x);
void check_nics(struct exam *x);
void check_gpus(struct exam *x);
void check_nccl(struct exam *x);
void check_paths(struct exam *x);

/* Up to @len - 1 bytes of the first line of a file; -errno when there is none. */
int read_line(const char *path, char *buf, size_t len);
/* The numbers at its beginning, up to @n of them; returns how many, or -errno. */
int read_numbers(const char *path, long long *ret, unsigned int n);
/* The number on it, or @otherwise. */
long long read_number(const char *path, long long otherwise);
/* Whether bit @cap (CAP_*) is among this process's effective capabilities. */
bool has_capability(unsigned int cap);

#endif
