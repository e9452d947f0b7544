// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>

#include "base/log.h"
#include "base/mutant.h"
#include "base/param.h"
#include "comm/net.h"
#include "comm/net_internal.h"
#include "comm/peer_mode.h"
#include "comm/wire.h"

static enum wire_mode own_mode(void)
{
	if (net_unpacks())
		return WIRE_MODE_UNPACK;
	return net_needs_simple() ? WIRE_MODE_SIMPLE : WIRE_MODE_ANY;
}

static const char *mode_text(enum wire_mode mode)
{
	switch (mode) {
	case WIRE_MODE_UNPACK:
		return "leaves unpacking to NCCL's kernels (protocol Simple, no PAT)";
	case WIRE_MODE_SIMPLE:
		return "gathers with the copy engine (protocol Simple)";
	default:
		return "gathers or copies (every protocol)";
	}
}

uint32_t peer_mode_flags(void)
{
	return (uint32_t)own_mode() << WIRE_MODE_SHIFT;
}

int peer_mode_check(const struct nic *nic, const char *peer, uint32_t flags)
{
	enum wire_mode theirs = (enum wire_mode)((flags & WIRE_MODE_MASK) >> WIRE_MODE_SHIFT);
	enum wire_mode ours = own_mode();

	if (theirs == ours || theirs == WIRE_MODE_UNTOLD || DEVMEM_MUTANT(modes_differ))
		return 0;
	log_err("%s: this rank %s, the one at %s %s: NCCL would choose differently on the two, and results would be wrong or "
		"never come; set %s and %s (and %s) to the same on every rank, and see that each has a GPU driver and a NIC that "
		"can receive into GPU memory",
		nic->name, mode_text(ours), peer, mode_text(theirs), param_env_name(PARAM_PLACE),
		param_env_name(PARAM_GATHER), param_env_name(PARAM_RECV));
	return -EPROTO;
}
