// SPDX-License-Identifier: BSD-3-Clause
#include "cases.h"

const struct conf_case *const conf_tables[] = {
	cases_life,  cases_connect, cases_data, cases_memory, cases_close,
	cases_error, cases_fork,    cases_wire, NULL,
};
