// SPDX-License-Identifier: BSD-3-Clause
/*
 * Streams: each a thread that does its operations one after another. All order between streams is "wait for
 * operation N of stream S": events, and the default stream that all blocking streams are in step with.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "state.h"

static CUstream streams;

void stream_ref(CUstream stream)
{
	stream->refs++;
}

void stream_unref(CUstream stream)
{
	if (--stream->refs)
		return;
	pthread_cond_destroy(&stream->more);
	stream->magic = 0;
	free(stream);
}

static void op_finish(CUstream stream, struct op *op)
{
	if (op->end)
		op->end(op);
	if (op->wait_for)
		stream_unref(op->wait_for);
	stream->head = op->next;
	if (!stream->head)
		stream->tail = &stream->head;
	stream->done = op->seq;
	free(op);
	pthread_cond_broadcast(&standin.progress);
}

static void *stream_thread(void *arg)
{
	CUstream stream = arg;

	state_lock();
	for (;;) {
		struct op *op = stream->head;

		if (!op) {
			if (stream->closing)
				break;
			pthread_cond_wait(&stream->more, &standin.lock);
			continue;
		}
		while (op->wait_for && op->wait_for->done < op->wait_seq)
			pthread_cond_wait(&standin.progress, &standin.lock);
		if (op->run) {
			state_unlock();
			if (standin.delay_us)
				usleep(standin.delay_us);
			op->run(op);
			state_lock();
		}
		op_finish(stream, op);
	}
	stream->ctx->closing--;
	pthread_cond_broadcast(&standin.progress);
	stream_unref(stream);
	state_unlock();
	return NULL;
}

/* Signals are the program's threads' business. */
static void stream_start(CUstream stream)
{
	sigset_t all, before;

	stream->started = true;
	stream_ref(stream);
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&stream->thread, NULL, stream_thread, stream))
		standin_die("no thread for a stream");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_detach(stream->thread);
}

static uint64_t submit_one(CUstream stream, struct op *op)
{
	op->seq = ++stream->submitted;
	op->next = NULL;
	*stream->tail = op;
	stream->tail = &op->next;
	if (!stream->started)
		stream_start(stream);
	pthread_cond_signal(&stream->more);
	return op->seq;
}

CUresult stream_submit_wait(CUstream stream, CUstream other, uint64_t seq)
{
	struct op *op;

	if (other == stream || other->done >= seq)
		return CUDA_SUCCESS;
	op = calloc(1, sizeof(*op));
	if (!op)
		return CUDA_ERROR_OUT_OF_MEMORY;
	stream_ref(other);
	op->wait_for = other;
	op->wait_seq = seq;
	submit_one(stream, op);
	return CUDA_SUCCESS;
}

/* CUDA's "legacy default stream": it and the blocking streams wait for each other. */
static void stream_keep_step(CUstream stream)
{
	CUstream null = stream->ctx->null_stream, s;

	if (stream == null) {
		for (s = streams; s; s = s->next)
			if (s->ctx == stream->ctx && s != null &&
			    !(s->flags & CU_STREAM_NON_BLOCKING))
				stream_submit_wait(stream, s, s->submitted);
	} else if (null && !(stream->flags & CU_STREAM_NON_BLOCKING)) {
		stream_submit_wait(stream, null, null->submitted);
	}
}

uint64_t stream_submit(CUstream stream, struct op *op)
{
	stream_keep_step(stream);
	return submit_one(stream, op);
}

void stream_wait(CUstream stream, uint64_t seq)
{
	stream_ref(stream);
	while (stream->done < seq)
		pthread_cond_wait(&standin.progress, &standin.lock);
	stream_unref(stream);
}

void stream_wait_all(CUcontext ctx)
{
	CUstream s = streams;

	/* The list may change while the lock is dropped, so begin anew after each wait. */
	while (s) {
		if (s->ctx == ctx && s->done < s->submitted) {
			stream_wait(s, s->submitted);
			s = streams;
		} else {
			s = s->next;
		}
	}
	while (ctx->closing)
		pthread_cond_wait(&standin.progress, &standin.lock);
}

static CUstream stream_new(CUcontext ctx, unsigned int flags, int priority)
{
	static unsigned long long ids;
	CUstream stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->magic = MAGIC_STREAM;
	stream->ctx = ctx;
	stream->flags = flags;
	stream->priority = priority;
	stream->id = ++ids;
	stream->refs = 1;
	stream->tail = &stream->head;
	pthread_cond_init(&stream->more, NULL);
	stream->next = streams;
	streams = stream;
	return stream;
}

/* The handle is no longer valid; what is queued still runs. */
static void stream_close(CUstream stream)
{
	CUstream *at;

	for (at = &streams; *at != stream; at = &(*at)->next)
		;
	*at = stream->next;
	stream->closing = true;
	if (stream->started)
		stream->ctx->closing++;
	pthread_cond_signal(&stream->more);
	stream_unref(stream);
}

void stream_close_all(CUcontext ctx)
{
	CUstream s = streams, next;

	for (; s; s = next) {
		next = s->next;
		if (s->ctx != ctx)
			continue;
		if (s != ctx->null_stream)
			standin.usage.streams--;
		stream_close(s);
	}
	ctx->null_stream = NULL;
}

CUresult stream_get(CUstream handle, CUcontext ctx, const char *who, CUstream *ret)
{
	CUstream s;

	if (handle == CU_STREAM_PER_THREAD)
		standin_die("%s: the per-thread default stream is not modelled", who);
	if (!handle || handle == CU_STREAM_LEGACY) {
		if (!ctx->null_stream)
			ctx->null_stream = stream_new(ctx, 0, 0);
		*ret = ctx->null_stream;
		return *ret ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
	}
	for (s = streams; s && s != handle; s = s->next)
		;
	if (!s)
		standin_die("%s: %p is no stream, or it is destroyed", who, (void *)handle);
	if (ctx && s->ctx != ctx)
		standin_die("%s: stream %p is of another context than the current one", who,
			    (void *)handle);
	*ret = s;
	return CUDA_SUCCESS;
}

void stream_check_idle(uintptr_t at, size_t size, const char *who)
{
	struct op *op;
	CUstream s;
	int i;

	for (s = streams; s; s = s->next)
		for (op = s->head; op; op = op->next)
			for (i = 0; i < 2; i++)
				if (op->touch[i].size && op->touch[i].at < at + size &&
				    at < op->touch[i].at + op->touch[i].size)
					standin_die(
						"%s: %zu bytes at %#lx are freed while a copy of stream %p is queued on them",
						who, size, at, (void *)s);
}

STANDIN_API CUresult cuStreamCreateWithPriority(CUstream *ret, unsigned int flags, int priority)
{
	CUstream stream;

	ENTER_CTX(ctx);
	if (!ret || flags > CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	state_lock();
	stream = stream_new(ctx, flags, priority);
	if (stream)
		standin.usage.streams++;
	state_unlock();
	if (!stream)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret = stream;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuStreamCreate(CUstream *ret, unsigned int flags)
{
	CUstream stream;

	ENTER_CTX(ctx);
	if (!ret || flags > CU_STREAM_NON_BLOCKING)
		return CUDA_ERROR_INVALID_VALUE;
	state_lock();
	stream = stream_new(ctx, flags, 0);
	if (stream)
		standin.usage.streams++;
	state_unlock();
	if (!stream)
		return CUDA_ERROR_OUT_OF_MEMORY;
	*ret = stream;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuStreamDestroy(CUstream handle)
{
	CUstream stream;

	ENTER();
	if (!handle)
		return CUDA_ERROR_INVALID_HANDLE;
	state_lock();
	stream_get(handle, NULL, __func__, &stream);
	standin.usage.streams--;
	stream_close(stream);
	state_unlock();
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuStreamQuery(CUstream handle)
{
	CUresult result = CUDA_SUCCESS;
	CUstream stream;

	ENTER_CTX(ctx);
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS && stream->done < stream->submitted)
		result = CUDA_ERROR_NOT_READY;
	state_unlock();
	return result;
}

STANDIN_API CUresult cuStreamSynchronize(CUstream handle)
{
	CUresult result;
	CUstream stream;

	ENTER_CTX(ctx);
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS)
		stream_wait(stream, stream->submitted);
	state_unlock();
	return result;
}

STANDIN_API CUresult cuStreamGetId(CUstream handle, unsigned long long *id)
{
	CUresult result;
	CUstream stream;

	ENTER_CTX(ctx);
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS)
		*id = stream->id;
	state_unlock();
	return result;
}

STANDIN_API CUresult cuStreamGetPriority(CUstream handle, int *priority)
{
	CUresult result;
	CUstream stream;

	ENTER_CTX(ctx);
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS)
		*priority = stream->priority;
	state_unlock();
	return result;
}

STANDIN_API CUresult cuStreamGetFlags(CUstream handle, unsigned int *flags)
{
	CUresult result;
	CUstream stream;

	ENTER_CTX(ctx);
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS)
		*flags = stream->flags;
	state_unlock();
	return result;
}

STANDIN_API CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status)
{
	ENTER();
	(void)handle;
	*status = CU_STREAM_CAPTURE_STATUS_NONE;
	return CUDA_SUCCESS;
}

STANDIN_API CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode)
{
	static __thread CUstreamCaptureMode current = CU_STREAM_CAPTURE_MODE_GLOBAL;
	CUstreamCaptureMode before = current;

	ENTER();
	current = *mode;
	*mode = before;
	return CUDA_SUCCESS;
}

struct host_op {
	struct op op;
	CUhostFn fn;
	void *data;
};

static void host_run(struct op *op)
{
	struct host_op *host = (struct host_op *)op;

	host->fn(host->data);
}

STANDIN_API CUresult cuLaunchHostFunc(CUstream handle, CUhostFn fn, void *data)
{
	struct host_op *host;
	CUresult result;
	CUstream stream;

	ENTER_CTX(ctx);
	host = calloc(1, sizeof(*host));
	if (!host)
		return CUDA_ERROR_OUT_OF_MEMORY;
	host->op.run = host_run;
	host->fn = fn;
	host->data = data;
	state_lock();
	result = stream_get(handle, ctx, __func__, &stream);
	if (result == CUDA_SUCCESS)
		stream_submit(stream, &host->op);
	else
		free(host);
	state_unlock();
	return result;
}
