// SPDX-License-Identifier: BSD-3-Clause
#include "perf_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define MAX_SIZE ((size_t)4 << 30)

static const char usage[] =
	"Usage: devmem-perf <sendrecv|all_reduce|all_gather|reduce_scatter> [options]\n"
	"Measures and checks an NCCL net plugin with NCCL's ring collectives, without NCCL or a "
	"GPU:\n"
	"the plugin is driven as NCCL's proxy does, and the CPU plays the GPU's part.\n"
	"'devmem-perf compare --help' is about comparing several plugins.\n"
	"'devmem-perf scale --help' is about many ranks, connections and sockets.\n"
	"\n"
	"  -b, --minbytes SIZE      smallest size (8); 0 is fine\n"
	"  -e, --maxbytes SIZE      largest size (16M)\n"
	"  -f, --stepfactor N       from one size to the next (4)\n"
	"      --sizes A,B,...      exactly these instead\n"
	"  -t, --type TYPE          uint8, int32, int64, float or double (float)\n"
	"      --iters N            timed runs of each size (20)\n"
	"      --warmup N           untimed runs before (5)\n"
	"      --check              compare with a reference that is computed without "
	"communication\n"
	"      --hollow             nothing is summed or copied, as where a GPU does that: messages alone\n"
	"      --json[=FILE]        results as JSON, to FILE or in place of the table\n"
	"  -h, --help\n"
	"  -V, --version\n";

static const char usage_end[] =
	"\n"
	"Sizes take K, M and G. Columns are nccl-tests': time is the mean of the slowest rank, "
	"algbw =\n"
	"size / time, busbw takes the algorithm into account. The summary at the end is the "
	"plugin's.\n"
	"Exit status: 0, 1 when a rank failed or data was wrong, 2 for wrong arguments.\n";

enum { OPT_SIZES = 1, OPT_ITERS, OPT_WARMUP, OPT_CHECK, OPT_HOLLOW, OPT_JSON };

static const struct option options[] = {
	JOB_LONG_OPTIONS,
	{ "minbytes", required_argument, NULL, 'b' },
	{ "maxbytes", required_argument, NULL, 'e' },
	{ "stepfactor", required_argument, NULL, 'f' },
	{ "type", required_argument, NULL, 't' },
	{ "sizes", required_argument, NULL, OPT_SIZES },
	{ "iters", required_argument, NULL, OPT_ITERS },
	{ "warmup", required_argument, NULL, OPT_WARMUP },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "hollow", no_argument, NULL, OPT_HOLLOW },
	{ "json", optional_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* The steps of -b, -e and -f before they have become sizes. */
struct sweep {
	size_t min, max;
	int factor;
};

static int wrong(const char *name, const char *arg, const char *wanted)
{
	report_err("%s %s: %s is wanted", name, arg, wanted);
	return -EINVAL;
}

static int take_sizes(struct perf_options *o, const char *list)
{
	char word[32];
	size_t len;

	o->nsizes = 0;
	for (;;) {
		len = strcspn(list, ",");
		if (len >= sizeof(word) || o->nsizes == PERF_MAX_SIZES)
			return -EINVAL;
		memcpy(word, list, len);
		word[len] = '\0';
		if (parse_size(word, 0, MAX_SIZE, &o->sizes[o->nsizes]))
			return -EINVAL;
		o->nsizes++;
		if (!list[len])
			return 0;
		list += len + 1;
	}
}

static int take_option(struct perf_options *o, struct sweep *sweep, int opt, const char *arg)
{
	static const char size_wanted[] = "a size up to 4G";

	switch (opt) {
	case 'b':
		return parse_size(arg, 0, MAX_SIZE, &sweep->min)
			       ? wrong("--minbytes", arg, size_wanted)
			       : 0;
	case 'e':
		return parse_size(arg, 0, MAX_SIZE, &sweep->max)
			       ? wrong("--maxbytes", arg, size_wanted)
			       : 0;
	case 'f':
		return parse_int(arg, 2, 1024, &sweep->factor)
			       ? wrong("--stepfactor", arg, "2 to 1024")
			       : 0;
	case 't':
		return data_type_parse(arg, &o->type)
			       ? wrong("--type", arg, "uint8, int32, int64, float or double")
			       : 0;
	case OPT_SIZES:
		return take_sizes(o, arg)
			       ? wrong("--sizes", arg, "a comma list of at most 128 sizes up to 4G")
			       : 0;
	case OPT_ITERS:
		return parse_int(arg, 1, 1000000, &o->iters) ? wrong("--iters", arg, "1 to 1000000")
							     : 0;
	case OPT_WARMUP:
		return parse_int(arg, 0, 1000000, &o->warmup)
			       ? wrong("--warmup", arg, "0 to 1000000")
			       : 0;
	case OPT_CHECK:
		o->check = true;
		return 0;
	case OPT_HOLLOW:
		o->hollow = true;
		return 0;
	case OPT_JSON:
		o->json = true;
		o->json_file = arg;
		return 0;
	default:
		/* getopt_long() has said what is wrong. */
		return -EINVAL;
	}
}

/* From 0 the sweep goes on with one element, because no factor leads away from 0. */
static int make_sizes(struct perf_options *o, const struct sweep *sweep)
{
	size_t size = sweep->min;

	if (o->nsizes)
		return 0;
	if (sweep->min > sweep->max) {
		report_err("--minbytes is more than --maxbytes");
		return -EINVAL;
	}
	while (size <= sweep->max && o->nsizes < PERF_MAX_SIZES) {
		o->sizes[o->nsizes++] = size;
		size = size ? size * (size_t)sweep->factor : data_type_size(o->type);
	}
	return 0;
}

int perf_options_parse(int argc, char **argv, struct perf_options *ret)
{
	struct sweep sweep = { .min = 8, .max = 16 << 20, .factor = 4 };
	struct perf_options o = { .type = DATA_FLOAT, .iters = 20, .warmup = 5 };
	int opt, err;

	job_options_init(&o.job);
	while ((opt = getopt_long(argc, argv, "n:b:e:f:t:hV", options, NULL)) != -1) {
		if (opt == 'h') {
			printf("%s\n%s%s", usage, job_options_help, usage_end);
			return 1;
		}
		if (opt == 'V') {
			printf("devmem-perf %s\n", DEVMEM_VERSION);
			return 1;
		}
		err = job_options_take(&o.job, opt, optarg);
		if (!err)
			err = take_option(&o, &sweep, opt, optarg);
		if (err < 0)
			return err;
	}
	if (optind != argc - 1 || collective_parse(argv[optind], &o.kind)) {
		report_err("which collective? sendrecv, all_reduce, all_gather or reduce_scatter; "
			   "--help says more");
		return -EINVAL;
	}
	if (o.check && o.hollow) {
		report_err("--check: there is nothing to check in what --hollow leaves undone");
		return -EINVAL;
	}
	err = job_options_check(&o.job);
	if (!err)
		err = make_sizes(&o, &sweep);
	if (err)
		return err;
	*ret = o;
	return 0;
}
