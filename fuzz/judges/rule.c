/* rule.c: rules switched off by name. See rule.h. */
#include "rule.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { OFF_MAX = 64, WORD_BYTES = 64, RULE_LAST = 45 };

static struct {
    char word[WORD_BYTES];
    const char *reason;
} off[OFF_MAX];
static unsigned offs;

/* R, a number from 1 to RULE_LAST, then perhaps words of small letters and digits after a dash
 * each. */
static bool is_name(const char *word) {
    char *end = NULL;
    if (word[0] != 'R' || !isdigit((unsigned char)word[1])) {
        return false;
    }
    unsigned long number = strtoul(word + 1, &end, 10);
    return number >= 1 && number <= RULE_LAST && (*end == '\0' || *end == '-') &&
           strspn(end, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(end) &&
           strstr(end, "--") == NULL && (*end == '\0' || end[strlen(end) - 1] != '-');
}

static bool add(const char *word, const char *reason) {
    if (!is_name(word) || strlen(word) >= WORD_BYTES || offs == OFF_MAX) {
        fprintf(stderr,
                "rules off: '%s' is no rule's name, or one too many: R1 to R45, or what a finding "
                "is called, R7-grow-zero; at most %u, with commas between\n",
                word, (unsigned)OFF_MAX);
        return false;
    }
    snprintf(off[offs].word, WORD_BYTES, "%s", word);
    off[offs].reason = reason;
    offs++;
    return true;
}

bool rules_choose(const struct subject *subject) {
    offs = 0;
    const struct subject_exemption *not = subject->not_promised;
    for (; not != NULL && not ->rule != NULL; not ++) {
        if (!add(not ->rule, not ->reason != NULL ? not ->reason : "no reason given")) {
            return false;
        }
    }
    const char *given = getenv("PAGEBOX_RULES_OFF");
    char words[OFF_MAX * WORD_BYTES];
    char *rest = words;
    snprintf(words, sizeof words, "%s", given == NULL ? "" : given);
    for (const char *word; (word = strtok_r(rest, ", ", &rest)) != NULL;) {
        if (!add(word, "PAGEBOX_RULES_OFF")) {
            return false;
        }
    }
    return true;
}

bool rule_is_on(const char *name) {
    for (unsigned i = 0; i < offs; i++) {
        size_t length = strlen(off[i].word);
        if (strncmp(name, off[i].word, length) == 0 &&
            (name[length] == '\0' || name[length] == '-')) {
            return false;
        }
    }
    return true;
}

static char difference[256];

void rule_forget(void) {
    difference[0] = '\0';
}

const char *rule_broken(const char *name) {
    if (rule_is_on(name)) {
        return name;
    }
    rule_forget();
    return NULL;
}

/* ---- In words ---------------------------------------------------------------------------------
 */

const char *rule_differs(const char *name, const char *format, ...) {
    if (difference[0] == '\0') {
        va_list list;
        va_start(list, format);
        vsnprintf(difference, sizeof difference, format, list);
        va_end(list);
    }
    return name;
}

const char *rule_difference(void) {
    return difference;
}

/* A row of a table, "| R33 capacity | text | ..."; the number ends at a character that is no digit.
 */
void rule_print(FILE *to, const char *name) {
    const char *path = getenv("PAGEBOX_RULES");
    FILE *text = path == NULL || name[0] != 'R' ? NULL : fopen(path, "r");
    size_t digits = strspn(name + 1, "0123456789") + 1;
    char line[1024];
    while (text != NULL && fgets(line, sizeof line, text) != NULL) {
        if (strncmp(line, "| ", 2) == 0 && strncmp(line + 2, name, digits) == 0 &&
            !isdigit((unsigned char)line[2 + digits])) {
            char *title = strtok(line + 2, "|"), *says = strtok(NULL, "|");
            if (title != NULL && says != NULL) {
                title[strlen(title) - (title[strlen(title) - 1] == ' ')] = '\0';
                fprintf(to, "  rule %s:%s(%s)\n", title, says, path);
            }
            break;
        }
    }
    if (text != NULL) {
        fclose(text);
    }
}

void rules_print(FILE *to) {
    for (unsigned i = 0; i < offs; i++) {
        fprintf(to, "%s%s (%s)%s", i == 0 ? "rules off: " : ", ", off[i].word, off[i].reason,
                i + 1 == offs ? "\n" : "");
    }
}
