// SPDX-License-Identifier: BSD-3-Clause
/* Streams, events, and graphs: of those only that nothing is ever captured. */
#include "cudart.h"

RT(cudaStreamCreate, CUstream *ret)
{
	RT_CALL(cuStreamCreate(ret, CU_STREAM_DEFAULT));
}

RT(cudaStreamCreateWithFlags, CUstream *ret, unsigned int flags)
{
	RT_CALL(cuStreamCreate(ret, flags));
}

RT(cudaStreamDestroy, CUstream stream)
{
	RT_CALL(cuStreamDestroy(stream));
}

RT(cudaStreamSynchronize, CUstream stream)
{
	RT_CALL(cuStreamSynchronize(stream));
}

RT(cudaStreamWaitEvent, CUstream stream, CUevent event, unsigned int flags)
{
	RT_CALL(cuStreamWaitEvent(stream, event, flags));
}

RT(cudaStreamGetId, CUstream stream, unsigned long long *id)
{
	RT_CALL(cuStreamGetId(stream, id));
}

RT(cudaLaunchHostFunc, CUstream stream, CUhostFn fn, void *data)
{
	RT_CALL(cuLaunchHostFunc(stream, fn, data));
}

RT(cudaEventCreate, CUevent *ret)
{
	RT_CALL(cuEventCreate(ret, CU_EVENT_DEFAULT));
}

RT(cudaEventCreateWithFlags, CUevent *ret, unsigned int flags)
{
	RT_CALL(cuEventCreate(ret, flags));
}

RT(cudaEventDestroy, CUevent event)
{
	RT_CALL(cuEventDestroy(event));
}

RT(cudaEventRecord, CUevent event, CUstream stream)
{
	RT_CALL(cuEventRecord(event, stream));
}

RT(cudaEventQuery, CUevent event)
{
	RT_CALL(cuEventQuery(event));
}

RT(cudaEventSynchronize, CUevent event)
{
	RT_CALL(cuEventSynchronize(event));
}

RT(cudaThreadExchangeStreamCaptureMode, CUstreamCaptureMode *mode)
{
	RT_CALL(cuThreadExchangeStreamCaptureMode(mode));
}

RT(cudaStreamIsCapturing, CUstream stream, int *status)
{
	(void)stream;
	*status = CU_STREAM_CAPTURE_STATUS_NONE;
	return CUDA_SUCCESS;
}

RT(cudaStreamGetCaptureInfo_v2, CUstream stream, int *status, unsigned long long *id, void **graph,
   const void ***dependencies, size_t *n)
{
	(void)stream;
	(void)graph;
	(void)dependencies;
	*status = CU_STREAM_CAPTURE_STATUS_NONE;
	if (id)
		*id = 0;
	if (n)
		*n = 0;
	return CUDA_SUCCESS;
}

RT(cudaStreamGetCaptureInfo_v3, CUstream stream, int *status, unsigned long long *id, void **graph,
   const void ***dependencies, const void **edges, size_t *n)
{
	(void)edges;
	return cudaStreamGetCaptureInfo_v2(stream, status, id, graph, dependencies, n);
}

/* No stream captures, so nothing below is called, whatever its arguments are. */
#define NO_GRAPHS(name)                                    \
	RT(name, void)                                     \
	{                                                  \
		return rt_leave(CUDA_ERROR_NOT_SUPPORTED); \
	}

NO_GRAPHS(cudaStreamUpdateCaptureDependencies)
NO_GRAPHS(cudaStreamUpdateCaptureDependencies_v2)
NO_GRAPHS(cudaGraphAddDependencies)
NO_GRAPHS(cudaGraphAddDependencies_v2)
NO_GRAPHS(cudaGraphAddEventRecordNode)
NO_GRAPHS(cudaGraphAddEventWaitNode)
NO_GRAPHS(cudaGraphAddHostNode)
NO_GRAPHS(cudaGraphAddKernelNode)
NO_GRAPHS(cudaGraphRetainUserObject)
NO_GRAPHS(cudaUserObjectCreate)
