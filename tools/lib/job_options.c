// SPDX-License-Identifier: BSD-3-Clause
#include "job_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net_driver.h"
#include "report.h"
#include "ring.h"

const char job_options_help[] =
	"Ranks:\n"
	"  -n, --ranks N            processes (2)\n"
	"      --netns A,B,...      run each in a network namespace of /run/netns, in turn\n"
	"      --rank-env R:NAME=V  set a variable for rank R alone; may be repeated\n"
	"      --rank R --rendezvous ADDR:PORT\n"
	"                           on several machines: start each rank by hand; rank 0 listens "
	"at\n"
	"                           ADDR:PORT ([ADDR]:PORT for IPv6), the others connect to it\n"
	"      --timeout S          seconds without progress that are an error (60)\n"
	"      --limit S            seconds the whole run may take (none)\n"
	"Plugin:\n"
	"      --plugin PATH        the net plugin (libnccl-net-devmem.so of this project)\n"
	"      --api N              version of its table, 6 to 12 (the highest it has)\n"
	"      --dev NAME           its network device (the first)\n"
	"      --memory KIND        host, udmabuf, dmaheap or drm (host)\n"
	"      --channels N         connections from each rank to the next (1)\n"
	"      --slots N            messages in flight on a connection, up to 32 (8)\n"
	"      --slot-size BYTES    size of posted receives, whole pages (512K)\n"
	"NCCL_DEBUG=VERSION|WARN|INFO|TRACE says what of the plugin's messages to show (WARN).\n";

void job_options_init(struct job_options *o)
{
	memset(o, 0, sizeof(*o));
	o->nranks = 2;
	o->rank = -1;
	o->nchannels = 1;
	o->nslots = 8;
	o->slot_size = 512 << 10;
	o->timeout_s = 60;
}

int parse_int(const char *text, int min, int max, int *ret)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < min || v > max)
		return -EINVAL;
	*ret = (int)v;
	return 0;
}

int parse_size(const char *text, size_t min, size_t max, size_t *ret)
{
	static const char units[] = "KMG";
	unsigned long long v;
	const char *unit;
	char *end;

	errno = 0;
	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	v = strtoull(text, &end, 10);
	if (errno)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
		if (!unit || end[1])
			return -EINVAL;
		for (const char *u = units; u <= unit; u++) {
			if (v > (~0ULL >> 10))
				return -EINVAL;
			v <<= 10;
		}
	}
	if (v < min || v > max)
		return -EINVAL;
	*ret = (size_t)v;
	return 0;
}

static int take_rank_env(struct job_options *o, const char *arg)
{
	const char *colon = strchr(arg, ':');
	struct rank_setting *s;
	char *end;
	long rank;

	if (o->nsettings == LAUNCHER_MAX_SETTINGS)
		return -E2BIG;
	rank = strtol(arg, &end, 10);
	if (!colon || end != colon || end == arg || rank < 0 || rank >= LAUNCHER_MAX_RANKS ||
	    colon[1] == '=' || !strchr(colon, '='))
		return -EINVAL;
	s = &o->settings[o->nsettings++];
	s->rank = (int)rank;
	s->assignment = colon + 1;
	return 0;
}

static int take_uint(const char *arg, int min, int max, unsigned int *ret)
{
	int v, err;

	err = parse_int(arg, min, max, &v);
	if (!err)
		*ret = (unsigned int)v;
	return err;
}

int job_options_take(struct job_options *o, int opt, const char *arg)
{
	const char *name, *wanted;
	int err = 0;

	switch (opt) {
	case 'n':
		name = "--ranks";
		wanted = "1 to 1024";
		err = parse_int(arg, 1, 1024, &o->nranks);
		break;
	case JOB_OPT_RANK:
		name = "--rank";
		wanted = "0 to 1023";
		err = parse_int(arg, 0, 1023, &o->rank);
		break;
	case JOB_OPT_RENDEZVOUS:
		o->rendezvous = arg;
		return 1;
	case JOB_OPT_PLUGIN:
		o->plugin = arg;
		return 1;
	case JOB_OPT_API:
		name = "--api";
		wanted = "8 to 12";
		err = parse_int(arg, NET_API_MIN, NET_API_MAX, &o->api);
		break;
	case JOB_OPT_DEV:
		o->device = arg;
		return 1;
	case JOB_OPT_NETNS:
		o->netns = arg;
		return 1;
	case JOB_OPT_RANK_ENV:
		name = "--rank-env";
		wanted = "RANK:NAME=VALUE";
		err = take_rank_env(o, arg);
		break;
	case JOB_OPT_MEMORY:
		name = "--memory";
		wanted = "host, udmabuf, dmaheap or drm";
		err = device_memory_parse(arg, &o->memory);
		break;
	case JOB_OPT_CHANNELS:
		name = "--channels";
		wanted = "1 to 32";
		err = take_uint(arg, 1, RING_MAX_CHANNELS, &o->nchannels);
		break;
	case JOB_OPT_SLOTS:
		name = "--slots";
		wanted = "1 to 32";
		err = take_uint(arg, 1, LANE_MAX_SLOTS, &o->nslots);
		break;
	case JOB_OPT_SLOT_SIZE:
		name = "--slot-size";
		wanted = "whole pages up to 64M";
		err = parse_size(arg, 1, 64 << 20, &o->slot_size);
		if (!err && o->slot_size % (size_t)sysconf(_SC_PAGESIZE))
			err = -EINVAL;
		break;
	case JOB_OPT_TIMEOUT:
		name = "--timeout";
		wanted = "seconds, 1 to 86400";
		err = parse_int(arg, 1, 86400, &o->timeout_s);
		break;
	case JOB_OPT_LIMIT:
		name = "--limit";
		wanted = "seconds, 1 to 86400";
		err = parse_int(arg, 1, 86400, &o->limit_s);
		break;
	default:
		return 0;
	}
	if (err) {
		report_err("%s %s: %s is wanted", name, arg, wanted);
		return -EINVAL;
	}
	return 1;
}

bool job_options_launching(const struct job_options *o)
{
	return o->rank < 0;
}

bool job_options_by_hand(const struct job_options *o)
{
	return o->rank >= 0 && o->rendezvous && strncmp(o->rendezvous, "fd:", 3) != 0;
}

struct launch job_options_launch(const struct job_options *o, char **argv)
{
	return (struct launch){
		.argv = argv,
		.nranks = o->nranks,
		.netns = o->netns,
		.limit_s = o->limit_s,
		.settings = o->settings,
		.nsettings = o->nsettings,
	};
}

int job_options_check(const struct job_options *o)
{
	if (o->rank >= 0 && !o->rendezvous && o->nranks > 1) {
		report_err("--rank needs --rendezvous ADDR:PORT");
		return -EINVAL;
	}
	if (o->rank < 0 && o->rendezvous) {
		report_err("--rendezvous needs --rank R");
		return -EINVAL;
	}
	if (o->rank >= o->nranks) {
		report_err("--rank %d: there are %d ranks, counted from 0", o->rank, o->nranks);
		return -EINVAL;
	}
	if (o->rank < 0 && o->nranks > LAUNCHER_MAX_RANKS) {
		report_err("--ranks %d: at most %d on one host", o->nranks, LAUNCHER_MAX_RANKS);
		return -EINVAL;
	}
	return 0;
}
