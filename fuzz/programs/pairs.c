/* pairs.c: the tables of small concurrent programs, and what draws from them. See pairs.h.
 *
 * A row holds operations in the text form, without threads and separated by semicolons. Of
 * {a|b|c} one alternative is drawn; the first is the plain one. Of [a|b|c], the same one in all
 * rows of a program, so that its threads meet. */
#include "pairs.h"

#include "chance.h"

#include <stdio.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { THREADS_MOST = 3, CALLS_MOST = 2, TEXT_BYTES = 4096 };
/* Schedules at most; a program that shows nothing new ends earlier. */
enum { SCHEDULES_DRAWN = 3000 };

/* What calls may meet on. The fewer calls a kind has, the more often each meeting is drawn. */
enum object_kind {
    WAITS = 1 << 0,       /* a word that threads wait on */
    VALUES = 1 << 1,      /* ... and write */
    BUCKET = 1 << 2,      /* words of one bucket of the wait table */
    CANCEL = 1 << 3,      /* waits that are cancelled */
    CANCEL_ONE = 1 << 24, /* ... by one canceller */
    HANDLES = 1 << 4,     /* handles of a memory in which threads wait */
    SIZE = 1 << 5,        /* a memory that grows, and its copies */
    EDGE = 1 << 6,        /* ... and accesses where it ended */
    BYTES = 1 << 7,       /* a memory's bytes */
    ATOMS = 1 << 29,      /* words, by atomic accesses alone */
    LIMIT = 1 << 8,       /* a budget */
    SHORT = 1 << 21,      /* ... whose memory cannot grow: the system refuses */
    OWNERS = 1 << 9,      /* the register of owners */
    LODGERS = 1 << 23,    /* memories of which another thread has a part */
    SLOTS = 1 << 27,      /* memories in slots of one pool */
    IMAGES = 1 << 30,     /* memories that are made from one image */
    RING = 1 << 10,       /* a mailbox: its producers, its guest, its end */
    SPILL = 1 << 11,      /* one with a spill */
    SIGNAL = 1 << 12,     /* the host's threads that wait for the signal */
    HELD = 1 << 13,       /* one that is held, and moves */
    NEAR = 1 << 25,       /* one whose unshared memory grows, and has another one that goes */
    ONLOOKERS = 1 << 28,  /* one on whose flag other threads of its guest wait, too */
    LONG = 1 << 26,       /* one whose publisher goes on while many ids come and are taken */
    LOST = 1 << 22,       /* one that loses its region */
    WAKERS = 1 << 14,     /* wakers, and who is the last to go */
    STOPS = 1 << 15,      /* producers that stop for ever */
    HOSTILE = 1 << 16,    /* a guest that scribbles */
    NEIGHBOURS = 1 << 17, /* one to whose bucket of the wait table another one comes and goes */
    TWO_GUESTS = 1 << 20, /* two mailboxes in one bucket, with a guest each */
    REATTACH = 1 << 18,   /* a mailbox that gives its place to another one */
    PARKED = 1 << 19,     /* a guest that parks in a memory in which others wait */
    MAILBOX = RING | SPILL | SIGNAL | HELD | NEAR | LONG | LOST | WAKERS | STOPS | HOSTILE |
              NEIGHBOURS | TWO_GUESTS | ONLOOKERS | REATTACH | PARKED
};

#define ON_WAITERS (1u << TARGET_waiters_fuzzer)
#define ON_MAILBOX (1u << TARGET_mailbox_fuzzer)
#define ON_SYSTEM (1u << TARGET_system_fuzzer)

#define MEMORY(strategy, min, max, style, limit)                                                   \
    "memory_create_more m0 strategy:" strategy " twin:none min:" min " max:" max                   \
    " shared:yes style:" style " bound:3 guard:4096 record:own image:0 advice:none waiters:" limit \
    " reserve:0"
#define SHORT_MEMORY                                                                            \
    "memory_create_more m0 strategy:{reserve|reserve_rw} twin:none min:{1|2} max:3 shared:yes " \
    "style:static bound:3 guard:4096 record:own image:0 advice:none waiters:0 reserve:1"
#define ATTACH(ground, capacity, full, spill)                                  \
    "mailbox_attach ground:" ground " pages:1 region:front capacity:" capacity \
    " cursor:0 full:" full " spill:" spill
#define BESIDE(place) "mailbox_attach_beside place:" place " capacity:{2|1|4} full:reject spill:0"

static const struct object {
    enum object_kind kind;
    const char *name;
    unsigned targets;
    unsigned weight;
    const char *set_up;
} objects[] = {
    {WAITS, "waits", ON_WAITERS | ON_SYSTEM, 6, MEMORY("reserve", "1", "1", "static", "0")},
    {WAITS, "waits-limit", ON_WAITERS | ON_SYSTEM, 2,
     MEMORY("reserve", "1", "1", "static", "{1|2}")},
    {VALUES, "values", ON_WAITERS | ON_SYSTEM, 4, MEMORY("reserve", "1", "1", "static", "0")},
    {BUCKET, "bucket", ON_WAITERS | ON_SYSTEM, 3, MEMORY("reserve", "1", "1", "static", "0")},
    {CANCEL, "cancel", ON_WAITERS | ON_SYSTEM, 4, MEMORY("reserve", "1", "1", "static", "{0|0|1}")},
    {CANCEL_ONE, "one-canceller", ON_WAITERS | ON_SYSTEM, 3,
     MEMORY("reserve", "1", "1", "static", "0")},
    {HANDLES, "handles", ON_WAITERS | ON_SYSTEM, 3,
     MEMORY("{reserve|reserve_rw|image|pool}", "1", "1", "static", "0")},
    {SIZE, "size", ON_SYSTEM, 6,
     MEMORY("{reserve|reserve_rw|image|pool|guard}", "{1|0|2}", "3", "{static|dynamic}", "0")},
    {EDGE, "edge", ON_SYSTEM, 4,
     MEMORY("{reserve|reserve_rw|image|pool}", "1", "{2|3}", "{static|dynamic}", "0")},
    {BYTES, "bytes", ON_SYSTEM, 6, MEMORY("{reserve|reserve_rw|image}", "1", "2", "static", "0")},
    {ATOMS, "atoms", ON_WAITERS | ON_SYSTEM, 3, MEMORY("reserve", "1", "1", "static", "0")},
    {LIMIT, "limit", ON_SYSTEM, 4,
     "memory_budget pages:{3|2|4};" MEMORY("{reserve|reserve_rw|image}", "{0|1}", "3", "dynamic",
                                           "0")},
    {LIMIT, "limit-of-tenants", ON_WAITERS | ON_SYSTEM, 3,
     "memory_budget pages:{2|3};" MEMORY("reserve", "1", "1", "static", "0")},
    {LIMIT, "limit-fails", ON_SYSTEM, 2,
     "memory_budget pages:{3|2|4};fault os_commit 1;" MEMORY("reserve", "{1|1|0}", "3", "dynamic",
                                                             "0")},
    {SHORT, "limit-short", ON_SYSTEM, 4, "memory_budget pages:{3|4};" SHORT_MEMORY},
    {OWNERS, "owners", ON_WAITERS | ON_SYSTEM, 4, MEMORY("reserve", "1", "2", "static", "0")},
    {LODGERS, "lodgers", ON_WAITERS | ON_SYSTEM, 4, MEMORY("reserve", "1", "1", "static", "0")},
    {IMAGES, "images", ON_WAITERS | ON_SYSTEM, 3, MEMORY("reserve", "1", "1", "static", "0")},
    {SLOTS, "slots", ON_WAITERS | ON_SYSTEM, 3, MEMORY("reserve", "1", "1", "static", "0")},
    {RING, "ring", ON_MAILBOX | ON_SYSTEM, 6,
     ATTACH("{shared|custom|owned|heap}", "{2|1|4}", "reject", "0")},
    {RING, "ring-full", ON_MAILBOX | ON_SYSTEM, 3,
     ATTACH("{shared|custom|owned}", "1", "reject", "0") ";mailbox_enqueue count:1"},
    {SPILL, "spill", ON_MAILBOX | ON_SYSTEM, 5,
     ATTACH("{shared|custom|owned}", "{1|2}", "spill", "{1|3}")},
    {SPILL, "spilled", ON_MAILBOX | ON_SYSTEM, 3,
     ATTACH("{shared|custom}", "1", "spill", "{2|3}") ";mailbox_enqueue count:2"},
    {SIGNAL, "signal", ON_MAILBOX | ON_SYSTEM, 4,
     ATTACH("{shared|owned|custom|heap}", "{2|1}", "{reject|spill}", "1")},
    {SIGNAL, "signal-spilled", ON_MAILBOX | ON_SYSTEM, 3,
     ATTACH("{shared|owned|custom|heap}", "1", "spill", "{2|1}") ";mailbox_enqueue count:2"},
    {HELD, "held", ON_MAILBOX | ON_SYSTEM, 5,
     ATTACH("{owned|owned|shared}", "{2|1}", "{reject|spill}", "1")},
    {NEAR, "near", ON_MAILBOX | ON_SYSTEM, 2,
     ATTACH("owned", "{2|1}", "{reject|spill}", "1") ";" BESIDE("{far|next|before}")},
    {LONG, "long", ON_MAILBOX | ON_SYSTEM, 3, ATTACH("{shared|custom}", "4", "reject", "0")},
    {LOST, "lost", ON_MAILBOX | ON_SYSTEM, 3, ATTACH("owned", "{2|1}", "{reject|spill}", "1")},
    {WAKERS, "wakers", ON_MAILBOX | ON_SYSTEM, 3,
     ATTACH("{shared|custom}", "{2|1}", "{reject|spill}", "1")},
    {WAKERS, "wakers-shared", ON_MAILBOX | ON_SYSTEM, 3,
     ATTACH("{shared|custom|owned}", "{2|1}", "{reject|spill}", "1") ";waker_create w0 id:77"},
    {STOPS, "stops", ON_MAILBOX | ON_SYSTEM, 3, ATTACH("{shared|custom}", "{2|4}", "reject", "0")},
    {HOSTILE, "hostile", ON_MAILBOX | ON_SYSTEM, 2,
     ATTACH("{shared|custom}", "{2|1}", "{reject|spill}", "1")},
    {NEIGHBOURS, "neighbours", ON_MAILBOX | ON_SYSTEM, 5,
     ATTACH("shared", "{2|1|4}", "{reject|spill}", "1")},
    {TWO_GUESTS, "two-guests", ON_MAILBOX | ON_SYSTEM, 5,
     ATTACH("shared", "{2|1|4}", "{reject|spill}", "1") ";" BESIDE("far")},
    {ONLOOKERS, "onlookers", ON_MAILBOX | ON_SYSTEM, 3,
     ATTACH("shared", "{2|4|1}", "{reject|spill}", "1")},
    {REATTACH, "reattach", ON_MAILBOX | ON_SYSTEM, 4,
     ATTACH("shared", "{1|2}", "{reject|spill}", "1")},
    {PARKED, "parked", ON_SYSTEM, 5,
     MEMORY("{reserve|reserve_rw}", "1", "2", "static", "0") ";" ATTACH("shared", "{2|1}",
                                                                        "{reject|spill}", "1")},
};

enum { ANYBODY, GUEST };
#define WAIT_ARGUMENTS "expected:0 timeout_ns:-1"
/* A number of each width, also where it does not begin a word of 8. */
#define NUMBER "at:[8|8|8|12|14|12|10|14] offset:0 width:[8|8|8|4|2|4|2|2]"
#define ONES "18446744073709551615"

static const struct calls {
    unsigned kinds; /* of objects that it may meet others on */
    unsigned weight;
    bool guest; /* one thread's alone */
    const char *name;
    const char *text;
} calls[] = {
    /* words that threads wait on; 144 and 364 are in the bucket of 8 */
    {WAITS | VALUES | BUCKET | CANCEL | HANDLES, 8, ANYBODY, "wait",
     "memory_wait32 m0 at:8 " WAIT_ARGUMENTS},
    {WAITS | CANCEL | HANDLES, 3, ANYBODY, "wait-short",
     "memory_wait32 m0 at:8 expected:0 timeout_ns:{10|10|0}"},
    {WAITS, 1, ANYBODY, "wait-again",
     "memory_wait32 m0 at:8 expected:0 timeout_ns:10;memory_wait32 m0 at:8 " WAIT_ARGUMENTS},
    /* ... 0 and 220 in the first and the last one */
    {WAITS, 2, ANYBODY, "wait-at-ends", "memory_wait32 m0 at:{220|0} " WAIT_ARGUMENTS},
    {WAITS | VALUES | BUCKET | CANCEL, 6, ANYBODY, "notify",
     "memory_notify m0 at:8 count:{1|2|4294967295}"},
    {WAITS | BUCKET | CANCEL, 4, ANYBODY, "disable", "memory_disable_atomics m0"},
    {WAITS, 2, ANYBODY, "notify-wait",
     "memory_notify m0 at:8 count:1;memory_wait32 m0 at:{0|220} expected:0 timeout_ns:10"},
    {WAITS, 4, ANYBODY, "disable-notify",
     "memory_disable_atomics m0;memory_notify m0 at:8 count:1"},
    {WAITS | VALUES, 3, ANYBODY, "disable-store",
     "memory_disable_atomics m0;memory_atomic_store m0 at:8 offset:0 width:4 value:1"},
    {VALUES, 4, ANYBODY, "wait64", "memory_wait64 m0 at:8 expected:{0|1|4294967296} timeout_ns:-1"},
    {VALUES, 3, ANYBODY, "store", "memory_atomic_store m0 at:{8|12} offset:0 width:4 value:1"},
    {WAITS | VALUES | CANCEL, 4, ANYBODY, "store-notify",
     "memory_atomic_store m0 at:8 offset:0 width:{4|8} value:1;memory_notify m0 at:8 count:1"},
    {VALUES, 2, ANYBODY, "add", "memory_atomic_rmw m0 kind:add at:8 offset:0 width:4 value:1"},
    {VALUES, 2, ANYBODY, "cmpxchg",
     "memory_atomic_cmpxchg m0 at:8 offset:0 width:4 expected:{0|1} value:{1|2}"},
    {VALUES, 2, ANYBODY, "load", "memory_atomic_load m0 at:{8|12} offset:0 width:4"},
    {VALUES, 2, ANYBODY, "store-load",
     "memory_atomic_store m0 at:{8|16} offset:0 width:4 value:1;memory_atomic_load m0 at:{16|8} "
     "offset:0 width:4"},
    {VALUES, 3, ANYBODY, "store-wait",
     "memory_atomic_store m0 at:{8|16} offset:0 width:4 value:1;memory_wait32 m0 at:{16|8} "
     "expected:0 timeout_ns:0"},
    {BUCKET, 8, ANYBODY, "wait-other",
     "memory_wait32 m0 at:{144|364} expected:0 timeout_ns:{-1|-1|10}"},
    {BUCKET, 6, ANYBODY, "notify-other", "memory_notify m0 at:{144|364} count:1"},
    {CANCEL, 8, ANYBODY, "wait-cancellable", "memory_wait_cancellable m0 at:8 " WAIT_ARGUMENTS},
    {CANCEL, 4, ANYBODY, "wait-by",
     "memory_wait_by m0 at:{8|12} expected:0 timeout_ns:{-1|10} thread:{0|1}"},
    {CANCEL, 8, ANYBODY, "cancel", "memory_cancel thread:{0|1|2}"},
    {CANCEL_ONE, 8, ANYBODY, "wait", "memory_wait_by m0 at:8 expected:0 timeout_ns:-1 thread:0"},
    {CANCEL_ONE, 6, ANYBODY, "wait-short",
     "memory_wait_by m0 at:{8|12} expected:{0|0|1} timeout_ns:10 thread:0"},
    {CANCEL_ONE, 3, ANYBODY, "wait-twice",
     "memory_wait_by m0 at:8 expected:{0|1} timeout_ns:10 thread:0;memory_wait_by m0 at:8 "
     "expected:0 timeout_ns:-1 thread:0"},
    {CANCEL_ONE, 10, ANYBODY, "cancel", "memory_cancel thread:0"},
    {CANCEL_ONE, 3, ANYBODY, "notify", "memory_notify m0 at:8 count:1"},
    {HANDLES, 8, ANYBODY, "destroy", "memory_destroy m0"},
    {HANDLES, 4, ANYBODY, "clone-destroy", "memory_clone m0 to:m1;memory_destroy m{0|1}"},
    {HANDLES | SIZE, 3, ANYBODY, "pin",
     "memory_pin m0 at:{0|8} count:{8|0};{memory_destroy m0|memory_clone m0 to:m2};memory_unpin "
     "m0"},
    {EDGE, 1, ANYBODY, "pin-beyond", "memory_pin m0 at:65532 count:{8|4}"},
    {HANDLES, 2, ANYBODY, "wait-clone",
     "memory_clone m0 to:m1;memory_wait32 m1 at:8 expected:0 "
     "timeout_ns:{-1|10}"},
    /* a memory that grows, and its copies */
    {SIZE | LIMIT | SHORT | EDGE, 8, ANYBODY, "grow", "memory_grow m0 pages:1"},
    {SIZE | LIMIT | SHORT, 2, ANYBODY, "grow-two", "memory_grow m0 pages:2"},
    {SIZE, 1, ANYBODY, "grow-none", "memory_grow m0 pages:0"},
    {SIZE | LIMIT | BYTES, 4, ANYBODY, "copy", "memory_copy m0 to:m1"},
    {SIZE | LIMIT, 2, ANYBODY, "copy-grow", "memory_copy m0 to:m1;memory_grow m1 pages:1"},
    {SIZE, 2, ANYBODY, "clone", "memory_clone m0 to:m1;memory_destroy m{0|1}"},
    {SIZE | EDGE | OWNERS, 3, ANYBODY, "owner-last", "memory_owner_of m0 at:{end-1|end|0}"},
    {EDGE, 3, ANYBODY, "load-last", "memory_load m0 at:{65536|131064} offset:0 width:{1|8}"},
    {EDGE, 2, ANYBODY, "store-last", "memory_store m0 at:{65536|131064} offset:0 width:8 value:1"},
    {EDGE, 2, ANYBODY, "fill-across", "memory_bulk_fill m0 at:65532 value:1 count:8"},
    {EDGE, 1, ANYBODY, "read-across", "memory_read m0 at:65532 count:8"},
    {EDGE, 1, ANYBODY, "initialise-across", "memory_initialise m0 at:65532 count:8"},
    {EDGE, 1, ANYBODY, "wait-beyond", "memory_wait32 m0 at:65536 expected:{1|0} timeout_ns:10"},
    {EDGE, 1, ANYBODY, "notify-beyond", "memory_notify m0 at:65536 count:1"},
    {EDGE, 1, ANYBODY, "load-beyond", "memory_atomic_load m0 at:65536 offset:0 width:4"},
    {EDGE, 1, ANYBODY, "add-beyond",
     "memory_atomic_rmw m0 kind:add at:65536 offset:0 width:4 value:1"},
    /* bytes */
    {BYTES, 12, ANYBODY, "store", "memory_store m0 " NUMBER " value:{" ONES "|72623859790382856}"},
    {BYTES, 12, ANYBODY, "load", "memory_load m0 " NUMBER},
    {BYTES, 1, ANYBODY, "store-half", "memory_store m0 at:12 offset:0 width:4 value:" ONES},
    {BYTES, 1, ANYBODY, "load-half", "memory_load m0 at:12 offset:0 width:4"},
    {BYTES, 1, ANYBODY, "store-quarter",
     "memory_store m0 at:{14|10|8} offset:0 width:2 value:" ONES},
    {BYTES, 1, ANYBODY, "load-quarter", "memory_load m0 at:{14|10|8} offset:0 width:2"},
    {BYTES | ATOMS, 4, ANYBODY, "atomic-store", "memory_atomic_store m0 " NUMBER " value:" ONES},
    {BYTES | ATOMS, 4, ANYBODY, "atomic-load", "memory_atomic_load m0 " NUMBER},
    {BYTES | ATOMS, 2, ANYBODY, "add",
     "memory_atomic_rmw m0 kind:{add|xchg|sub|and|or|xor} " NUMBER " value:{1|255|" ONES "}"},
    {ATOMS, 6, ANYBODY, "update",
     "memory_atomic_rmw m0 kind:{and|or|xor|sub|xchg|add} at:8 offset:0 width:{8|4|2|1} "
     "value:{1|254}"},
    {BYTES | ATOMS, 3, ANYBODY, "cmpxchg",
     "memory_atomic_cmpxchg m0 " NUMBER " expected:{0|0|1} value:{1|2|" ONES "}"},
    {BYTES, 2, ANYBODY, "store-load",
     "memory_atomic_store m0 at:{8|16} offset:0 width:4 value:1;memory_atomic_load m0 at:{16|8} "
     "offset:0 width:4"},
    {BYTES, 2, ANYBODY, "copy-bytes", "memory_bulk_copy m0 to:16 from:8 count:{8|12}"},
    {BYTES, 1, ANYBODY, "fill", "memory_bulk_fill m0 at:8 value:255 count:8"},
    {BYTES, 1, ANYBODY, "read", "memory_read m0 at:8 count:{8|9}"},
    {BYTES, 1, ANYBODY, "load-odd", "memory_load m0 at:9 offset:0 width:8"},
    {BYTES, 1, ANYBODY, "store-odd", "memory_store m0 at:9 offset:0 width:8 value:1"},
    /* memories that come and go */
    {OWNERS, 8, ANYBODY, "tenant", "memory_tenant pages:{1|0|2|4|5} count:{1|0}"},
    {OWNERS, 1, ANYBODY, "tenant-of-many", "memory_tenant pages:{512|513|514} count:{1|0}"},
    {OWNERS, 6, ANYBODY, "replace", "memory_tenant pages:{257|257|256|258} count:0"},
    {LIMIT | SHORT, 3, ANYBODY, "tenant", "memory_tenant pages:{1|0} count:0"},
    {OWNERS, 4, ANYBODY, "owner-of-tenant", "memory_owner_of_tenant byte:{3|2}"},
    {OWNERS, 4, ANYBODY, "owner-of-tenants",
     "memory_owner_of_tenant byte:{3|2};memory_owner_of_tenant byte:{3|2}"},
    /* ... of which another thread has a pin (8) or a copy (16) */
    {LODGERS, 6, ANYBODY, "pinned-move", "memory_tenant pages:{10|11} count:0"},
    {LODGERS, 4, ANYBODY, "pinned-reset", "memory_tenant pages:{40|44|42} count:0"},
    {LODGERS, 3, ANYBODY, "pinned-goes", "memory_tenant pages:{72|76|74|204} count:0"},
    {LODGERS, 1, ANYBODY, "pinned-copy", "memory_tenant pages:{24|26|28|88} count:0"}, /* costly */
    {LODGERS, 4, ANYBODY, "copied", "memory_tenant pages:{16|20|18|48|80|148} count:{0|1}"},
    {LODGERS | SLOTS | IMAGES, 2, ANYBODY, "owner-of-lodger", "memory_owner_of_tenant byte:{3|2}"},
    /* ... in a slot of a pool (4) that scans (1024), or made from an image (2048) */
    {SLOTS, 6, ANYBODY, "slot", "memory_tenant pages:{4|5|36} count:{1|0}"},
    {SLOTS, 6, ANYBODY, "slot-scanned", "memory_tenant pages:{1024|1025|1056} count:{1|0}"},
    {IMAGES, 4, ANYBODY, "from-image", "memory_tenant pages:{2048|2080} count:{0|1}"},
    {IMAGES, 3, ANYBODY, "image-copied", "memory_tenant pages:{2064|2065|2112} count:{0|1}"},
    {IMAGES, 1, ANYBODY, "image-pinned", "memory_tenant pages:2073 count:0"}, /* costly */
    /* a mailbox's host */
    {MAILBOX & ~LOST, 10, ANYBODY, "enqueue", "mailbox_enqueue count:1"},
    {LOST, 4, ANYBODY, "enqueue", "mailbox_enqueue count:1"},
    {RING | SPILL | TWO_GUESTS, 3, ANYBODY, "enqueue-two", "mailbox_enqueue count:{2|3}"},
    {RING, 1, ANYBODY, "enqueue-many", "mailbox_enqueue count:5"},
    {LONG, 12, ANYBODY, "enqueue-six", "mailbox_enqueue count:{6|5}"},
    {SPILL | HELD | SIGNAL | HOSTILE | PARKED, 5, ANYBODY, "flush", "mailbox_flush"},
    {SPILL, 2, ANYBODY, "flush-often", "mailbox_flush;mailbox_flush"},
    {MAILBOX & ~PARKED, 4, ANYBODY, "close", "mailbox_close"},
    {RING | SPILL, 1, ANYBODY, "close-enqueue", "mailbox_close;mailbox_enqueue count:1"},
    {SIGNAL | RING, 2, ANYBODY, "is-signalled", "mailbox_is_signalled"},
    {SIGNAL | HELD | LOST, 8, ANYBODY, "wait-for-signal", "mailbox_wait_for_signal timeout_ns:-1"},
    {SIGNAL, 3, ANYBODY, "wait-for-signal-short", "mailbox_wait_for_signal timeout_ns:10"},
    {HELD | SPILL | PARKED | LONG, 3, ANYBODY, "hold", "mailbox_hold;mailbox_unhold"},
    {HELD | PARKED, 3, ANYBODY, "move", "mailbox_hold;mailbox_move pages:1;mailbox_unhold"},
    {HELD | PARKED, 2, ANYBODY, "grow", "mailbox_grow pages:1"},
    {WAKERS, 6, ANYBODY, "waker", "waker_create w0 id:77;waker_wake w0;waker_drop w0"},
    {WAKERS, 4, ANYBODY, "waker-clone",
     "waker_create w0 id:77;waker_clone w0 to:w1;waker_drop w0;waker_wake w1;waker_drop w1"},
    {WAKERS, 4, ANYBODY, "wake-drop", "waker_wake w0;waker_drop w0"},
    {WAKERS, 2, ANYBODY, "clone-drop", "waker_clone w0 to:w1;waker_drop w0;waker_drop w1"},
    {WAKERS | REATTACH, 5, ANYBODY, "release", "mailbox_release"},
    {STOPS, 8, ANYBODY, "stop", "mailbox_enqueue_stops step:{4|2|6|8|10|12|16}"},
    {HOSTILE, 8, ANYBODY, "scribble",
     "guest_scribble word:{head|flag|tail|slot} slot:0 value:{1|2|0|4294967295}"},
    {NEIGHBOURS, 10, ANYBODY, "beside", BESIDE("{far|far|far|far|next|before}")},
    {TWO_GUESTS, 8, ANYBODY, "enqueue-second", "mailbox_enqueue_second count:1"},
    {NEIGHBOURS | TWO_GUESTS | ONLOOKERS, 3, ANYBODY, "wait-flags-bucket",
     "memory_wait32 m0 at:{96|452|808} expected:0 timeout_ns:10"},
    {REATTACH, 8, ANYBODY, "attach", BESIDE("{same|over|under|inside}")},
    {REATTACH, 10, ANYBODY, "release-attach",
     "mailbox_release;" BESIDE("{same|same|over|under|inside|next}")},
    {PARKED, 5, ANYBODY, "wait", "memory_wait32 m0 at:{96|452|808} expected:0 timeout_ns:{10|-1}"},
    {PARKED, 4, ANYBODY, "notify", "memory_notify m0 at:{96|452|808} count:1"},
    {PARKED, 2, ANYBODY, "disable", "memory_disable_atomics m0"},
    {PARKED, 2, ANYBODY, "grow-memory", "memory_grow m0 pages:1"},
    {PARKED, 1, ANYBODY, "copy", "memory_copy m0 to:m1"},
    {PARKED, 2, ANYBODY, "close", "mailbox_close"},
    {PARKED | ONLOOKERS, 2, ANYBODY, "onlooker", "guest_park timeout_ns:-1 meanwhile:close"},
    /* its guest */
    {MAILBOX & ~LOST, 4, GUEST, "drain", "guest_drain"},
    {MAILBOX & ~LOST, 6, GUEST, "park", "guest_park timeout_ns:-1 meanwhile:nothing;guest_drain"},
    {RING | SPILL | HOSTILE, 3, GUEST, "drains", "guest_drain;guest_drain"},
    {LONG | ONLOOKERS, 12, GUEST, "drains-thrice", "guest_drain;guest_drain;guest_drain"},
    {RING | SPILL | TWO_GUESTS | PARKED, 2, GUEST, "park-again",
     "guest_park timeout_ns:-1 meanwhile:nothing;guest_drain;guest_park timeout_ns:-1 "
     "meanwhile:nothing"},
    {RING | SPILL | PARKED, 1, GUEST, "park-short",
     "guest_park timeout_ns:10 meanwhile:nothing;guest_drain"},
    {HELD | LOST, 8, GUEST, "lose", "guest_drain;mailbox_hold;mailbox_lose;mailbox_unhold"},
    {MAILBOX & ~LOST, 2, GUEST, "park-ask",
     "guest_park timeout_ns:-1 meanwhile:nothing;{mailbox_is_signalled|mailbox_enqueue count:1}"},
    {NEAR, 8, GUEST, "drain-grow", "guest_drain;mailbox_grow pages:1"},
    {HELD, 4, GUEST, "drain-move", "guest_drain;mailbox_hold;mailbox_move pages:1;mailbox_unhold"},
    {RING | SIGNAL, 1, GUEST, "rounds", "mailbox_rounds count:2"},
    {ONLOOKERS, 10, GUEST, "rounds-thrice", "mailbox_rounds count:3"},
};

/* ---- Text -------------------------------------------------------------------------------------
 */

/* A program's text as it grows. chance NULL: always the first alternative. */
struct draft {
    struct chance *chance;
    unsigned same; /* which alternative of [a|b|c] */
    char text[TEXT_BYTES];
    size_t length;
};

static void put(struct draft *d, const char *from, size_t count) {
    if (d->length + count < sizeof d->text) {
        memcpy(d->text + d->length, from, count);
        d->length += count;
        d->text[d->length] = '\0';
    }
}

/* Where the alternative ends: at its | or bracket. */
static const char *alternative_end(const char *from) {
    return from + strcspn(from, "|}]");
}

/* Puts one of {a|b|c} or [a|b|c]; returns what follows. */
static const char *put_alternative(struct draft *d, const char *open) {
    unsigned count = 1;
    const char *close = open + strcspn(open, "}]");
    for (const char *at = open; at < close; at++) {
        count += *at == '|';
    }
    unsigned which = d->same % count;
    if (*open == '{') {
        which = d->chance == NULL ? 0 : below(d->chance, count);
    }
    const char *from = open + 1;
    while (which-- > 0) {
        from = alternative_end(from) + 1;
    }
    put(d, from, (size_t)(alternative_end(from) - from));
    return close + 1;
}

/* Puts the operations of a row, each a line of that thread. */
static void put_row(struct draft *d, const char *row, unsigned thread) {
    static char plain[TEXT_BYTES];
    struct draft chosen = {.chance = d->chance, .same = d->same};
    for (const char *at = row; *at != '\0';) {
        if (*at == '{' || *at == '[') {
            at = put_alternative(&chosen, at);
        } else {
            put(&chosen, at++, 1);
        }
    }
    memcpy(plain, chosen.text, chosen.length + 1);
    for (char *line = strtok(plain, ";"); line != NULL; line = strtok(NULL, ";")) {
        char head[] = "T0 ";
        head[1] = (char)('0' + thread);
        put(d, head, strncmp(line, "fault ", strlen("fault ")) == 0 ? 0 : strlen(head));
        put(d, line, strlen(line));
        put(d, "\n", 1);
    }
}

static void begin(struct draft *d, enum op_target target, unsigned schedules) {
    char line[128];
    int count = snprintf(line, sizeof line, "pagebox-ops 1 %s\nT0 explore schedules:%u\n",
                         op_target_name(target), schedules);
    put(d, line, (size_t)count);
}

static bool finish(const struct draft *d, struct program *program) {
    unsigned line;
    const char *why;
    return op_parse(d->text, d->length, program, &line, &why);
}

/* ---- Drawing ----------------------------------------------------------------------------------
 */

static const struct object *draw_object(struct chance *c, enum op_target target) {
    unsigned sum = 0;
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        sum += objects[i].targets >> target & 1 ? objects[i].weight : 0;
    }
    unsigned at = below(c, sum);
    for (size_t i = 0; sum > 0 && i < COUNT_OF(objects); i++) {
        const unsigned weight = objects[i].targets >> target & 1 ? objects[i].weight : 0;
        if (at < weight) {
            return &objects[i];
        }
        at -= weight;
    }
    return NULL;
}

/* Whether the target has all operations of the row; asked once of each. */
static bool is_of_target(const struct calls *row, enum op_target target) {
    enum { UNKNOWN, YES, NO };
    static uint8_t known[COUNT_OF(calls)][sizeof(unsigned) * 8];
    static struct program parsed;
    uint8_t *answer = &known[row - calls][target];
    if (*answer == UNKNOWN) {
        struct draft d = {.chance = NULL};
        begin(&d, target, 1);
        put_row(&d, row->text, 0);
        *answer = finish(&d, &parsed) ? YES : NO;
    }
    return *answer == YES;
}

static bool fits(const struct calls *row, const struct object *object, bool guest,
                 enum op_target target) {
    return (row->kinds & (unsigned)object->kind) != 0 && row->guest == guest &&
           is_of_target(row, target);
}

static const struct calls *draw_calls(struct chance *c, const struct object *object, bool guest,
                                      enum op_target target) {
    unsigned sum = 0;
    const struct calls *drawn = NULL;
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        if (fits(&calls[i], object, guest, target)) {
            sum += calls[i].weight;
            drawn = below(c, sum) < calls[i].weight ? &calls[i] : drawn;
        }
    }
    return drawn;
}

static void put_thread(struct draft *d, const struct object *object, bool guest,
                       enum op_target target, unsigned thread) {
    const unsigned count = 1 + (unsigned)one_in(d->chance, 3);
    for (unsigned i = 0; i < count; i++) {
        const struct calls *row = draw_calls(d->chance, object, guest, target);
        if (row != NULL) {
            put_row(d, row->text, thread);
        }
    }
}

/* The thread beside the others that some objects have: the second mailbox's guest, an onlooker. */
static void put_one_more(struct draft *d, const struct object *object, unsigned thread) {
    if (object->kind == TWO_GUESTS) {
        put_row(d, "guest_park_second timeout_ns:-1", thread);
    } else if (object->kind == ONLOOKERS) {
        put_row(d, "guest_park timeout_ns:-1 meanwhile:close", thread);
    }
}

bool pairs_draw(enum op_target target, uint64_t seed, struct program *program) {
    struct chance c = {seed};
    struct draft d = {.chance = &c, .same = (unsigned)(next(&c) >> 32)};
    const struct object *object = draw_object(&c, target);
    if (object == NULL) {
        return false;
    }
    begin(&d, target, SCHEDULES_DRAWN);
    put_row(&d, object->set_up, 0);
    put_row(&d, "interleave", 0);
    unsigned threads = 2 + (unsigned)!one_in(&c, 3), thread = 0;
    put_one_more(&d, object, THREADS_MOST);
    if ((object->kind & MAILBOX) &&
        ((object->kind & (NEIGHBOURS | LOST | NEAR | LONG | ONLOOKERS)) || !one_in(&c, 4))) {
        put_thread(&d, object, true, target, thread++);
    }
    while (thread < threads) {
        put_thread(&d, object, false, target, thread++);
    }
    char number[32];
    int length =
        snprintf(number, sizeof number, "choices ff%06x\n", (unsigned)(next(&c) & 0xFFFFFF));
    put(&d, number, (size_t)length);
    return finish(&d, program);
}

/* ---- All pairs --------------------------------------------------------------------------------
 */

/* The first object of each kind stands for it. */
static bool is_first(const struct object *object) {
    for (const struct object *o = objects; o < object; o++) {
        if (o->kind == object->kind) {
            return false;
        }
    }
    return true;
}

static enum op_target target_of(const struct object *object) {
    unsigned target = 0;
    while (!(object->targets >> target & 1)) {
        target++;
    }
    return (enum op_target)target;
}

static bool may_meet(const struct calls *a, const struct calls *b, const struct object *object) {
    const enum op_target target = target_of(object);
    const bool one_guest = !(a->guest && b->guest);
    return one_guest && fits(a, object, a->guest, target) && fits(b, object, b->guest, target);
}

static bool make_pair(const struct object *object, const struct calls *a, const struct calls *b,
                      struct program *program, char name[PAIRS_NAME_BYTES]) {
    struct draft d = {.chance = NULL};
    snprintf(name, PAIRS_NAME_BYTES, "pairs-%s-%s+%s", object->name, a->name, b->name);
    if (program == NULL) {
        return true;
    }
    begin(&d, target_of(object), 1);
    put_row(&d, object->set_up, 0);
    put_row(&d, "interleave", 0);
    put_row(&d, a->text, 0);
    put_row(&d, b->text, 1);
    return finish(&d, program);
}

bool pairs_nth(unsigned n, struct program *program, char name[PAIRS_NAME_BYTES]) {
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        for (size_t a = 0; is_first(&objects[i]) && a < COUNT_OF(calls); a++) {
            for (size_t b = a; b < COUNT_OF(calls); b++) {
                if (may_meet(&calls[a], &calls[b], &objects[i]) && n-- == 0) {
                    return make_pair(&objects[i], &calls[a], &calls[b], program, name);
                }
            }
        }
    }
    return false;
}
