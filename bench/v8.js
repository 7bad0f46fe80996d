// v8.js: the cost of a WebAssembly.Memory for a caller in JavaScript, for memory_peers.c.
//
//     node --expose-gc bench/v8.js OPERATION PAGES BY TO
//
// OPERATION: create, grow (by BY pages, of a written memory of PAGES), grow_steps (from PAGES to TO
// pages, by BY or, if that is 0, to twice the size each time). Writes one line per batch, in
// nanoseconds per operation, until its output is closed.
'use strict';
const fs = require('fs');
const [operation, ...numbers] = process.argv.slice(2);
const [pages, by, to] = numbers.map(Number);
const CAPACITY_PAGES = 1024;
const HOST_PAGE = 4096;
const most = to || Math.max(CAPACITY_PAGES, pages + by);
const count = to ? 1 : pages <= 4 ? 16 : pages <= 16 ? 4 : 1;

function make() {
    return new WebAssembly.Memory({initial: pages, maximum: most});
}

function touch(memory) {
    const bytes = new Uint8Array(memory.buffer);
    for (let at = 0; at < bytes.length; at += HOST_PAGE) {
        bytes[at] = 1;
    }
}

function climb(memory) {
    for (let size = pages; size < to;) {
        const step = Math.min(by || size, to - size);
        memory.grow(step);
        size += step;
    }
}

const memories = new Array(count).fill(null);
const steps = {
    create: () => memories.forEach((_, i) => { memories[i] = make(); }),
    grow: () => memories.forEach((memory) => memory.grow(by)),
    grow_steps: () => memories.forEach(climb),
};

function prepare() {
    memories.fill(null);
    global.gc();
    if (operation !== 'create') {
        steps.create();
        if (operation === 'grow') {
            memories.forEach(touch);
        }
    }
}

if (!(operation in steps) || numbers.length !== 3 || !(pages > 0)) {
    console.error('usage: node --expose-gc v8.js create|grow|grow_steps PAGES BY TO');
    process.exit(2);
}
for (;;) {
    prepare();
    const began = process.hrtime.bigint();
    steps[operation]();
    const ns = Number(process.hrtime.bigint() - began) / count;
    try {
        fs.writeSync(1, `${ns}\n`);
    } catch (error) {
        process.exit(error.code === 'EPIPE' ? 0 : 2);
    }
}
