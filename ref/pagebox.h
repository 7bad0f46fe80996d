/* pagebox.h: everything at once. Link with -lpagebox; see the single headers for each part. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_PAGEBOX_H
#define PB_PAGEBOX_H

#define PB_VERSION "0.1.0"
#define PB_VERSION_MAJOR 0
#define PB_VERSION_MINOR 1
#define PB_VERSION_PATCH 0

#include "allocator.h"
#include "atomic.h"
#include "backing.h"
#include "guest.h"
#include "limiter.h"
#include "mailbox.h"
#include "memory.h"
#include "pages.h"
#include "status.h"

#endif
