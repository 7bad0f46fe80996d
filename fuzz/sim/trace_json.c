/* trace_json.c: the trace of the last run as JSON (see trace_json.h). */
#include "trace_json.h"
#include "internal.h"

static const char *const kinds[] = {
    [LINE_LOAD] = "load",      [LINE_STORE] = "store", [LINE_RMW] = "rmw",
    [LINE_CAS] = "cas",        [LINE_FENCE] = "fence", [LINE_NOTE] = "note",
    [LINE_WAIT] = "wait",      [LINE_WAKE] = "wake",   [LINE_SPAWN] = "spawn",
    [LINE_JOIN] = "join",      [LINE_LOCK] = "lock",   [LINE_UNLOCK] = "unlock",
    [LINE_EXIT] = "exit",      [LINE_READ] = "read",   [LINE_WRITE] = "write",
    [LINE_FINDING] = "finding"};

static const char *order_name(unsigned order) {
    static const char *const names[] = {"relaxed", "consume", "acquire",
                                        "release", "acq_rel", "seq_cst"};
    return order < 6 ? names[order] : "?";
}

void sim_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') {
            fprintf(out, "\\%c", *p);
        } else if (*p < 0x20 || *p >= 0x7f) {
            fprintf(out, "\\u%04x", *p);
        } else {
            fputc(*p, out);
        }
    }
    fputc('"', out);
}

static void number(FILE *out, const char *name, uint64_t value) {
    fprintf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

static bool is_access_line(unsigned kind) {
    return kind <= LINE_CAS;
}

/* Writes the call stack of a line, innermost caller first. */
static void write_callers(FILE *out, uint32_t frame) {
    fputs(",\"callers\":[", out);
    for (unsigned depth = 0; frame && depth < 12; depth++, frame = S.frames[frame].parent) {
        fprintf(out, depth ? ",%llu" : "%llu", (unsigned long long)S.frames[frame].pc);
    }
    fputc(']', out);
}

static void write_line(FILE *out, const struct line *l) {
    const char *kind = l->kind < sizeof kinds / sizeof kinds[0] ? kinds[l->kind] : "?";
    fprintf(out, "{\"thread\":%u,\"kind\":\"%s\"", l->thread, kind);
    number(out, "pc", l->pc);
    write_callers(out, l->frame);
    if (l->step) {
        number(out, "step", l->step);
    }
    if (is_access_line(l->kind) || l->kind == LINE_FENCE) {
        fprintf(out, ",\"order\":\"%s\"", order_name(l->order));
    }
    if (l->at || l->size) {
        number(out, "at", l->at);
        number(out, "size", l->size);
    }
    number(out, "value", l->value);
    number(out, "wrote", l->wrote);
    if (l->kind == LINE_LOAD || l->kind == LINE_RMW || l->kind == LINE_CAS) {
        number(out, "from", l->from);
        number(out, "from_step", l->from_step);
    }
    if (l->stale) {
        number(out, "skipped", l->skipped);
        number(out, "skipped_by", l->skipped_by);
        number(out, "skipped_step", l->skipped_step);
    }
    if (l->failed) {
        fputs(",\"failed\":true", out);
    }
    if (l->inserted) {
        fputs(",\"inserted\":true", out);
    }
    if (l->text) {
        fputs(",\"text\":", out);
        sim_json_string(out, l->text);
    }
    fputc('}', out);
}

static void range(FILE *out, const char *name, uintptr_t start, uintptr_t end) {
    fprintf(out, "[\"%s\",%llu,%llu]", name, (unsigned long long)start, (unsigned long long)end);
}

/* Writes the address ranges that are not variables of the program. */
static void write_ranges(FILE *out) {
    fputs(",\"ranges\":[", out);
    range(out, "heap", S.memory, S.heap_end);
    fputc(',', out);
    range(out, "pages", S.heap_end, S.memory_end);
    fputc(',', out);
    range(out, "thread-local", (uintptr_t)S.arena, (uintptr_t)S.arena_end);
    for (uint32_t i = 0; i < S.threads_n; i++) {
        char name[24];
        uintptr_t stack = (uintptr_t)S.threads[i].stack;
        snprintf(name, sizeof name, "stack of T%u", i);
        fputc(',', out);
        range(out, name, stack, stack + S.stack_size);
    }
    fputc(']', out);
}

void sim_trace_json(FILE *out) {
    fprintf(out,
            "{\"schema\":1,\"threads\":%u,\"steps\":%u,\"clock_ns\":%llu,\"finding\":", S.threads_n,
            S.steps, (unsigned long long)S.clock);
    if (S.finding) {
        sim_json_string(out, S.finding);
    } else {
        fputs("null", out);
    }
    fputs(",\"detail\":", out);
    sim_json_string(out, S.detail);
    write_ranges(out);
    fputs(",\"lines\":[", out);
    for (uint32_t i = 0; i < S.lines_n; i++) {
        fputs(i ? ",\n" : "\n", out);
        write_line(out, &S.lines[i]);
    }
    fputs("\n]}\n", out);
}
