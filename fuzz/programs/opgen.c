/* opgen.c: what op.def says, for engines: a dictionary of a target, and a seed for each operation.
 *
 *   opgen dict TARGET            the dictionary, for libFuzzer's -dict= and AFL++'s -x
 *   opgen seeds TARGET FOLDER    one input in bytes for each operation: FOLDER/<operation>
 *   opgen text TARGET FOLDER     the same as text: FOLDER/<operation>.ops
 *
 * The same op.def gives the same files. Exit status: 0, 2 usage, or a file that cannot be written.
 */
#include "mutate.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 3, SEED_BYTES_MAX = 256 };

static struct program program;

static int complain(const char *what, const char *why) {
    fprintf(stderr, "opgen: %s: %s\n", what, why);
    return 2;
}

/* One operation, as it can stand anywhere in an input. */
static void print_entry(enum op_target target, const struct op *op, unsigned number) {
    uint8_t bytes[512];
    struct program alone = {.target = target, .operations = 1};
    alone.operation[0] = *op;
    size_t count = op_encode(&alone, bytes, sizeof bytes);
    printf("%s_%u=\"", op_info(target, op->code)->name, number);
    for (size_t i = 0; i < count && i < sizeof bytes; i++) {
        printf("\\x%02x", bytes[i]);
    }
    printf("\"\n");
}

/* libFuzzer takes entries of up to 64 bytes, AFL++ of up to 128: operations are shorter. */
static int write_dictionary(enum op_target target) {
    printf("# The operations of %s, made by opgen from op.def.\n", op_target_name(target));
    for (unsigned code = 2; code < 256; code++) {
        for (unsigned i = 0; i < EXAMPLES && op_info(target, code) != NULL; i++) {
            struct mutate how = {.target = target, .seed = i, .swarm = MUTATE_ALL_ON};
            mutate_new(&how, code, &program);
            print_entry(target, &program.operation[program.operations - 1], i);
        }
    }
    return fflush(stdout) == 0 ? 0 : complain("standard output", strerror(errno));
}

static int write_seed(enum op_target target, unsigned code, const char *folder, bool text) {
    char path[PATH_MAX];
    uint8_t bytes[SEED_BYTES_MAX];
    struct mutate how = {.target = target, .seed = code, .swarm = MUTATE_ALL_ON};
    mutate_new(&how, code, &program);
    if (program.choices_bytes > 64) {
        program.choices_bytes = 64; /* the operation itself must fit, too */
    }
    size_t count = mutate_fit(&program, sizeof bytes);
    int length = snprintf(path, sizeof path, "%s/%s%s", folder, op_info(target, code)->name,
                          text ? ".ops" : "");
    FILE *file = length < (int)sizeof path ? fopen(path, "wb") : NULL;
    if (file == NULL) {
        return complain(path, strerror(errno));
    }
    if (text) {
        op_print(file, &program);
    } else {
        op_encode(&program, bytes, sizeof bytes);
        fwrite(bytes, 1, count, file);
    }
    bool bad = ferror(file) != 0;
    return fclose(file) != 0 || bad ? complain(path, "cannot be written") : 0;
}

static int write_seeds(enum op_target target, const char *folder, bool text) {
    int status = 0;
    for (unsigned code = 2; code < 256 && status == 0; code++) {
        status = op_info(target, code) != NULL ? write_seed(target, code, folder, text) : 0;
    }
    return status;
}

static int usage(void) {
    fputs("usage: opgen dict TARGET | opgen seeds TARGET FOLDER | opgen text TARGET FOLDER\n"
          "  a dictionary on standard output; a seed for each operation, in bytes or as text, in\n"
          "  FOLDER, which must exist. Status: 0, 2 usage or a file that cannot be written.\n",
          stderr);
    return 2;
}

int main(int argc, char **argv) {
    enum op_target target;
    if (argc < 3) {
        return usage();
    }
    if (!op_target_by_name(argv[2], &target)) {
        return complain(argv[2], "there is no such target");
    }
    if (strcmp(argv[1], "dict") == 0 && argc == 3) {
        return write_dictionary(target);
    }
    bool text = strcmp(argv[1], "text") == 0;
    return (text || strcmp(argv[1], "seeds") == 0) && argc == 4 ? write_seeds(target, argv[3], text)
                                                                : usage();
}
