/* SPDX-License-Identifier: BSD-3-Clause */
/* devmem-train's command line. */
#ifndef TRAIN_OPTIONS_H
#define TRAIN_OPTIONS_H

#include "job_options.h"
#include "trainer.h"

struct train_options {
	struct job_options job;
	struct train_settings settings;
	const char *data;
	const char *json_file; /* "-" is standard output; NULL: none */
	bool verify_single;
	bool via_nccl;
	const char *nccl; /* NULL: libnccl.so.2 */
};

/* 0 go on; 1 --help or --version was asked and answered; -EINVAL wrong, and reported. */
int train_options_parse(int argc, char **argv, struct train_options *ret);

#endif
