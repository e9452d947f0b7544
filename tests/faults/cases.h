/* SPDX-License-Identifier: BSD-3-Clause */
/* The tables of the cases that run on any kernel, one for each file. */
#ifndef FAULTS_CASES_H
#define FAULTS_CASES_H

#include "faults.h"

extern const struct fault_case cases_param[];
extern const struct fault_case cases_ladder[];
extern const struct fault_case cases_handshake[];
extern const struct fault_case cases_stranger[];
extern const struct fault_case cases_record[];
extern const struct fault_case cases_peer[];
extern const struct fault_case cases_usage[];
extern const struct fault_case cases_life[];
extern const struct fault_case cases_fork[];
extern const struct fault_case cases_data[];
extern const struct fault_case cases_zerocopy[];
extern const struct fault_case cases_frame[];

#endif
