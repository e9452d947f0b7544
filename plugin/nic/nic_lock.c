// SPDX-License-Identifier: BSD-3-Clause
#include <pthread.h>

#include "nic/nic_lock.h"

static pthread_mutex_t nic_mutex = PTHREAD_MUTEX_INITIALIZER;

void nic_lock(void)
{
	pthread_mutex_lock(&nic_mutex);
}

void nic_unlock(void)
{
	pthread_mutex_unlock(&nic_mutex);
}

void nic_lock_reset(void)
{
	static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;

	nic_mutex = fresh;
}
