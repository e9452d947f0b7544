// SPDX-License-Identifier: BSD-3-Clause
/* Events: "operation N of stream S has ended". */
#include <stdlib.h>
#include <time.h>

#include "state.h"

struct CUevent_st {
	unsigned int magic;
	unsigned int refs; /* the handle, and operations that record it */
	bool valid;	   /* the handle is */
	unsigned int flags;
	CUcontext ctx;
	CUstream stream; /* NULL: never recorded, which counts as done */
	uint64_t seq;
	double time; /* ms, of the last record that ended */
};

struct record_op {
	struct op op;
	CUevent event;
	double time;
};

/* An event that was freed is remembered as one for as long as its memory is not used again. */
static void event_check(CUevent event, CUcontext ctx, const char *who)
{
	if (!event || event->magic != MAGIC_EVENT || !event->valid)
		standin_die("%s: %p is no event, or it is destroyed", who, (void *)event);
	if (ctx && event->ctx != ctx)
		standin_die("%s: event %p is of another context than the current one", who,
			    (void *)event);
}

static void event_put(CUevent event)
{
	if (--event->refs)
		return;
	if (event->stream)
		stream_unref(event->stream);
	event->magic = 0;
	free(event);
}

STANDIN_API CUresult cuEventCreate(CUevent *ret, unsigned int flags)
{
	CUevent event;

	ENTER_CTX(ctx);
	event = calloc(1, sizeof(*event));
	if (!event)
		return CUDA_ERROR_OUT_OF_MEMORY;
	event->magic = MAGIC_EVENT;
	event->refs = 1;
	event->valid = true;
	event->flags = flags;
	event->ctx = ctx;
	state_lock();
	standin.usage.events++;
	state_unlock();
	*ret = event;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuEventDestroy(CUevent event)
{
	ENTER();
	state_lock();
	event_check(event, NULL, __func__);
	event->valid = false;
	standin.usage.events--;
	event_put(event);
	state_unlock();
	return CUDA_SUCCESS;
}

static void record_run(struct op *op)
{
	struct record_op *record = (struct record_op *)op;
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	record->time = (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void record_end(struct op *op)
{
	struct record_op *record = (struct record_op *)op;

	record->event->time = record->time;
	event_put(record->event);
}

CUresult event_record(CUevent event, CUstream stream, const char *who)
{
	struct record_op *record = calloc(1, sizeof(*record));

	if (!record)
		return CUDA_ERROR_OUT_OF_MEMORY;
	event_check(event, stream->ctx, who);
	record->op.run = record_run;
	record->op.end = record_end;
	record->event = event;
	event->refs++;
	if (event->stream != stream) {
		if (event->stream)
			stream_unref(event->stream);
		stream_ref(stream);
		event->stream = stream;
	}
	event->seq = stream_submit(stream, &record->op);
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuEventRecord(CUevent event, CUstream handle)
{
	CUresult result;
	CUstream stream;

	ENTER_CTX(ctx);
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS)
		result = event_record(event, stream, __func__);
	state_unlock();
	return result;
}

STANDIN_API CUresult cuEventRecordWithFlags(CUevent event, CUstream handle, unsigned int flags)
{
	if (flags)
		return CUDA_ERROR_NOT_SUPPORTED;
	return cuEventRecord(event, handle);
}

static bool event_done(CUevent event)
{
	return !event->stream || event->stream->done >= event->seq;
}

STANDIN_API CUresult cuEventQuery(CUevent event)
{
	bool done;

	ENTER();
	state_lock();
	event_check(event, NULL, __func__);
	done = event_done(event);
	state_unlock();
	return done ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

STANDIN_API CUresult cuEventSynchronize(CUevent event)
{
	ENTER();
	state_lock();
	event_check(event, NULL, __func__);
	if (event->stream)
		stream_wait(event->stream, event->seq);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end)
{
	CUresult result = CUDA_SUCCESS;

	ENTER();
	state_lock();
	event_check(start, NULL, __func__);
	event_check(end, NULL, __func__);
	if (!start->stream || !end->stream || (start->flags | end->flags) & CU_EVENT_DISABLE_TIMING)
		result = CUDA_ERROR_INVALID_HANDLE;
	else if (!event_done(start) || !event_done(end))
		result = CUDA_ERROR_NOT_READY;
	else
		*ms = (float)(end->time - start->time);
	state_unlock();
	return result;
}

STANDIN_API CUresult cuStreamWaitEvent(CUstream handle, CUevent event, unsigned int flags)
{
	CUresult result;
	CUstream stream;

	ENTER_CTX(ctx);
	(void)flags;
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS) {
		event_check(event, NULL, __func__);
		if (!event_done(event))
			result = stream_submit_wait(stream, event->stream, event->seq);
	}
	state_unlock();
	return result;
}
