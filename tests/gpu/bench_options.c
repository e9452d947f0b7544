// SPDX-License-Identifier: BSD-3-Clause
#include "bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_options.h"
#include "report.h"

static const char usage[] =
	"Usage: nccl-bench --rank R --rendezvous WHERE --out FILE [options]\n"
	"One rank of the collectives with NCCL alone: checked, timed, and written as JSON. tests/gpu/run starts the ranks.\n"
	"\n"
	"      --world N          (2)\n"
	"      --device N         GPU (0)\n"
	"      --plugin FILE      whose counters are to be read, if NCCL has loaded it\n"
	"      --ops LIST         all_reduce,all_gather,reduce_scatter,broadcast,sendrecv,all_to_all (all)\n"
	"      --dtypes LIST      fp32,bf16 (both)\n"
	"      --sizes LIST       bytes\n"
	"      --max-bytes N      leave larger sizes out; 0: none\n"
	"      --iterations N     timed calls of a case at most (100)\n"
	"      --seconds S        for all cases; those that find no time left are left out (120)\n"
	"      --timeout S        of one operation (120)\n"
	"      --nccl FILE        in place of libnccl.so.2\n"
	"      --cuda FILE        in place of libcuda.so.1\n"
	"      --nvml FILE        in place of libnvidia-ml.so.1\n"
	"      --emulation FILE   kernels for the stand-in driver\n"
	"\n"
	"Exit status: 0 all right, 1 wrong results, 2 an error or usage.\n";

enum {
	OPT_RANK = 1,
	OPT_WORLD,
	OPT_DEVICE,
	OPT_RENDEZVOUS,
	OPT_OUT,
	OPT_PLUGIN,
	OPT_OPS,
	OPT_DTYPES,
	OPT_SIZES,
	OPT_MAX_BYTES,
	OPT_ITERATIONS,
	OPT_SECONDS,
	OPT_TIMEOUT,
	OPT_NCCL,
	OPT_CUDA,
	OPT_NVML,
	OPT_EMULATION,
};

static const struct option options[] = {
	{ "rank", required_argument, NULL, OPT_RANK },
	{ "world", required_argument, NULL, OPT_WORLD },
	{ "device", required_argument, NULL, OPT_DEVICE },
	{ "rendezvous", required_argument, NULL, OPT_RENDEZVOUS },
	{ "out", required_argument, NULL, OPT_OUT },
	{ "plugin", required_argument, NULL, OPT_PLUGIN },
	{ "ops", required_argument, NULL, OPT_OPS },
	{ "dtypes", required_argument, NULL, OPT_DTYPES },
	{ "sizes", required_argument, NULL, OPT_SIZES },
	{ "max-bytes", required_argument, NULL, OPT_MAX_BYTES },
	{ "iterations", required_argument, NULL, OPT_ITERATIONS },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "nccl", required_argument, NULL, OPT_NCCL },
	{ "cuda", required_argument, NULL, OPT_CUDA },
	{ "nvml", required_argument, NULL, OPT_NVML },
	{ "emulation", required_argument, NULL, OPT_EMULATION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int number_take(const char *option, const char *arg, int min, int max, int *ret)
{
	if (!parse_int(arg, min, max, ret))
		return 0;
	report_err("%s %s: %d to %d is wanted", option, arg, min, max);
	return -EINVAL;
}

static int word_take(const char *option, const char *word, const char *const *names, int n,
		     bool *chosen)
{
	for (int i = 0; i < n; i++) {
		if (!strcmp(names[i], word)) {
			chosen[i] = true;
			return 0;
		}
	}
	report_err("%s: '%s' is unknown; --help says what there is", option, word);
	return -EINVAL;
}

static int size_take(struct bench_options *o, const char *word)
{
	if (o->nsizes < BENCH_MAX_SIZES &&
	    !parse_size(word, 1, (size_t)2 << 30, &o->sizes[o->nsizes])) {
		o->nsizes++;
		return 0;
	}
	report_err("--sizes: '%s' is no size from 1 to 2G, or there are more than %d", word,
		   BENCH_MAX_SIZES);
	return -EINVAL;
}

/* --ops, --dtypes and --sizes. */
static int list_take(struct bench_options *o, int opt, const char *list)
{
	char *copy = strdup(list), *save = NULL, *w;
	int err = copy ? 0 : -ENOMEM;

	if (opt == OPT_OPS)
		memset(o->ops, 0, sizeof(o->ops));
	else if (opt == OPT_DTYPES)
		memset(o->types, 0, sizeof(o->types));
	else
		o->nsizes = 0;
	for (w = copy ? strtok_r(copy, ",", &save) : NULL; w && !err;
	     w = strtok_r(NULL, ",", &save)) {
		if (opt == OPT_OPS)
			err = word_take("--ops", w, pattern_op_names, PATTERN_OPS, o->ops);
		else if (opt == OPT_DTYPES)
			err = word_take("--dtypes", w, pattern_type_names, PATTERN_TYPES, o->types);
		else
			err = size_take(o, w);
	}
	free(copy);
	return err;
}

static int option_take(struct bench_options *o, int opt, const char *arg)
{
	switch (opt) {
	case OPT_RANK:
		return number_take("--rank", arg, 0, 63, &o->rank);
	case OPT_WORLD:
		return number_take("--world", arg, 2, 64, &o->world);
	case OPT_DEVICE:
		return number_take("--device", arg, 0, 255, &o->device);
	case OPT_ITERATIONS:
		return number_take("--iterations", arg, 1, 1000000, &o->iterations);
	case OPT_SECONDS:
		return number_take("--seconds", arg, 0, 86400, &o->seconds);
	case OPT_TIMEOUT:
		return number_take("--timeout", arg, 1, 3600, &o->timeout_s);
	case OPT_MAX_BYTES:
		if (!parse_size(arg, 0, SIZE_MAX >> 1, &o->max_bytes))
			return 0;
		report_err("--max-bytes %s: a size is wanted", arg);
		return -EINVAL;
	case OPT_RENDEZVOUS:
		o->rendezvous = arg;
		return 0;
	case OPT_OUT:
		o->out = arg;
		return 0;
	case OPT_PLUGIN:
		o->plugin = arg;
		return 0;
	case OPT_NCCL:
		o->nccl = arg;
		return 0;
	case OPT_CUDA:
		o->cuda = arg;
		return 0;
	case OPT_NVML:
		o->nvml = arg;
		return 0;
	case OPT_EMULATION:
		o->emulation = arg;
		return 0;
	case OPT_OPS:
	case OPT_DTYPES:
	case OPT_SIZES:
		return list_take(o, opt, arg);
	default:
		/* getopt_long() has said what is wrong. */
		return -EINVAL;
	}
}

int bench_options_parse(int argc, char **argv, struct bench_options *ret)
{
	struct bench_options o = {
		.rank = -1,
		.world = 2,
		.sizes = { 8, 1 << 10, 64 << 10, (1 << 20) + 8, 16 << 20, 128 << 20, 1 << 30 },
		.nsizes = 7,
		.iterations = 100,
		.seconds = 120,
		.timeout_s = 120,
	};
	int opt, err;

	memset(o.ops, true, sizeof(o.ops));
	memset(o.types, true, sizeof(o.types));
	while ((opt = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 1;
		}
		err = option_take(&o, opt, optarg);
		if (err)
			return err;
	}
	if (optind != argc || o.rank < 0 || o.rank >= o.world || !o.rendezvous || !o.out) {
		report_err(
			"--rank below --world, --rendezvous and --out are wanted, and no words without an option; "
			"--help says more");
		return -EINVAL;
	}
	*ret = o;
	return 0;
}
