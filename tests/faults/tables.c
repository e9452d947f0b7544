// SPDX-License-Identifier: BSD-3-Clause
#include "cases.h"

const struct fault_case *const fault_tables[] = {
	cases_param, cases_ladder, cases_handshake, cases_stranger, cases_record,   cases_peer,
	cases_usage, cases_life,   cases_fork,	    cases_data,	    cases_zerocopy, cases_frame,
	NULL,
};
