/* input.c: reads programs from files, with a message for a file that is none. */
#include "input.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool complain(const char *tool, const char *path, const char *why) {
    fprintf(stderr, "%s: %s: %s\n", tool, path, why);
    return false;
}

/* Reads in growing steps: the size that a pipe or a growing file states is not its size. */
static uint8_t *stream_read(FILE *file, size_t *bytes) {
    size_t room = 4096;
    uint8_t *data = malloc(room);
    *bytes = 0;
    while (data != NULL) {
        *bytes += fread(data + *bytes, 1, room - *bytes, file);
        if (*bytes < room || room > INPUT_BYTES_MAX) {
            return data;
        }
        room *= 4;
        uint8_t *more = realloc(data, room);
        if (more == NULL) {
            free(data);
        }
        data = more;
    }
    return NULL;
}

static uint8_t *file_read(const char *tool, const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        complain(tool, path, strerror(errno));
        return NULL;
    }
    struct stat state;
    if (fstat(fileno(file), &state) == 0 && S_ISDIR(state.st_mode)) {
        complain(tool, path, "is a folder: name one input in it");
        fclose(file);
        return NULL;
    }
    uint8_t *data = stream_read(file, bytes);
    if (data == NULL || ferror(file) || *bytes > INPUT_BYTES_MAX) {
        complain(tool, path,
                 data == NULL   ? "no memory to read it"
                 : ferror(file) ? "cannot be read"
                                : "larger than 16 MiB: not an input of these targets");
        free(data);
        data = NULL;
    }
    fclose(file);
    return data;
}

/* The target whose name is a folder of the path. */
static bool target_of_path(const char *path, enum op_target *target) {
    char name[PATH_MAX];
    snprintf(name, sizeof name, "%s", path);
    bool any = false;
    char *rest = name;
    for (char *part = strtok_r(name, "/", &rest); part != NULL; part = strtok_r(NULL, "/", &rest)) {
        any |= op_target_by_name(part, target);
    }
    return any;
}

static bool parse_bytes(const char *tool, const char *path, const enum op_target *given,
                        const uint8_t *data, size_t bytes, struct program *program, bool *cut) {
    enum op_target target = given != NULL ? *given : TARGET_memory_fuzzer;
    char full[PATH_MAX];
    const char *known = realpath(path, full);
    if (given == NULL && !target_of_path(known != NULL ? known : path, &target)) {
        return complain(tool, path,
                        "bytes, and no folder above is named after a target: say -t "
                        "memory_fuzzer or -t mailbox_fuzzer");
    }
    bool whole = op_decode(target, data, bytes, program);
    if (cut != NULL) {
        *cut = !whole;
    }
    return true;
}

static bool parse(const char *tool, const char *path, const enum op_target *given,
                  const uint8_t *data, size_t bytes, struct program *program, bool *cut) {
    unsigned line;
    const char *why;
    char message[256];
    if (!op_is_text(data, bytes)) {
        return parse_bytes(tool, path, given, data, bytes, program, cut);
    }
    if (!op_parse((const char *)data, bytes, program, &line, &why)) {
        snprintf(message, sizeof message, "line %u: %s", line, why);
        return complain(tool, path, message);
    }
    return true;
}

bool input_read(const char *tool, const char *path, const enum op_target *given,
                struct program *program, bool *cut) {
    size_t bytes;
    uint8_t *data = file_read(tool, path, &bytes);
    if (cut != NULL) {
        *cut = false;
    }
    bool good = data != NULL && parse(tool, path, given, data, bytes, program, cut);
    free(data);
    return good;
}
