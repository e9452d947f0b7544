/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of cases, one file each. */
#ifndef CONFORMANCE_CASES_H
#define CONFORMANCE_CASES_H

#include "rank.h"

extern const struct conf_case cases_life[];
extern const struct conf_case cases_connect[];
extern const struct conf_case cases_data[];
extern const struct conf_case cases_memory[];
extern const struct conf_case cases_close[];
extern const struct conf_case cases_error[];
extern const struct conf_case cases_fork[];
extern const struct conf_case cases_wire[];

#define TX  (&ranks[0])
#define RX  (&ranks[n_ranks - 1])
#define MIB (1u << 20)

#endif
