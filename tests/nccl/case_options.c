// SPDX-License-Identifier: BSD-3-Clause
#include "case_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job_options.h"
#include "report.h"

static const char usage[] =
	"Usage: nccl-case --nccl FILE [options]\n"
	"Ranks of one NCCL communicator, each a process that takes itself for a host; results are compared with\n"
	"a reference, and bytes on the wire with the net plugin's counters.\n"
	"\n"
	"  -n, --ranks N          (2)\n"
	"      --nccl FILE        libnccl.so.2\n"
	"      --cuda FILE        libcuda.so.1, where not the system's\n"
	"      --nvml FILE        libnvidia-ml.so.1, likewise\n"
	"      --emulation FILE   kernels for the stand-in driver (STANDIN_KERNELS)\n"
	"      --plugin FILE      the net plugin whose counters are read; goes to NCCL_NET_PLUGIN where that is not set\n"
	"      --netns LIST       network namespaces of the ranks, comma-separated\n"
	"      --test WHAT        collectives, split, abort, peer_death, reinit (collectives)\n"
	"      --ops LIST         all_reduce,all_gather,reduce_scatter,broadcast,reduce,sendrecv,all_to_all (all)\n"
	"      --types LIST       int8,uint8,int32,uint32,int64,uint64,half,float,double,bfloat16 (all)\n"
	"      --redops LIST      sum,prod,max,min,avg (all)\n"
	"      --counts LIST      elements (1,3,1000,65536,262147)\n"
	"      --buffers KIND     cuda, nccl (ncclMemAlloc), registered (ncclCommRegister)\n"
	"      --in-place         output over input, where NCCL allows it\n"
	"      --traffic WHAT     none, exact (Simple), ll: how the plugin's bytes are checked\n"
	"      --placed BY        any, gpu, unpack: who has to have put all received bytes in place\n"
	"      --seed N           (1)\n"
	"      --timeout S        of one operation (60)\n"
	"      --limit S          of everything (300)\n"
	"      --verbose          a line for each case\n"
	"NCCL's own environment variables choose algorithm, protocol and channels.\n"
	"\n"
	"Exit status: 0 all right, 1 something was wrong, 2 usage.\n";

enum {
	OPT_RANK = 1,
	OPT_RENDEZVOUS,
	OPT_NCCL,
	OPT_CUDA,
	OPT_NVML,
	OPT_EMULATION,
	OPT_PLUGIN,
	OPT_NETNS,
	OPT_TEST,
	OPT_OPS,
	OPT_TYPES,
	OPT_REDOPS,
	OPT_COUNTS,
	OPT_BUFFERS,
	OPT_IN_PLACE,
	OPT_TRAFFIC,
	OPT_PLACED,
	OPT_SEED,
	OPT_TIMEOUT,
	OPT_LIMIT,
	OPT_VERBOSE,
};

static const struct option options[] = {
	{ "ranks", required_argument, NULL, 'n' },
	{ "rank", required_argument, NULL, OPT_RANK },
	{ "rendezvous", required_argument, NULL, OPT_RENDEZVOUS },
	{ "nccl", required_argument, NULL, OPT_NCCL },
	{ "cuda", required_argument, NULL, OPT_CUDA },
	{ "nvml", required_argument, NULL, OPT_NVML },
	{ "emulation", required_argument, NULL, OPT_EMULATION },
	{ "plugin", required_argument, NULL, OPT_PLUGIN },
	{ "netns", required_argument, NULL, OPT_NETNS },
	{ "test", required_argument, NULL, OPT_TEST },
	{ "ops", required_argument, NULL, OPT_OPS },
	{ "types", required_argument, NULL, OPT_TYPES },
	{ "redops", required_argument, NULL, OPT_REDOPS },
	{ "counts", required_argument, NULL, OPT_COUNTS },
	{ "buffers", required_argument, NULL, OPT_BUFFERS },
	{ "in-place", no_argument, NULL, OPT_IN_PLACE },
	{ "traffic", required_argument, NULL, OPT_TRAFFIC },
	{ "placed", required_argument, NULL, OPT_PLACED },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "limit", required_argument, NULL, OPT_LIMIT },
	{ "verbose", no_argument, NULL, OPT_VERBOSE },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char *const tests[TESTS] = { "collectives", "split", "abort", "peer_death", "reinit" };
static const char *const buffers[] = { "cuda", "nccl", "registered" };
static const char *const traffic[] = { "none", "exact", "ll" };
static const char *const placed[] = { "any", "gpu", "unpack" };

static const char *op_word(int i)
{
	return ref_op_name((enum ref_op)i);
}

/* The number of @word among @n that @name gives; -EINVAL, and reported. */
static int word_find(const char *option, const char *word, const char *(*name)(int), int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(name(i), word))
			return i;
	report_err("%s: '%s' is unknown; --help says what there is", option, word);
	return -EINVAL;
}

static int plain_word_find(const char *option, const char *word, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(names[i], word))
			return i;
	report_err("%s: '%s' is unknown; --help says what there is", option, word);
	return -EINVAL;
}

static int list_take(const char *option, const char *list, const char *(*name)(int), int n,
		     bool *ret)
{
	char *copy = strdup(list), *save = NULL;
	int i = copy ? 0 : -ENOMEM;

	memset(ret, 0, (size_t)n * sizeof(*ret));
	for (char *w = copy ? strtok_r(copy, ",", &save) : NULL; w && i >= 0;
	     w = strtok_r(NULL, ",", &save)) {
		i = word_find(option, w, name, n);
		if (i >= 0)
			ret[i] = true;
	}
	free(copy);
	return i < 0 ? i : 0;
}

static int counts_take(struct case_options *o, const char *list)
{
	char *copy = strdup(list), *save = NULL;
	int err = copy ? 0 : -ENOMEM;

	o->ncounts = 0;
	for (char *w = copy ? strtok_r(copy, ",", &save) : NULL; w && !err;
	     w = strtok_r(NULL, ",", &save)) {
		if (o->ncounts == CASE_MAX_COUNTS ||
		    parse_size(w, 0, (size_t)1 << 30, &o->counts[o->ncounts])) {
			report_err("--counts: '%s' is no count, or there are too many", w);
			err = -EINVAL;
		} else {
			o->ncounts++;
		}
	}
	free(copy);
	return err;
}

static int number_take(const char *option, const char *arg, int min, int max, int *ret)
{
	if (!parse_int(arg, min, max, ret))
		return 0;
	report_err("%s %s: %d to %d is wanted", option, arg, min, max);
	return -EINVAL;
}

static int word_option(struct case_options *o, int opt, const char *arg)
{
	int i = 0;

	switch (opt) {
	case OPT_TEST:
		i = plain_word_find("--test", arg, tests, TESTS);
		o->test = (enum case_test)i;
		break;
	case OPT_BUFFERS:
		i = plain_word_find("--buffers", arg, buffers, 3);
		o->buffers = (enum case_buffers)i;
		break;
	case OPT_TRAFFIC:
		i = plain_word_find("--traffic", arg, traffic, 3);
		o->traffic = i;
		break;
	case OPT_PLACED:
		i = plain_word_find("--placed", arg, placed, 3);
		o->placed = i;
		break;
	case OPT_OPS:
		i = list_take("--ops", arg, op_word, REF_OPS, o->ops);
		break;
	case OPT_TYPES:
		i = list_take("--types", arg, ref_type_name, NCCL_TYPES, o->types);
		break;
	case OPT_REDOPS:
		i = list_take("--redops", arg, ref_redop_name, NCCL_REDOPS, o->redops);
		break;
	case OPT_COUNTS:
		i = counts_take(o, arg);
		break;
	default:
		/* getopt_long() has said what is wrong. */
		i = -EINVAL;
	}
	return i < 0 ? i : 0;
}

static int option_take(struct case_options *o, int opt, const char *arg)
{
	int seed = 0, err = 0;

	switch (opt) {
	case 'n':
		err = number_take("--ranks", arg, 2, 16, &o->nranks);
		break;
	case OPT_RANK:
		err = number_take("--rank", arg, 0, 15, &o->rank);
		break;
	case OPT_SEED:
		err = number_take("--seed", arg, 0, 1000000000, &seed);
		o->seed = (uint64_t)seed;
		break;
	case OPT_TIMEOUT:
		err = number_take("--timeout", arg, 1, 3600, &o->timeout_s);
		break;
	case OPT_LIMIT:
		err = number_take("--limit", arg, 1, 36000, &o->limit_s);
		break;
	case OPT_RENDEZVOUS:
		o->rendezvous = arg;
		break;
	case OPT_NETNS:
		o->netns = arg;
		break;
	case OPT_NCCL:
		o->nccl = arg;
		break;
	case OPT_CUDA:
		o->cuda = arg;
		break;
	case OPT_NVML:
		o->nvml = arg;
		break;
	case OPT_EMULATION:
		o->emulation = arg;
		break;
	case OPT_PLUGIN:
		o->plugin = arg;
		break;
	case OPT_IN_PLACE:
		o->in_place = true;
		break;
	case OPT_VERBOSE:
		o->verbose = true;
		break;
	default:
		err = word_option(o, opt, arg);
	}
	return err;
}

int case_options_parse(int argc, char **argv, struct case_options *ret)
{
	struct case_options o = {
		.nranks = 2,
		.rank = -1,
		.counts = { 1, 3, 1000, 65536, 262147 },
		.ncounts = 5,
		.seed = 1,
		.timeout_s = 60,
		.limit_s = 300,
	};
	int opt, err;

	memset(o.ops, true, sizeof(o.ops));
	memset(o.types, true, sizeof(o.types));
	memset(o.redops, true, sizeof(o.redops));
	while ((opt = getopt_long(argc, argv, "n:h", options, NULL)) != -1) {
		if (opt == 'h') {
			fputs(usage, stdout);
			return 1;
		}
		err = option_take(&o, opt, optarg);
		if (err)
			return err;
	}
	if (optind != argc) {
		report_err("'%s' is no option; --help says what there is", argv[optind]);
		return -EINVAL;
	}
	if (!o.nccl) {
		report_err("--nccl FILE is wanted");
		return -EINVAL;
	}
	*ret = o;
	return 0;
}
