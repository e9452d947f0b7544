// SPDX-License-Identifier: BSD-3-Clause
#include "train_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlp.h"
#include "report.h"

static const char usage[] =
	"Usage: devmem-train [options]\n"
	"Trains a small classifier of handwritten digits on several ranks, each with its own part of the\n"
	"data. Gradients live in device memory and are summed over the ranks by a ring all_reduce through\n"
	"an NCCL net plugin in every step; or by NCCL, which loads that plugin.\n"
	"\n"
	"      --data FILE          the pictures (" DIGITS_DEFAULT_PATH ")\n"
	"      --epochs N           times through the data (30)\n"
	"      --batch N            pictures in a step, over all ranks (64)\n"
	"      --hidden N           units in the hidden layer (64)\n"
	"      --rate X             step size (0.1)\n"
	"      --momentum X         (0.9)\n"
	"      --seed N             of the first weights and the order of the pictures (1)\n"
	"      --verify-single      at the end train once more in one process on all of the data, and\n"
	"                           compare the weights bit by bit\n"
	"      --via WHAT           plugin: this program moves gradients through the plugin, in the place of\n"
	"                           NCCL (the default); nccl: NCCL does, on GPUs; its environment variables\n"
	"                           hold, and --memory, --api, --dev, --channels, --slots do not\n"
	"      --nccl FILE          NCCL's library (libnccl.so.2)\n"
	"      --json FILE          the figures, for programs; - is standard output\n"
	"  -h, --help\n"
	"  -V, --version\n";

static const char usage_end[] =
	"\n"
	"Exit status: 0, 1 when a rank failed or weights differ, 2 for wrong arguments.\n";

enum {
	OPT_DATA = 1,
	OPT_EPOCHS,
	OPT_BATCH,
	OPT_HIDDEN,
	OPT_RATE,
	OPT_MOMENTUM,
	OPT_SEED,
	OPT_VERIFY,
	OPT_JSON,
	OPT_VIA,
	OPT_NCCL
};

static const struct option options[] = {
	JOB_LONG_OPTIONS,
	{ "data", required_argument, NULL, OPT_DATA },
	{ "epochs", required_argument, NULL, OPT_EPOCHS },
	{ "batch", required_argument, NULL, OPT_BATCH },
	{ "hidden", required_argument, NULL, OPT_HIDDEN },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "momentum", required_argument, NULL, OPT_MOMENTUM },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "verify-single", no_argument, NULL, OPT_VERIFY },
	{ "json", required_argument, NULL, OPT_JSON },
	{ "via", required_argument, NULL, OPT_VIA },
	{ "nccl", required_argument, NULL, OPT_NCCL },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static int take_float(const char *name, const char *arg, float below, float *ret)
{
	char *end;
	float v;

	errno = 0;
	v = strtof(arg, &end);
	if (errno || end == arg || *end || !(v >= 0 && v < below)) {
		report_err("%s %s: a number from 0 to below %g is wanted", name, arg,
			   (double)below);
		return -EINVAL;
	}
	*ret = v;
	return 0;
}

static int take_int(const char *name, const char *arg, int min, int max, int *ret)
{
	if (parse_int(arg, min, max, ret)) {
		report_err("%s %s: %d to %d is wanted", name, arg, min, max);
		return -EINVAL;
	}
	return 0;
}

static int take_option(struct train_options *o, int opt, const char *arg)
{
	struct train_settings *s = &o->settings;
	int v = 0, err = 0;

	switch (opt) {
	case OPT_DATA:
		o->data = arg;
		break;
	case OPT_EPOCHS:
		err = take_int("--epochs", arg, 1, TRAIN_MAX_EPOCHS, &s->epochs);
		break;
	case OPT_BATCH:
		err = take_int("--batch", arg, 1, 100000, &v);
		s->batch = (size_t)v;
		break;
	case OPT_HIDDEN:
		err = take_int("--hidden", arg, 1, MLP_MAX_HIDDEN, &v);
		s->hidden = (size_t)v;
		break;
	case OPT_RATE:
		err = take_float("--rate", arg, 100, &s->rate);
		break;
	case OPT_MOMENTUM:
		err = take_float("--momentum", arg, 1, &s->momentum);
		break;
	case OPT_SEED:
		err = take_int("--seed", arg, 0, 1000000000, &v);
		s->seed = (uint64_t)v;
		break;
	case OPT_VERIFY:
		o->verify_single = true;
		break;
	case OPT_JSON:
		o->json_file = arg;
		break;
	case OPT_VIA:
		o->via_nccl = !strcmp(arg, "nccl");
		if (!o->via_nccl && strcmp(arg, "plugin")) {
			report_err("--via %s: plugin or nccl is wanted", arg);
			err = -EINVAL;
		}
		break;
	case OPT_NCCL:
		o->nccl = arg;
		break;
	default:
		/* getopt_long() has said what is wrong. */
		err = -EINVAL;
		break;
	}
	return err;
}

int train_options_parse(int argc, char **argv, struct train_options *ret)
{
	struct train_options o = {
		.settings = { .hidden = 64,
			      .batch = 64,
			      .epochs = 30,
			      .rate = 0.1f,
			      .momentum = 0.9f,
			      .seed = 1 },
		.data = DIGITS_DEFAULT_PATH,
	};
	int opt, err;

	job_options_init(&o.job);
	while ((opt = getopt_long(argc, argv, "n:hV", options, NULL)) != -1) {
		if (opt == 'h') {
			printf("%s\n%s%s", usage, job_options_help, usage_end);
			return 1;
		}
		if (opt == 'V') {
			printf("devmem-train %s\n", DEVMEM_VERSION);
			return 1;
		}
		err = job_options_take(&o.job, opt, optarg);
		if (!err)
			err = take_option(&o, opt, optarg);
		if (err < 0)
			return err;
	}
	if (optind != argc) {
		report_err("'%s' is no option; --help says what there is", argv[optind]);
		return -EINVAL;
	}
	err = job_options_check(&o.job);
	if (err)
		return err;
	*ret = o;
	return 0;
}
