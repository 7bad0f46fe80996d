// guest_test.mjs: runs the guest's side in a real engine: node guest_test.mjs MODULE plain|shared
// Plays the host in JavaScript: fills the ring as mailbox_layout.h says. Ends with 0 when each id
// came once and in order, else with 1 and what was wrong.
import fs from "node:fs";
import { Worker, isMainThread, workerData, parentPort } from "node:worker_threads";

const CAPACITY = 0, FLAG = 1, HEAD = 2, TAIL = 3, RING = 4; // words
const SIGNALLED = 1, CLOSED = 2;
const AT = 60000, SLOTS = 8, IDS = 5000;
const READY = 0, PARK_CLOSED = 1, TIMED_OUT = 2;

function check(so, what) {
    if (!so) {
        console.error(`guest_test: ${what}`);
        process.exit(1);
    }
}

function words(memory) {
    return new Int32Array(memory.buffer, AT, RING + SLOTS);
}

function attach(memory, cursor) {
    const w = words(memory);
    w.fill(0);
    w[CAPACITY] = SLOTS;
    w[HEAD] = w[TAIL] = cursor;
    return w;
}

// The host's enqueue; false when the ring is full.
function enqueue(w, id) {
    const tail = Atomics.load(w, TAIL);
    if (((tail - Atomics.load(w, HEAD)) >>> 0) >= SLOTS) {
        return false;
    }
    Atomics.store(w, RING + (tail & (SLOTS - 1)), id);
    Atomics.store(w, TAIL, (tail + 1) | 0);
    Atomics.or(w, FLAG, SIGNALLED);
    return true;
}

function instantiate(file, memory, taken, wait) {
    const module = new WebAssembly.Module(fs.readFileSync(file));
    return new WebAssembly.Instance(module, {
        env: { memory },
        pagebox: { flush: () => {} },
        test: { take: (id) => taken.push(id >>> 0), wait: wait ?? (() => 0) },
    });
}

// One thread: drain, park with a signal, park without one, across the wrap of the cursors.
function runPlain(file) {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    const w = attach(memory, -3);
    const taken = [];
    let waits = 0;
    const guest = instantiate(file, memory, taken, () => { waits++; return 2; }).exports;
    check(guest.drain(AT) === 0, "an empty ring gave ids");
    for (let i = 1; i <= SLOTS; i++) {
        check(enqueue(w, i), "no room");
    }
    check(!enqueue(w, 99), "room in a full ring");
    check(guest.park(AT, -1n) === READY && waits === 0, "parked over a signal");
    check(guest.drain(AT) === SLOTS, "not all were drained");
    check(taken.join() === "1,2,3,4,5,6,7,8", `wrong ids: ${taken}`);
    check(w[FLAG] === 0, "the signal was not cleared");
    check(guest.park(AT, 0n) === TIMED_OUT && waits === 1, "did not park");
    w[FLAG] |= CLOSED;
    check(guest.drain(AT) === 0 && w[FLAG] === CLOSED, "the drain dropped closed");
    check(guest.park(AT, -1n) === PARK_CLOSED && waits === 1, "closed was not seen");
}

// The guest in a worker parks with wait32; this thread enqueues, wakes it, and closes.
function runShared(file) {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
    const w = attach(memory, -3);
    const worker = new Worker(new URL(import.meta.url), { workerData: { file, memory } });
    worker.on("error", (error) => check(false, error));
    worker.on("message", (taken) => {
        check(taken.length === IDS, `${taken.length} ids of ${IDS}`);
        check(taken.every((id, i) => id === i + 1), "wrong order");
    });
    for (let id = 1; id <= IDS;) {
        if (enqueue(w, id)) {
            Atomics.notify(w, FLAG);
            id++;
        }
    }
    Atomics.or(w, FLAG, CLOSED);
    Atomics.notify(w, FLAG);
}

function runWorker({ file, memory }) {
    const taken = [];
    const guest = instantiate(file, memory, taken).exports;
    while (guest.park(AT, -1n) !== PARK_CLOSED) {
        guest.drain(AT);
    }
    parentPort.postMessage(taken);
}

if (!isMainThread) {
    runWorker(workerData);
} else if (process.argv[3] === "shared") {
    runShared(process.argv[2]);
} else {
    runPlain(process.argv[2]);
}
