#pragma once
#include <nghttp2/nghttp2.h>
// `mallopt`, which Swift's Glibc module leaves out; the transport sets it for its buffers.
#include <malloc.h>
