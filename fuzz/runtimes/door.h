/* door.h: two ways ("doors") to send a whole program to a runtime and get its answers. inside.c
 * calls a library in this process, pipe.c talks to another process. Both take the same requests,
 * which README.md describes as lines of text. */
#ifndef DOOR_H
#define DOOR_H

#include "guest.h"

enum request_what {
    REQUEST_MAKE =
        1,         /* slot, min, max (or 4294967295), shared, how: an instance of module `slot` */
    REQUEST_DROP,  /* slot */
    REQUEST_AGAIN, /* slot, of: another instance, of module `slot`, on the memory of `of` */
    REQUEST_CALL,  /* slot, function, five operands; the answer is the function's result */
    REQUEST_READ,  /* slot, at low, at high, count, digest: bytes by the host */
    REQUEST_GROW,  /* slot, pages: by the host */
    REQUEST_BYTES, /* slot: size in bytes, by the host */
    REQUEST_WRITE, /* slot, at low, at high, count: the pattern's first bytes, by the host */
    REQUEST_SEGMENTS, /* slot, module: instantiates it on the slot's memory, for its active segments
                       */
    REQUESTS
};
enum { REQUEST_WORDS = 8 }; /* what, slot, and up to six of the above */

struct answer {
    enum subject_status status;
    uint64_t value;
    const uint8_t *bytes; /* of a READ with a different digest; as many bytes as requested */
};

struct request {
    uint32_t word[REQUEST_WORDS];
    struct guest_function function; /* of a CALL */
    const char *rule;               /* the rule that a crash in it breaks, "R18" */
    struct answer foretold, given;
    unsigned traps; /* 1 << status of each possible trap: any of them may be reported */
};

/* What a runtime can do. */
struct door_features {
    bool threads; /* shared memories, atomics, wait and notify */
    bool no_wait; /* except wait and notify */
    bool again;   /* several instances on one memory */
    bool imports; /* memories made by the host */
    bool second;  /* several memories in a module */
    bool wide;    /* memories with 64-bit addresses */
    bool simd;
    bool host_grow;        /* the host can grow too */
    bool names;            /* distinguishes kinds of traps */
    uint32_t costly_pages; /* creation or growth above this many pages takes seconds; 0: never */
    uint32_t costly_shared_pages; /* the same for shared memories */
    char name[96];                /* and version */
};

enum played { PLAYED, PLAYED_DIED, PLAYED_HUNG, PLAYED_EXITED, PLAYED_NONSENSE };

struct play {
    const struct guest_bytes *const *module; /* by number */
    unsigned modules;
    const struct request *request;
    unsigned requests;
    struct answer *answer; /* as many */
    bool stepwise;         /* each answer is printed before the next request is begun */
    /* ---- results ---- */
    unsigned answered; /* for PLAYED_DIED and the others: how many requests had an answer */
    int differs;       /* the request that another tier or repetition answers differently, or -1 */
    struct answer other; /* its answer */
    char words[512];     /* for people: the tier that differs, or the runtime's last output */
};

/* Exported by the subject file of a door. */
struct door {
    /* False after printing what is wrong on standard error. */
    bool (*open)(struct door_features *features);
    enum played (*play)(struct play *play);
    /* Sets *rule to the rule that a crash would break now, while play runs; may be NULL. */
    const char *(*now)(void);
    /* Command lines that run `file` in the runtime, one per tier, and how often to repeat each. */
    const char *(*commands)(const char *file, unsigned *repeat);
};
extern const struct door door;

/* README.md defines it. A single changed word always changes it. Four independent lanes, because a
 * multiplication has to wait only for the previous one in its own lane. */
enum { DIGEST_LANES = 4 };
uint32_t door_digest(const uint8_t *bytes, uint32_t count);

#endif
