/* door.h: two ways ("doors") to send a whole program to a runtime and get its answers.
 *
 * inside.c calls a library in this process, pipe.c talks to another process. Both play the same
 * requests; README.md describes them as lines of text. */
#ifndef DOOR_H
#define DOOR_H

#include "guest.h"

enum request_what {
    REQUEST_MAKE =
        1,         /* slot, min, max (or 4294967295), shared, how: an instance of module `slot` */
    REQUEST_DROP,  /* slot */
    REQUEST_AGAIN, /* slot, of: another instance, of module `slot`, on the memory of `of` */
    REQUEST_CALL,  /* slot, function, five operands: the function's result */
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
    const uint8_t *bytes; /* of a READ whose digest was another; as many as it asked for */
};

struct request {
    uint32_t word[REQUEST_WORDS];
    struct guest_function function; /* of a CALL */
    const char *rule;               /* that a crash inside of it breaks, "R18" */
    struct answer foretold, given;
    unsigned traps; /* 1 << status of all that is wrong with it at once: any of them may be told */
};

/* What a runtime can do. */
struct door_features {
    bool threads; /* shared memories, atomics, wait and notify */
    bool no_wait; /* but for wait and notify */
    bool again;   /* several instances on one memory */
    bool imports; /* memories made by the host */
    bool second;  /* several memories in a module */
    bool wide;    /* memories with 64-bit addresses */
    bool simd;
    bool host_grow;        /* grows by the host, too */
    bool names;            /* tells one kind of trap from another */
    uint32_t costly_pages; /* above so many pages, creation or growth takes seconds; 0: never */
    uint32_t costly_shared_pages; /* the same of shared memories */
    char name[96];                /* and version */
};

enum played { PLAYED, PLAYED_DIED, PLAYED_HUNG, PLAYED_EXITED, PLAYED_NONSENSE };

struct play {
    const struct guest_bytes *const *module; /* by number */
    unsigned modules;
    const struct request *request;
    unsigned requests;
    struct answer *answer; /* as many */
    bool stepwise;         /* each answer is out before the next request is begun */
    /* ---- what became of it ---- */
    unsigned answered;   /* of PLAYED_DIED and the others: so many requests had an answer */
    int differs;         /* the request that another tier or repetition answers otherwise, or -1 */
    struct answer other; /* its answer */
    char words[512];     /* for people: which tier differs, or the runtime's last output */
};

/* What the subject's file of a door exports. */
struct door {
    /* False after saying what is wrong on standard error. */
    bool (*open)(struct door_features *features);
    enum played (*play)(struct play *play);
    /* Sets *rule to what a crash now would break while play runs; may be NULL. */
    const char *(*now)(void);
    /* Command lines that run `file` in the runtime, one for each tier, and how often to repeat it.
     */
    const char *(*commands)(const char *file, unsigned *repeat);
};
extern const struct door door;

/* README.md says how it is computed. A single changed word always changes it. Four lanes, since a
 * multiplication waits for the one before it in its lane alone. */
enum { DIGEST_LANES = 4 };
uint32_t door_digest(const uint8_t *bytes, uint32_t count);

#endif
