/* atomic.h: PB_ATOMIC(type), an atomic of C11, or of C++ where a header is included from there: the
 * same object in memory. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_ATOMIC_H
#define PB_ATOMIC_H

#ifdef __cplusplus
#include <atomic>
#define PB_ATOMIC(type) std::atomic<type>
#else
#include <stdatomic.h>
#define PB_ATOMIC(type) _Atomic(type)
#endif

#endif
