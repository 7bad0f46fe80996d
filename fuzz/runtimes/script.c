/* script.c: a finding as one file: JavaScript, or the specification's script format. See script.h.
 */
#include "script.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool traps(const struct answer *a) {
    return a->status != SUBJECT_OK;
}

/* Leaves out requests that change nothing and were answered correctly. */
static bool is_needed(const struct script *s, unsigned n) {
    const struct request *r = &s->request[n];
    const bool looks = r->word[0] == REQUEST_READ || r->word[0] == REQUEST_BYTES ||
                       (r->word[0] == REQUEST_CALL && r->function.what == GUEST_SIZE);
    return n <= s->culprit && (n == s->culprit || !looks);
}

static const char *trap_name(const struct answer *a) {
    return a->status == SUBJECT_OUT_OF_BOUNDS ? "out of bounds"
           : a->status == SUBJECT_MISALIGNED  ? "unaligned"
           : a->status == SUBJECT_NOT_SHARED  ? "not shared"
                                              : "a failure";
}

static void lines(FILE *to, const char *before, const char *text) {
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        fprintf(to, "%s%.*s\n", before, (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static void hex(FILE *to, const char *before, const struct guest_bytes *bytes) {
    for (size_t i = 0; i < bytes->count; i++) {
        fprintf(to, "%s%02x", before, bytes->at[i]);
    }
}

/* ---- JavaScript ------------------------------------------------------------------------------ */

static const char js_head[] =
    "const say = typeof print === 'function' ? print : console.log;\n"
    "const bytes = hex => Uint8Array.from(hex.match(/../g), byte => parseInt(byte, 16));\n"
    "const module = hex => new WebAssembly.Module(bytes(hex));\n"
    "const grow = (memory, n) => { try { return memory.grow(n); } catch (e) {\n"
    "  return Number(memory.grow(BigInt(n))); } }; // of 64-bit addresses\n"
    "let wrong = 0;\n"
    "// expected: a number, or null where it must fail.\n"
    "const check = (what, call, expected) => {\n"
    "  let got, error;\n"
    "  try { got = BigInt.asUintN(64, BigInt(call() ?? 0)); } catch (e) { got = null; error = e; "
    "}\n"
    "  if (got === expected) return;\n"
    "  wrong++;\n"
    "  say(what + ': ' + (got === null ? error : got) + ', expected ' + (expected === null ? 'a "
    "failure' : expected));\n"
    "};\n";

static void js_make(FILE *to, const struct request *r, const char *module) {
    const uint32_t *w = r->word;
    if (w[0] == REQUEST_AGAIN) {
        fprintf(to, "  memory[%u] = memory[%u];\n", w[1], w[2]);
    } else if (w[5] == GUEST_IMPORTED) {
        fprintf(to,
                "  check('memory %u', () => { memory[%u] = new WebAssembly.Memory({ initial: %u",
                w[1], w[1], w[2]);
        if (w[3] != SUBJECT_NO_MAXIMUM) {
            fprintf(to, ", maximum: %u", w[3]);
        }
        fprintf(to, "%s }); }, %s);\n", w[4] ? ", shared: true" : "",
                traps(&r->foretold) ? "null" : "0n");
    }
    fprintf(to,
            "  check('instance %u', () => { f[%u] = new WebAssembly.Instance(%s, { h: { m: "
            "memory[%u] } }).exports; ",
            w[1], w[1], module, w[1]);
    fprintf(to, "memory[%u] = f[%u].m; }, %s);\n", w[1], w[1], traps(&r->foretold) ? "null" : "0n");
}

static void js_expected(FILE *to, const struct request *r) {
    if (traps(&r->foretold)) {
        fprintf(to, "null); // %s\n", trap_name(&r->foretold));
    } else {
        fprintf(to, "%" PRIu64 "n);\n", r->foretold.value);
    }
}

static void js_read(FILE *to, const struct request *r) {
    const uint32_t *w = r->word;
    fprintf(to,
            "  check('bytes', () => { const b = new Uint8Array(memory[%u].buffer, %" PRIu64
            ", %u), lane = [%u, %u, %u, %u];\n"
            "    const step = (h, word) => Math.imul(h ^ word, 0x9e3779b1);\n"
            "    for (let i = 0; i < b.length; i += 4)\n"
            "      lane[i / 4 %% 4] = step(lane[i / 4 %% 4], b[i] | b[i + 1] << 8 | b[i + 2] << 16 "
            "| b[i + 3] << 24);\n"
            "    return lane.reduce(step, %u) >>> 0; }, %un); // a digest of what must be there\n",
            w[1], w[2] | (uint64_t)w[3] << 32, w[4], w[4], w[4], w[4], w[4], w[4], w[5]);
}

static void js_step(FILE *to, const struct script *s, unsigned n) {
    const struct request *r = &s->request[n];
    const uint32_t *w = r->word;
    char what[128], module[32];
    switch (w[0]) {
    case REQUEST_MAKE:
    case REQUEST_AGAIN:
        snprintf(module, sizeof module, "m%u", w[1]);
        js_make(to, r, module);
        break;
    case REQUEST_CALL:
        guest_print(what, sizeof what, &r->function);
        fprintf(to, "  check('%s', () => f[%u][%u](%u, %u, %u, %u, %u), ", what, w[1], w[2], w[3],
                w[4], w[5], w[6], w[7]);
        js_expected(to, r);
        break;
    case REQUEST_READ:
        js_read(to, r);
        break;
    case REQUEST_GROW:
        fprintf(
            to,
            "  check('grow by the host', () => { try { return grow(memory[%u], %u); } catch (e) "
            "{ return 4294967295; } }, ",
            w[1], w[2]);
        js_expected(to, r);
        break;
    case REQUEST_BYTES:
        fprintf(to, "  check('bytes of the memory', () => memory[%u].buffer.byteLength, ", w[1]);
        js_expected(to, r);
        break;
    case REQUEST_WRITE:
        fprintf(
            to,
            "  check('write by the host', () => { new Uint8Array(memory[%u].buffer, %" PRIu64
            ", %u)"
            ".forEach((b, i, all) => { all[i] = 1 + (i * 31 + Math.floor(i / 251)) %% 255; }); }, ",
            w[1], w[2] | (uint64_t)w[3] << 32, w[4]);
        js_expected(to, r);
        break;
    case REQUEST_SEGMENTS:
        fprintf(to,
                "  check('active segments', () => { new WebAssembly.Instance(m%u, { h: { m: "
                "memory[%u] } }); }, ",
                w[2], w[1]);
        js_expected(to, r);
        break;
    default:
        break;
    }
}

static void js_modules(FILE *to, const struct script *s) {
    char what[128];
    for (unsigned n = 0; n <= s->culprit; n++) {
        const uint32_t *w = s->request[n].word;
        if (w[0] != REQUEST_MAKE && w[0] != REQUEST_AGAIN && w[0] != REQUEST_SEGMENTS) {
            continue;
        }
        const unsigned number = w[0] == REQUEST_SEGMENTS ? w[2] : w[1];
        bool first = true;
        for (unsigned i = 0; w[0] != REQUEST_SEGMENTS && i <= s->culprit; i++) {
            const struct request *r = &s->request[i];
            if (r->word[0] == REQUEST_CALL && r->word[1] == number && is_needed(s, i)) {
                guest_print(what, sizeof what, &r->function);
                fprintf(to, "%s %u: %s", first ? "// functions:" : ";", r->word[2], what);
                first = false;
            }
        }
        fprintf(to, "%sconst m%u = (() => { try { return module('", first ? "" : "\n", number);
        hex(to, "", s->module[number]);
        fprintf(to, "'); } catch (e) { return null; } })();\n");
    }
}

static void js_write(FILE *to, const struct script *s) {
    fprintf(to, "// %s\n", s->runtime);
    lines(to, "// ", s->told);
    fprintf(to, "// Shown by, with status 1 where it goes wrong:\n");
    lines(to, "//     ", s->commands);
    fputs(js_head, to);
    js_modules(to, s);
    fprintf(to, "for (let round = 0; round < %u && wrong === 0; round++) {\n", s->repeat);
    fprintf(to, "  const memory = [], f = [];\n");
    for (unsigned n = 0; n <= s->culprit && n < s->requests; n++) {
        if (is_needed(s, n)) {
            js_step(to, s, n);
        }
    }
    fprintf(to, "}\nsay(wrong === 0 ? 'as specified' : 'NOT as specified');\n"
                "if (wrong !== 0) {\n"
                "  if (typeof process !== 'undefined') process.exit(1);\n"
                "  if (typeof Deno !== 'undefined') Deno.exit(1);\n"
                "  throw new Error('not as specified');\n}\n");
}

/* ---- The specification's scripts ------------------------------------------------------------- */

static void wast_write(FILE *to, const struct script *s) {
    char what[128];
    fprintf(to, ";; %s\n", s->runtime);
    lines(to, ";; ", s->told);
    lines(to, ";; shown by: ", s->commands);
    for (unsigned n = 0; n <= s->culprit && n < s->requests; n++) {
        const struct request *r = &s->request[n];
        const uint32_t *w = r->word;
        if (!is_needed(s, n)) {
            continue;
        }
        if (w[0] == REQUEST_MAKE) {
            fprintf(to, "%s(module $m%u binary \"", traps(&r->foretold) ? "(assert_invalid " : "",
                    w[1]);
            hex(to, "\\", s->module[w[1]]);
            fprintf(to, "\")%s\n", traps(&r->foretold) ? " \"memory size\")" : "");
        } else if (w[0] == REQUEST_CALL) {
            guest_print(what, sizeof what, &r->function);
            fprintf(to, ";; %s\n(assert_%s (invoke $m%u \"%u\"", what,
                    traps(&r->foretold) ? "trap" : "return", w[1], w[2]);
            for (unsigned i = 3; i < REQUEST_WORDS; i++) {
                fprintf(to, " (i32.const %u)", w[i]);
            }
            if (traps(&r->foretold)) {
                fprintf(to, ") \"%s\")\n", trap_name(&r->foretold));
            } else {
                fprintf(to, ") (i64.const %" PRIu64 "))\n", r->foretold.value);
            }
        } else {
            fprintf(to, ";; (left out: what a host does)\n");
        }
    }
}

bool script_write(const char *path, const struct script *script) {
    FILE *to = fopen(path, "w");
    if (to == NULL) {
        return false;
    }
    const char *dot = strrchr(path, '.');
    if (dot != NULL && strcmp(dot, ".wast") == 0) {
        wast_write(to, script);
    } else {
        js_write(to, script);
    }
    return fclose(to) == 0;
}
