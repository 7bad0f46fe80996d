/* protocol.c: see protocol.h. */
#include "protocol.h"

#include <stdio.h>
#include <string.h>

/* ---- A program ------------------------------------------------------------------------------- */

static void text(struct guest_bytes *to, const char *words) {
    guest_bytes_add(to, words, strlen(words));
}

/* With a comma after each. */
static void numbers(struct guest_bytes *to, const uint32_t *value, unsigned count) {
    char digits[REQUEST_WORDS * 11];
    size_t at = sizeof digits;
    for (unsigned k = count; k > 0; k--) {
        uint32_t rest = value[k - 1];
        digits[--at] = ',';
        do {
            digits[--at] = (char)('0' + rest % 10);
            rest /= 10;
        } while (rest != 0);
    }
    guest_bytes_add(to, digits + at, sizeof digits - at);
}

static void hexadecimal(struct guest_bytes *to, const struct guest_bytes *from) {
    static const char hex[] = "0123456789abcdef";
    uint8_t *at = guest_bytes_room(to, 2 * from->count);
    for (size_t k = 0; k < from->count; k++) {
        *at++ = (uint8_t)hex[from->at[k] >> 4];
        *at++ = (uint8_t)hex[from->at[k] & 15];
    }
}

/* The repeat count comes first, with a fixed width; the rest is the same for all tiers. */
#define REPEAT_FORMAT "{\"repeat\":%10u"
enum { REPEAT_BYTES = 20 };

void protocol_repeat(struct guest_bytes *line, unsigned times) {
    char head[REPEAT_BYTES + 1];
    snprintf(head, sizeof head, REPEAT_FORMAT, times);
    memcpy(line->at, head, REPEAT_BYTES);
}

void protocol_program(struct guest_bytes *line, const struct play *p) {
    line->count = 0;
    (void)guest_bytes_room(line, REPEAT_BYTES);
    protocol_repeat(line, 1);
    text(line, p->stepwise ? ",\"step\":1,\"modules\":[" : ",\"modules\":[");
    for (unsigned i = 0; i < p->modules; i++) {
        text(line, i > 0 ? ",\"" : "\"");
        hexadecimal(line, p->module[i]);
        text(line, "\"");
    }
    text(line, "],\"ops\":[");
    for (unsigned i = 0; i < p->requests; i++) {
        numbers(line, p->request[i].word, REQUEST_WORDS);
    }
    line->count -= p->requests > 0; /* the last comma */
    text(line, "]}\n");
}

/* ---- Answers --------------------------------------------------------------------------------- */

/* How many bytes may follow a READ. A READ that is expected to trap asks for few. */
static uint32_t bytes_of(const struct request *r) {
    const uint32_t some = UINT32_C(1) << 20;
    if (r->word[0] != REQUEST_READ) {
        return 0;
    }
    return r->foretold.status == SUBJECT_OK || r->word[4] < some ? r->word[4] : some;
}

size_t protocol_answers_bytes_max(const struct request *request, unsigned requests) {
    enum { ANSWER = 32, REPETITION = 128 };
    size_t bytes = REPETITION;
    for (unsigned i = 0; i < requests; i++) {
        bytes += ANSWER + 2 * (size_t)bytes_of(&request[i]);
    }
    return bytes;
}

/* A 32-bit decimal number at *at, which is moved past it; false if there is none. */
static bool number_parse(const char **at, uint32_t *value) {
    uint64_t n = 0;
    const char *end = *at;
    while (*end >= '0' && *end <= '9' && n <= UINT32_MAX) {
        n = 10 * n + (uint64_t)(*end++ - '0');
    }
    const bool good = end > *at && n <= UINT32_MAX;
    *value = (uint32_t)n;
    *at = end;
    return good;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool bytes_parse(const char **at, uint8_t *to, uint32_t count) {
    for (uint32_t i = 0; i < count; i++, *at += 2) {
        const int high = digit((*at)[0]), low = high < 0 ? -1 : digit((*at)[1]);
        if (low < 0) {
            return false;
        }
        to[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

const char *protocol_answer(const char *at, const struct request *r, struct answer *a,
                            uint8_t **store) {
    uint32_t status, low = 0, high = 0;
    *a = (struct answer){.status = SUBJECT_SYSTEM};
    if (!number_parse(&at, &status) || status >= SUBJECT_STATUS_COUNT) {
        return NULL;
    }
    if (*at == ':' && (at++, !number_parse(&at, &low))) {
        return NULL;
    }
    if (*at == ':' && (at++, !number_parse(&at, &high))) {
        return NULL;
    }
    a->status = (enum subject_status)status;
    a->value = low | (uint64_t)high << 32;
    if (*at == '#') {
        at++;
        if (r->word[0] != REQUEST_READ || !bytes_parse(&at, *store, bytes_of(r))) {
            return NULL;
        }
        a->bytes = *store;
        *store += bytes_of(r);
    }
    if (*at != ' ' && *at != '\0') {
        return NULL;
    }
    while (*at == ' ') {
        at++;
    }
    return at;
}
