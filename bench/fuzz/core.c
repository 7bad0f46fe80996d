/* core.c: see core.h. */
#include "core.h"

#include "exec.h"
#include "load.h"
#include "op.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEEDS_MAX = 512, TEXT_BYTES_MAX = 1 << 16 };

static struct seed {
    enum op_target target;
    size_t bytes;
    uint8_t *data;
} seeds[SEEDS_MAX];
static struct program program;

static int is_seed(const struct dirent *entry) {
    const char *end = strrchr(entry->d_name, '.');
    return end != NULL && strcmp(end, ".ops") == 0;
}

static bool seed_read(const char *folder, const char *name, struct seed *seed) {
    static char text[TEXT_BYTES_MAX];
    char path[4096];
    unsigned line;
    const char *why;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return false;
    }
    size_t bytes = fread(text, 1, sizeof text, file);
    fclose(file);
    if (!op_parse(text, bytes, &program, &line, &why)) {
        return false;
    }
    seed->target = program.target;
    seed->bytes = op_encode(&program, NULL, 0);
    seed->data = malloc(seed->bytes + 1);
    return seed->data != NULL && op_encode(&program, seed->data, seed->bytes) == seed->bytes;
}

size_t fuzz_core_load(const char *folder) {
    struct dirent **entries;
    int found = scandir(folder, &entries, is_seed, alphasort);
    size_t count = 0;
    bool good = true;
    for (int i = 0; i < found; i++) {
        if (good && count < SEEDS_MAX) {
            good = seed_read(folder, entries[i]->d_name, &seeds[count++]);
        }
        free(entries[i]);
    }
    if (found >= 0) {
        free(entries);
    }
    return good ? count : 0;
}

bool fuzz_core_run(size_t seed) {
    op_decode(seeds[seed].target, seeds[seed].data, seeds[seed].bytes, &program);
    return exec_run(subject_ref(), &program, NULL) == NULL;
}
