// v8_wait.js: the cost of Atomics.wait and Atomics.notify for a caller in JavaScript, for wait_peers.c.
//
//     node bench/v8_wait.js OPERATION
//
// OPERATION: round_trip (between two threads, each asleep while it is the other's turn), notify_none
// (no waiter), not_equal (a wait whose value differs). Writes lines of nanoseconds per operation, one
// per round trip or per batch of the others, until its output is closed.
'use strict';
const fs = require('fs');
const {Worker, isMainThread, workerData} = require('worker_threads');

const BATCH = 1024;
const THERE = 0;
const BACK = 16; // on another cache line
const LINES = 64; // written at once

function await_number(words, lane, number) {
    while (Atomics.load(words, lane) !== number) {
        Atomics.wait(words, lane, number - 1);
    }
}

function send(words, lane, number) {
    Atomics.store(words, lane, number);
    Atomics.notify(words, lane, 1);
}

function answer(words) {
    for (let number = 1;; number++) {
        await_number(words, THERE, number);
        send(words, BACK, number);
    }
}

function elapsed(run) {
    const began = process.hrtime.bigint();
    run();
    return Number(process.hrtime.bigint() - began);
}

function batch(run) {
    return elapsed(() => {
        for (let i = 0; i < BATCH; i++) {
            run();
        }
    }) / BATCH;
}

function main() {
    const words = new Int32Array(new SharedArrayBuffer(128));
    let number = 0;
    const operations = {
        round_trip: () => elapsed(() => {
            send(words, THERE, ++number);
            await_number(words, BACK, number);
        }),
        notify_none: () => batch(() => Atomics.notify(words, THERE, 1)),
        not_equal: () => batch(() => Atomics.wait(words, THERE, 1)),
    };
    const operation = operations[process.argv[2]];
    if (!operation) {
        console.error(`usage: node v8_wait.js ${Object.keys(operations).join('|')}`);
        process.exit(2);
    }
    const go = () => {
        for (;;) {
            let text = '';
            for (let i = 0; i < LINES; i++) {
                text += `${operation()}\n`;
            }
            try {
                fs.writeSync(1, text);
            } catch (error) {
                process.exit(error.code === 'EPIPE' ? 0 : 2);
            }
        }
    };
    if (process.argv[2] === 'round_trip') {
        new Worker(__filename, {workerData: words.buffer}).on('online', go);
    } else {
        go();
    }
}

if (isMainThread) {
    main();
} else {
    answer(new Int32Array(workerData));
}
