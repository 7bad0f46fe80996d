// wabt.cc: a shim for wabt's interpreter, against its C++ headers, linked with libwabt.a; Debian's
// package has both. It fills a memory with zeros when it makes it, so large ones are left out.
#define _Atomic // C's, in parts of subject.h that are not used here
#include "shim.h"
#undef _Atomic

#include "wabt/binary-reader.h"
#include "wabt/interp/binary-reader-interp.h"
#include "wabt/interp/interp.h"

#include <cstdio>
#include <memory>
#include <new>
#include <string>

// What libwabt.a calls stdin, stdout and stderr (rules.mk).
extern "C" FILE *wabt_stdin, *wabt_stdout, *wabt_stderr;
FILE *wabt_stdin, *wabt_stdout, *wabt_stderr;

namespace {

using namespace wabt;
using namespace wabt::interp;

constexpr uint32_t COSTLY_PAGES = 1024;
constexpr uint32_t REFUSED = 0xffffffff;

// Instances on one memory share the store that owns it.
struct Home {
    Store store;
    explicit Home(const Features &features) : store(features) {}
};

struct Guest {
    std::shared_ptr<Home> home;
    Instance::Ptr instance;
    Memory::Ptr memory;
};

Features features() {
    Features f;
    f.enable_threads();
    f.enable_multi_memory();
    return f;
}

// An atomic access out of bounds and a misaligned one have the same message.
enum subject_status status_of(const Trap::Ptr &trap) {
    const std::string words = trap ? trap->message() : "";
    return words.find("invalid atomic access") == 0 ? SUBJECT_OUT_OF_BOUNDS
                                                    : shim_trap(words.c_str());
}

bool open(const char *, const char **about) {
    wabt_stdin = stdin;
    wabt_stdout = stdout;
    wabt_stderr = stderr;
    *about = "wabt's interpreter " PAGEBOX_WABT_VERSION;
    return true;
}

bool is_valid(const uint8_t *wasm, size_t bytes, ModuleDesc *description) {
    Errors errors;
    ReadBinaryOptions options(features(), nullptr, false, true, true);
    return Succeeded(ReadBinaryInterp("guest", wasm, bytes, options, &errors, description));
}

// The module's first export is its memory (guest.h).
Guest *instantiate(std::shared_ptr<Home> home, const ModuleDesc &description, const RefVec &imports,
                   enum subject_status *status) {
    Trap::Ptr trap;
    auto module = Module::New(home->store, description);
    auto instance = Instance::Instantiate(home->store, module.ref(), imports, &trap);
    if (!instance) {
        *status =
            status_of(trap) == SUBJECT_OUT_OF_BOUNDS ? SUBJECT_OUT_OF_BOUNDS : SUBJECT_NO_MEMORY;
        return nullptr;
    }
    auto memory = home->store.UnsafeGet<Memory>(instance->exports()[0]);
    return new Guest{home, instance, memory};
}

void *make(const uint8_t *wasm, size_t bytes, const struct subject_type *imported,
           enum subject_status *status) {
    try {
        auto home = std::make_shared<Home>(features());
        ModuleDesc description;
        RefVec imports;
        Memory::Ptr memory;
        if (!is_valid(wasm, bytes, &description)) { // its import has the memory's limits
            *status = SUBJECT_INVALID;
            return nullptr;
        }
        if (imported != nullptr) {
            Limits limits(imported->min_pages);
            if (imported->max_pages != SUBJECT_NO_MAXIMUM) {
                limits = Limits(imported->min_pages, imported->max_pages, imported->shared);
            }
            memory = Memory::New(home->store, MemoryType(limits));
            imports.push_back(memory.ref());
        }
        return instantiate(home, description, imports, status);
    } catch (const std::bad_alloc &) {
        *status = SUBJECT_NO_MEMORY;
        return nullptr;
    }
}

void drop(void *self) {
    delete static_cast<Guest *>(self);
}

enum subject_status call(void *self, unsigned number, const uint32_t operand[5], uint64_t *result) {
    auto *guest = static_cast<Guest *>(self);
    Values arguments, results;
    Trap::Ptr trap;
    if (number + 1 >= guest->instance->exports().size()) {
        return SUBJECT_SYSTEM;
    }
    for (int i = 0; i < 5; i++) {
        arguments.push_back(Value::Make(operand[i]));
    }
    auto function = guest->home->store.UnsafeGet<Func>(guest->instance->exports()[number + 1]);
    try {
        if (Failed(function->Call(guest->home->store, arguments, results, &trap))) {
            return status_of(trap);
        }
    } catch (const std::bad_alloc &) {
        return SUBJECT_NO_MEMORY;
    }
    *result = results[0].Get<u64>();
    return SUBJECT_OK;
}

bool view(void *self, uint8_t **base, uint64_t *bytes) {
    auto *guest = static_cast<Guest *>(self);
    *base = guest->memory->UnsafeData();
    *bytes = guest->memory->ByteSize();
    return true;
}

void *again(const uint8_t *wasm, size_t bytes, void *of, enum subject_status *status) {
    auto *first = static_cast<Guest *>(of);
    try {
        ModuleDesc description;
        *status = SUBJECT_INVALID;
        return is_valid(wasm, bytes, &description)
                   ? instantiate(first->home, description, RefVec{first->memory.ref()}, status)
                   : nullptr;
    } catch (const std::bad_alloc &) {
        *status = SUBJECT_NO_MEMORY;
        return nullptr;
    }
}

uint32_t grow(void *self, uint32_t pages) {
    auto *guest = static_cast<Guest *>(self);
    const auto before = static_cast<uint32_t>(guest->memory->PageSize());
    try {
        return Succeeded(guest->memory->Grow(pages)) ? before : REFUSED;
    } catch (const std::bad_alloc &) {
        return REFUSED;
    }
}

struct shim table() {
    struct shim s = {};
    s.name = "wabt";
    s.no_wait = true; // the interpreter does not have them, as of 1.0.32
    s.threads = s.simd = s.second = s.imports = true;
    s.costly_pages = COSTLY_PAGES;
    s.open = open;
    s.make = make;
    s.drop = drop;
    s.call = call;
    s.view = view;
    s.again = again;
    s.grow = grow;
    return s;
}

} // namespace

extern "C" {
extern const struct shim shim;
const struct shim shim = table();
}
