// driver.mjs: runs conformance programs on a JavaScript engine, each thread a worker, all on one
// WebAssembly.Memory. `node driver.mjs BUNDLE.json KEY=VALUE...`, deno (run -A), bun; the shells jsc and
// js102 (scripts/conform.py knows how to start them); in a browser through the page that scripts/conform.py
// serves. Prints a line of JSON for each slice of a program, with its counted outcomes. The reader of the
// lines judges them; a program embedded in this file (EMBEDDED) is judged and shown here.
//
// slice_ms: how long each program runs at a time. total_s: time for all rounds of slices; 0: one round.
// hang_s: no progress for this long is a hang. seed. spins: how often a thread polls a barrier before it
// sleeps.

const EMBEDDED = null;

// Offsets of the harness's words in the memory, as in fuzz/conform/wasm.h.
const ARRIVED = 0, PUBLISHED = 512, RESCUE = 1024, RESCUED = 1152, VERDICT = 1280, SPINS = 1472;
const TABLE_ENTRIES = 1024;
const NONE = 0xC0DEC0DE00000001n, TRAP = 0xC0DEC0DE00000004n;
// Layout of a memory that many instances share; sizes in bytes.
const INSTANCES = 16384, SPAN = INSTANCES * 6 * 8;
const CONTROL = 4096, RESULTS = 65536, TABLES = RESULTS + 4 * SPAN;
const TABLE_BYTES = 16 + TABLE_ENTRIES * 16 + TABLE_ENTRIES * 41 * 8;
const BLOCKS = Math.ceil((TABLES + 4 * TABLE_BYTES) / 65536) * 65536, PAGES = 192, PAGES_MAX = 400;
// ... and of a memory of one page or more that one instance has to itself.
const OWN_CONTROL = 8192, OWN_RESULTS = 16384, OWN_SPAN = 512;
// Words that the workers share outside the memory.
const STOP = 0, EPOCH = 1, BLOCK = 2, STRIDE = 3, ROUNDS = 4, SLEEP = 5, QUIT_HELP = 6, AT = 16;

function generator(seed) { // mulberry32: the same numbers in every worker
  let a = seed >>> 0;
  return limit => {
    a = (a + 0x6D2B79F5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % limit;
  };
}

// Position of an instance's first window in a memory of its own: low, or just before the end of
// the initial size.
function ownBlock(next, pages) {
  const low = 8 * next(64);
  return next(4) === 0 ? pages * 65536 - 64 : low;
}

// ---------------------------------------------------------------- in a worker

function worker(post, places) {
  const { ARRIVED, PUBLISHED, RESCUE, RESCUED, VERDICT, SPINS, TABLE_ENTRIES, INSTANCES, SPAN, CONTROL, RESULTS,
    TABLES, TABLE_BYTES, BLOCKS, PAGES, OWN_CONTROL, OWN_RESULTS, OWN_SPAN, STOP, EPOCH, BLOCK, STRIDE,
    ROUNDS, SLEEP, QUIT_HELP, AT } = places;
  const now = () => performance.now();

  // Draws the layout of the next round's instances, and how the threads start.
  function draw(next, program) {
    const bytes = Math.max(8, ...program.words.map(w => w[1] + 8));
    const stride = [bytes, 64, 128, 192, 4160][next(5)];
    const offset = 8 * next(8);
    const sync = program.waits || next(4) === 0;
    const delay = sync ? [0, 15, 63, 255, 1023][next(5)] : [0, 0, 0, 7][next(4)];
    const together = program.waits ? 64 : sync ? 1024 : INSTANCES;
    const most = sync && program.threads > 2 ? together / 8 : together;
    const room = PAGES * 65536 - BLOCKS - 64;
    const reach = Math.max(stride, 64);
    return { stride: Math.max(stride, 8), block: BLOCKS + offset, sync: sync ? 1 : 0, delay,
      count: Math.min(most, Math.floor(room / reach)) };
  }

  // Runs rounds of many instances in one memory, until the first thread's time is over.
  function shared({ program, bytes, memory, control, thread, seed, slice_ms }) {
    const t = new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { m: memory } }).exports;
    const next = generator(seed), own = generator(seed * 31 + thread), threads = program.threads;
    const run = t['t' + thread], table = TABLES + thread * TABLE_BYTES;
    const results = RESULTS + thread * SPAN;
    let before = 0;
    for (let u = 0; u < thread; u++) before += program.slots[u];
    let epoch = 0, instances = 0;
    const began = now();
    for (;;) {
      const r = draw(next, program);
      // What only one of the threads does, for all of them.
      const share = Math.ceil(r.count / threads), first = Math.min(r.count, share * thread);
      const mine = Math.min(share, r.count - first);
      if (mine > 0) t.reset(mine, r.block + first * r.stride, r.stride);
      if (thread === 0) {
        Atomics.store(control, EPOCH, epoch + 2);
        Atomics.store(control, BLOCK, r.block);
        Atomics.store(control, STRIDE, r.stride);
      }
      t.arrive(CONTROL, thread, ++epoch); // all are awake ...
      t.arrive(CONTROL, thread, ++epoch); // ... so now they leave together
      run(r.count, r.block, r.stride, results, CONTROL, epoch, r.sync, r.delay, own(0x7fffffff) + 1);
      epoch += r.count;
      t.arrive(CONTROL, thread, ++epoch);
      if (mine > 0) {
        // Each thread's results start `SPAN` after the previous thread's, and there are as many as
        // it has slots: so returned by thread.
        t.tally(mine, r.block + first * r.stride, r.stride, RESULTS, SPAN, table, first);
      }
      instances += r.count;
      if (thread === 0 && now() - began > slice_ms) Atomics.store(control, STOP, 1);
      if (thread === 0) Atomics.add(control, ROUNDS, 1);
      t.arrive(CONTROL, thread, ++epoch);
      if (Atomics.load(control, STOP)) break;
    }
    const seconds = (now() - began) / 1000;
    post({ done: true, thread, instances, seconds, ...counted(memory, table, program) });
  }

  // A table of outcomes in a form that JSON can hold.
  function counted(memory, table, program) {
    const words = program.labels.length, view = new DataView(memory.buffer), outcomes = [];
    for (let i = 0; i < TABLE_ENTRIES; i++) {
      const entry = table + 16 + i * 16;
      if (view.getBigUint64(entry, true) === 0n) continue;
      const key = [], at = table + 16 + TABLE_ENTRIES * 16 + i * words * 8;
      for (let k = 0; k < words; k++) key.push(view.getBigUint64(at + k * 8, true).toString(16));
      outcomes.push([key.join(','), Number(view.getBigUint64(entry + 8, true))]);
    }
    return { outcomes, lost: view.getUint32(table + 4, true) };
  }

  // A batch of instances, each with a memory of its own.
  let module, of;
  function owned({ program, bytes, memories, control, thread, seed }) {
    if (of !== bytes.id) { module = new WebAssembly.Module(bytes.code); of = bytes.id; }
    const next = generator(seed), own = generator(seed * 31 + thread);
    const threads = memories.map(m => new WebAssembly.Instance(module, { m: { m } }).exports['t' + thread]);
    let unexpected;
    memories.forEach((memory, i) => {
      const block = ownBlock(next, program.min), delay = [0, 63, 1023, 8191][next(4)];
      Atomics.store(control, AT + thread, i);
      try {
        threads[i](1, block, 64, OWN_RESULTS + thread * OWN_SPAN, OWN_CONTROL, 0, 1, delay, own(0x7fffffff) + 1);
      } catch (error) {
        if (!(error instanceof WebAssembly.RuntimeError)) unexpected = String(error);
      }
      Atomics.store(new Int32Array(memory.buffer), (OWN_CONTROL + ARRIVED + thread * 128) >> 2, 2);
    });
    Atomics.store(control, AT + thread, memories.length);
    post({ done: true, thread, unexpected });
  }

  // ---- The helper: wakes threads that stay blocked, and disturbs.

  function sleep(control, ms) { Atomics.wait(control, SLEEP, 0, ms); }

  // Address of the words of the current instance.
  function place(job, control) {
    if (!job.memories) return { memory: job.memory, at: CONTROL };
    let i = job.memories.length;
    for (let t = 0; t < job.program.threads; t++) i = Math.min(i, Atomics.load(control, AT + t));
    return i < job.memories.length ? { memory: job.memories[i], at: OWN_CONTROL, own: true } : null;
  }

  // The threads that wait for ever, if all threads that have not ended the instance do; or null.
  function blocked(view, at, program) {
    const load = place => Atomics.load(view, (at + place) >> 2);
    const arrived = [];
    for (let t = 0; t < program.threads; t++) arrived.push(load(ARRIVED + t * 128));
    const number = Math.min(...arrived), waits = [];
    for (let t = 0; t < program.threads; t++) {
      if (arrived[t] !== number) continue;
      const published = load(PUBLISHED + t * 128);
      if (published >>> 3 !== (number & 0x1fffffff) || published === 0) return null;
      waits.push({ t, published, operation: published & 7 });
    }
    return { number, waits, key: number + ':' + waits.map(w => w.published).join(',') };
  }

  function rescue(job, control, { memory, at, own }, found) {
    const view = new Int32Array(memory.buffer);
    const { program } = job, load = place => Atomics.load(view, (at + place) >> 2);
    const block = own ? generator(job.seed) : null;
    let base = 0;
    if (own) { // the same draws as `owned` makes, up to this instance
      const index = job.memories.indexOf(memory);
      for (let i = 0; i <= index; i++) { base = ownBlock(block, program.min); block(4); }
    } else {
      base = Atomics.load(control, BLOCK) + (found.number - Atomics.load(control, EPOCH) - 1) * Atomics.load(control, STRIDE);
    }
    Atomics.store(view, (at + RESCUED) >> 2, 0);
    Atomics.store(view, (at + RESCUE) >> 2, found.number);
    const began = now();
    let woken = 0, clear = false;
    for (let tries = 0; ; tries++) {
      if (tries % 16 === 0) {
        for (const { t, operation } of found.waits) {
          const [window, offset] = program.wait_at[t][operation];
          const address = window ? program.min * 65536 + offset : base + offset;
          let all = view;
          if (address >> 2 >= all.length) { // this worker may not have seen the growth yet
            memory.grow(0);
            all = new Int32Array(memory.buffer);
          }
          if (address >> 2 < all.length) woken += Atomics.notify(all, address >> 2, 1000);
        }
      }
      const flagged = load(RESCUED);
      if (flagged === found.waits.length) { clear = woken === flagged; break; }
      const moved = found.waits.some(({ t, published }) => load(ARRIVED + t * 128) !== found.number ||
        (load(PUBLISHED + t * 128) !== published && load(PUBLISHED + t * 128) !== 0));
      if (moved || now() - began > 2000) break;
      sleep(control, 0.05);
    }
    Atomics.store(view, (at + VERDICT) >> 2, (found.number << 1) | (clear ? 0 : 1));
  }

  function help(job) {
    const { control, program, disturb, hang_s } = job;
    const spare = disturb === 2 ? new WebAssembly.Module(job.bytes.code ?? job.bytes) : null;
    let last = null, since = 0, rescued = 0, turns = 0;
    while (!Atomics.load(control, QUIT_HELP)) {
      sleep(control, program.may_block ? 0.1 : program.blocks ? 10 : 3);
      const where = place(job, control);
      if (program.blocks && where) {
        const found = blocked(new Int32Array(where.memory.buffer), where.at, program);
        if (!found || found.key !== last) {
          last = found ? found.key : null;
          since = now();
        } else if (now() - since > (program.may_block ? 0.05 : hang_s * 1000)) {
          rescue(job, control, where, found);
          rescued++;
          last = null;
        }
      }
      turns++;
      if (disturb === 1 && job.memory && turns % (program.may_block ? 40 : 2) === 0) {
        try { job.memory.grow(1); } catch { /* it has reached its maximum */ }
      }
      if (spare && turns % (program.may_block ? 60 : 3) === 0) {
        const memory = where && where.memory;
        if (memory) new WebAssembly.Instance(spare, { m: { m: memory } }).exports.size();
      }
    }
    post({ done: true, helper: true, rescued });
  }

  return job => {
    try {
      if (job.kind === 'shared') shared(job);
      else if (job.kind === 'owned') owned(job);
      else help(job);
    } catch (error) {
      post({ error: String(error) + (error.stack ? '\n' + error.stack : '') });
    }
  };
}

// ---------------------------------------------------------------- the engine around it

const places = { ARRIVED, PUBLISHED, RESCUE, RESCUED, VERDICT, SPINS, TABLE_ENTRIES, INSTANCES, SPAN, CONTROL,
  RESULTS, TABLES, TABLE_BYTES, BLOCKS, PAGES, OWN_CONTROL, OWN_RESULTS, OWN_SPAN, STOP, EPOCH, BLOCK,
  STRIDE, ROUNDS, SLEEP, QUIT_HELP, AT };
const isBrowser = typeof window !== 'undefined' && typeof document !== 'undefined';
const isJsc = typeof $ !== 'undefined' && typeof $?.agent?.start === 'function', isJs102 = typeof evalInWorker === 'function';
const isShell = isJsc || isJs102;
const isNode = !isBrowser && !isShell && typeof Deno === 'undefined' && typeof Bun === 'undefined';
const body = `${generator}\n${ownBlock}\nconst handle = (${worker})(POST, ${JSON.stringify(places)});`;
let emit, start;

// ---- Shells. Their threads can receive a memory or a buffer, but no messages. So each worker
// gets a buffer of its own for messages (JSON: its state, its length, its text), and receives
// shared objects beforehand.
const IDLE = 0, GIVEN = 1, ANSWERED = 2, TAKE = 3, TAKEN = 4; // states
const MAIL_WORDS = 4, MAIL_TEXT = 1 << 20;
const shellWorkers = [];

function shellThread(mail, receive, handle, constants) {
  const { IDLE, GIVEN, ANSWERED, TAKE, TAKEN, MAIL_WORDS } = constants;
  const words = new Int32Array(mail, 0, MAIL_WORDS), text = new Uint16Array(mail, MAIL_WORDS * 4);
  let shared = [], turns = 0;
  Atomics.store(words, 0, IDLE);
  const post = message => {
    const line = JSON.stringify(message);
    for (let i = 0; i < line.length; i++) text[i] = line.charCodeAt(i);
    words[1] = line.length;
    Atomics.store(words, 0, ANSWERED);
  };
  const job = () => {
    let line = '';
    for (let i = 0; i < words[1]; i++) line += String.fromCharCode(text[i]);
    return JSON.parse(line, (key, value) => value === null || typeof value !== 'object' ? value
      : '$shared' in value ? shared[value.$shared] : '$words' in value ? new Int32Array(shared[value.$words])
      : '$bytes' in value ? Uint8Array.from(value.$bytes) : value);
  };
  for (;;) {
    Atomics.wait(words, 0, IDLE, 1000);
    const state = Atomics.load(words, 0);
    if (state === TAKE) {
      if (words[2] === 0) { // from the previous job, returned
        shared = [];
        if (++turns % 8 === 0) gc();
      }
      shared[words[2]] = receive(words[3]);
      Atomics.store(words, 0, TAKEN);
    } else if (state === GIVEN) {
      const given = job();
      if (given.quit) return;
      handle(given, post);
    } else if (state !== IDLE) {
      Atomics.wait(words, 0, state, 1);
    }
  }
}

let broadcasts = 0;
function shellWorker() {
  const constants = JSON.stringify({ IDLE, GIVEN, ANSWERED, TAKE, TAKEN, MAIL_WORDS });
  const mail = new SharedArrayBuffer(MAIL_WORDS * 4 + MAIL_TEXT * 2), words = new Int32Array(mail, 0, MAIL_WORDS);
  const self = { words, text: new Uint16Array(mail, MAIL_WORDS * 4), answer: null };
  // Anything else in the broadcast is not for this worker: another one may have come later.
  const receive = isJs102 ? '() => getSharedObject()' : `number => { for (;;) { let got, which;
    $.agent.receiveBroadcast((object, at) => { got = object; which = at; }); if (which === number) return got; } }`;
  const code = `let post; ${body.replace('POST', 'm => post(m)')} const receive = ${receive};
    (${shellThread})(receive(${++broadcasts}), receive, (job, p) => { post = p; handle(job); }, ${constants});`;
  Atomics.store(words, 0, TAKEN);
  if (isJs102) {
    setSharedObject(mail);
    evalInWorker(code);
  } else {
    $.agent.start(code);
    $.agent.broadcast(mail, broadcasts);
  }
  while (Atomics.load(words, 0) !== IDLE) Atomics.wait(words, 0, TAKEN, 1); // until it has its buffer
  shellWorkers.push(self);
  return {
    send: message => {
      const line = JSON.stringify(message, (key, value) => value instanceof WebAssembly.Memory ? { $shared: handed.indexOf(value) }
        : value instanceof Int32Array ? { $words: handed.indexOf(value.buffer) } : value instanceof Uint8Array ? { $bytes: [...value] } : value);
      for (let i = 0; i < line.length; i++) self.text[i] = line.charCodeAt(i);
      words[1] = line.length;
      Atomics.store(words, 0, GIVEN);
      Atomics.notify(words, 0);
    },
    on: f => { self.answer = f; },
    end: () => {
      shellWorkers.splice(shellWorkers.indexOf(self), 1);
      self.text.set([...'{"quit":true}'].map(c => c.charCodeAt(0)));
      words[1] = 13;
      Atomics.store(words, 0, GIVEN);
      Atomics.notify(words, 0);
    },
  };
}

// Gives shared objects to all workers, which are idle.
let handed = [], turnsHanded = 0;
function hand(objects) {
  handed = objects;
  if (!isShell) return;
  if (++turnsHanded % 8 === 0) gc();
  objects.forEach((object, i) => {
    if (isJs102) setSharedObject(object);
    else $.agent.broadcast(object, ++broadcasts);
    for (const { words } of shellWorkers) {
      words[2] = i;
      words[3] = broadcasts;
      Atomics.store(words, 0, TAKE);
      Atomics.notify(words, 0);
    }
    for (const { words } of shellWorkers) {
      while (Atomics.load(words, 0) !== TAKEN) Atomics.wait(words, 0, TAKE, 0.1);
    }
    for (const { words } of shellWorkers) Atomics.store(words, 0, IDLE);
  });
}

// What workers of shells have answered so far.
function shellAnswers() {
  for (const { words, text, answer } of [...shellWorkers]) {
    if (Atomics.load(words, 0) !== ANSWERED) continue;
    let line = '';
    for (let i = 0; i < words[1]; i++) line += String.fromCharCode(text[i]);
    Atomics.store(words, 0, IDLE);
    answer(JSON.parse(line));
  }
}

if (isNode) {
  const { Worker } = await import('node:worker_threads');
  const text = "const { parentPort } = require('node:worker_threads');" +
    body.replace('POST', 'm => parentPort.postMessage(m)') + "parentPort.on('message', handle);";
  start = () => {
    const w = new Worker(text, { eval: true });
    return { send: m => w.postMessage(m), end: () => w.terminate(), on: f => { w.on('message', f); w.on('error', e => f({ error: String(e) })); } };
  };
} else if (isShell) {
  start = shellWorker;
} else {
  const text = body.replace('POST', 'm => postMessage(m)') + 'onmessage = e => handle(e.data);';
  const url = URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
  start = () => {
    const w = new Worker(url, { type: 'module' });
    return { send: m => w.postMessage(m), end: () => w.terminate(), on: f => { w.onmessage = e => f(e.data); w.onerror = e => { e.preventDefault?.(); f({ error: String(e.message) }); }; } };
  };
}

// Workers that run one program's threads, and the helper.
function crew(threads) {
  const all = [];
  for (let i = 0; i <= threads; i++) {
    const w = start();
    const waiting = [];
    w.on(m => { const f = waiting.shift(); if (f) f(m); });
    all.push({ send: m => new Promise(f => { waiting.push(f); w.send(m); }), end: w.end });
  }
  return { threads: all.slice(0, threads), helper: all[threads], end: () => all.forEach(w => w.end()) };
}

function bytesOf(program) {
  const digits = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', text = program.wasm.replace(/=+$/, '');
  const bytes = new Uint8Array(text.length * 3 >> 2); // base64, because not every shell has atob
  for (let i = 0, held = 0, at = 0; i < text.length; i++) {
    held = (held << 6 | digits.indexOf(text[i])) & 0xffffff;
    if (i % 4 !== 0) bytes[at++] = held >> 6 - 2 * (i % 4);
  }
  return bytes;
}

const sleeper = isShell ? new Int32Array(new SharedArrayBuffer(4)) : null;
async function late(ms) {
  if (!isShell) return new Promise(f => setTimeout(f, ms));
  for (const began = performance.now(); performance.now() - began < ms; await null) {
    Atomics.wait(sleeper, 0, 0, 0.2);
    shellAnswers();
  }
}

// The workers' answers, or 'stuck' if they do not answer in time.
async function answers(promises, ms) {
  if (isShell) {
    let all = null;
    Promise.all(promises).then(got => { all = got; });
    for (const began = performance.now(); all === null && performance.now() - began < ms;) await late(0.1);
    return all ?? 'stuck';
  }
  let timer;
  const limit = new Promise(f => { timer = setTimeout(() => f('stuck'), ms); });
  const done = await Promise.race([Promise.all(promises), limit]);
  clearTimeout(timer);
  return done;
}

// The helper's answer; it ends soon after it is told to.
async function helpedBy(helps) {
  const done = helps ? await answers([helps], 20000) : [{ rescued: 0 }];
  return done === 'stuck' ? { error: 'the helper does not end' } : done[0];
}

// Threads do not return: a hang, or the helper that should have woken them has failed.
async function stuck(helps) {
  const helped = helps ? await Promise.race([helps, late(1000)]) : null;
  return helped?.error ? { error: `the helper: ${helped.error}` } : { stuck: true };
}

function add(counts, outcomes) {
  for (const [key, n] of outcomes) counts.set(key, (counts.get(key) ?? 0) + n);
}

async function sliceShared(team, program, o) {
  let memory;
  try {
    memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES_MAX, shared: true });
  } catch (error) {
    await late(500);
    return { shortage: String(error) };
  }
  const control = new Int32Array(new SharedArrayBuffer(256));
  const bytes = bytesOf(program), counts = new Map();
  new Int32Array(memory.buffer)[(CONTROL + SPINS) >> 2] = o.spins;
  hand([memory, control.buffer]);
  const job = { program: o.light, bytes, memory, control, seed: o.seed, slice_ms: o.slice_ms, hang_s: o.hang_s };
  const helps = program.blocks || o.disturb ? team.helper.send({ ...job, kind: 'help', disturb: o.disturb }) : null;
  const sent = team.threads.slice(0, program.threads).map((w, thread) => w.send({ ...job, kind: 'shared', thread }));
  const done = await answers(sent, o.slice_ms + o.hang_s * 4000 + 20000);
  Atomics.store(control, QUIT_HELP, 1);
  if (done === 'stuck') return await stuck(helps);
  const helped = await helpedBy(helps);
  const error = [...done, helped].find(d => d.error);
  if (error) return { error: error.error };
  done.forEach(d => add(counts, d.outcomes));
  return { instances: done[0].instances, seconds: done[0].seconds, counts, rescued: helped.rescued,
    lost: done.reduce((n, d) => n + d.lost, 0) };
}

const BATCH = 16;
let modules = 0;
async function sliceOwned(team, program, o) {
  const bytes = { id: ++modules, code: bytesOf(program) }, counts = new Map(), began = performance.now();
  let instances = 0, rescued = 0;
  for (let seed = o.seed; performance.now() - began < o.slice_ms; seed += 7919) {
    const control = new Int32Array(new SharedArrayBuffer(256)), memories = [];
    // An engine has room for only so many memories, and frees dropped ones when it likes.
    for (let tries = 0; memories.length < BATCH; tries++) {
      try {
        memories.push(new WebAssembly.Memory({ initial: program.min, maximum: program.max, shared: true }));
      } catch (error) {
        if (memories.length > 0) break;
        globalThis.gc?.();
        if (tries === 8) return { shortage: String(error), instances, seconds: (performance.now() - began) / 1000, counts, rescued, lost: 0 };
        await late(50);
      }
    }
    prepare(memories, program, seed, o);
    hand([...memories, control.buffer]);
    const job = { program: o.light, bytes, memories, control, seed, hang_s: o.hang_s };
    const helps = program.blocks || o.disturb === 2 ? team.helper.send({ ...job, kind: 'help', disturb: o.disturb }) : null;
    const sent = team.threads.slice(0, program.threads).map((w, thread) => w.send({ ...job, kind: 'owned', thread }));
    const done = await answers(sent, o.hang_s * 4000 + 20000);
    Atomics.store(control, QUIT_HELP, 1);
    if (done === 'stuck') return await stuck(helps);
    const helped = await helpedBy(helps);
    const error = [...done, helped].find(d => d.error || d.unexpected);
    if (error) return { error: error.error ?? error.unexpected };
    rescued += helped.rescued;
    tallyOwned(memories, program, seed, counts);
    instances += memories.length;
  }
  return { instances, seconds: (performance.now() - began) / 1000, counts, rescued, lost: 0 };
}

// The same draws as in the workers: the position of each memory's block.
function blocksOf(memories, program, seed) {
  const next = generator(seed);
  return memories.map(() => { const block = ownBlock(next, program.min); next(4); return block; });
}

function prepare(memories, program, seed, o) {
  const blocks = blocksOf(memories, program, seed);
  memories.forEach((memory, i) => {
    const view = new DataView(memory.buffer);
    view.setInt32(OWN_CONTROL + SPINS, o.spins, true);
    program.first.forEach((value, k) => view.setUint8(blocks[i] + k, value));
    for (let t = 0; t < program.threads; t++) {
      for (let k = 0; k < program.slots[t]; k++) view.setBigUint64(OWN_RESULTS + t * OWN_SPAN + k * 8, NONE, true);
    }
  });
}

function tallyOwned(memories, program, seed, counts) {
  const blocks = blocksOf(memories, program, seed);
  memories.forEach((memory, i) => {
    const pages = memory.grow(0); // this also makes the others' growth visible to this thread
    const view = new DataView(memory.buffer), key = [];
    for (let t = 0; t < program.threads; t++) {
      const results = [];
      for (let k = 0; k < program.slots[t]; k++) results.push(view.getBigUint64(OWN_RESULTS + t * OWN_SPAN + k * 8, true));
      const trapped = program.traps[t].find(k => results[k] === NONE);
      // A thread that has ended has stored all of its results.
      if (trapped !== undefined && !results.some(v => v === 0xC0DEC0DE00000003n || v === 0xC0DEC0DE00000007n)) results[trapped] = TRAP;
      key.push(...results);
    }
    for (const [window, offset] of program.words) {
      key.push(window && pages === program.min ? NONE : view.getBigUint64(window ? program.min * 65536 + offset : blocks[i] + offset, true));
    }
    if (program.grows) key.push(BigInt(pages));
    const text = key.map(v => v.toString(16)).join(',');
    counts.set(text, (counts.get(text) ?? 0) + 1);
  });
}

async function runAll(bundle, o) {
  const programs = bundle.programs.filter(p => p.wasm);
  const most = Math.max(...programs.map(p => p.threads));
  let team = crew(most);
  const began = performance.now();
  for (let turn = 0; ; turn++) {
    for (let k = 0; k < programs.length; k++) {
      const i = (k + o.seed * 37) % programs.length; // so that short runs begin with different programs
      if ((turn > 0 || o.total_s > 0) && performance.now() - began > o.total_s * 1000) { team.end(); return; }
      const program = programs[i];
      // What the workers need of it, without the set.
      const light = { ...program, set: undefined, text: undefined, wasm: undefined };
      const settings = { ...o, light, seed: (o.seed * 7919 + turn * 104729 + i * 31) >>> 0, disturb: [0, 1, 0, 2][(turn + i) % 4] };
      await emit({ begins: program.name, turn });
      let r;
      try {
        r = await (program.grows ? sliceOwned : sliceShared)(team, program, settings);
      } catch (error) {
        r = { error: String(error) };
      }
      const line = { program: program.name, turn, disturb: settings.disturb, instances: r.instances ?? 0, seconds: r.seconds ?? 0,
        rescued: r.rescued ?? 0, lost: r.lost ?? 0, outcomes: r.counts ? [...r.counts] : [] };
      if (r.stuck) line.stuck = true;
      if (r.error) line.error = r.error;
      if (r.shortage) line.shortage = r.shortage;
      await emit(line);
      if (r.stuck || r.error || r.shortage) { // these may never answer again, or may keep memories
        globalThis.gc?.();
        team.end();
        team = crew(most);
      }
    }
    if (performance.now() - began > o.total_s * 1000) break;
  }
  team.end();
}

// ---------------------------------------------------------------- a program embedded in this file

const named = { c0dec0de00000001: '-', c0dec0de00000002: 'skipped', c0dec0de00000003: 'BLOCKED', c0dec0de00000004: 'trap',
  c0dec0de00000005: 'ok', c0dec0de00000007: 'unclear' };
function words(program, key) {
  return key.split(',').map((v, i) => `${program.labels[i]}=${named[v] ?? '0x' + v}`).join('  ');
}

async function showEmbedded(bundle, o, print) {
  const program = bundle.programs[0], all = new Map();
  let instances = 0, seconds = 0, stuck = 0;
  print(program.text);
  print(`${program.set.length} outcomes are allowed. Running for ${o.total_s} s ...`);
  emit = async line => {
    if (line.error) print(`error: ${line.error}`);
    stuck += line.stuck ? 1 : 0;
    instances += line.instances ?? 0;
    seconds += line.seconds ?? 0;
    add(all, line.outcomes ?? []);
  };
  await runAll(bundle, o);
  const allowed = new Set(program.set);
  let wrong = 0;
  for (const [key, n] of [...all].sort((a, b) => b[1] - a[1])) {
    const unclear = key.includes('c0dec0de00000007');
    const ok = allowed.has(key) || unclear;
    wrong += ok ? 0 : n;
    print(`${ok ? unclear ? 'unclear    ' : 'allowed    ' : program.racy ? 'not judged ' : 'NOT ALLOWED'} ${String(n).padStart(12)}  ${words(program, key)}`);
  }
  print(`${instances} instances in ${seconds.toFixed(1)} s, ${wrong} outcomes that are not allowed` +
    (wrong ? `: one in ${Math.round(instances / wrong)}, ${(wrong / seconds).toFixed(2)} a second` : '') + (stuck ? `; ${stuck} times the workers hung for good` : ''));
  return wrong && !program.racy || stuck ? 1 : 0;
}

// ---------------------------------------------------------------- start

const options = { slice_ms: 200, total_s: 0, hang_s: 5, seed: 1, spins: 32768 };
if (EMBEDDED) {
  options.total_s = 20;
  if (isBrowser) {
    const out = document.body.appendChild(document.createElement('pre'));
    const print = line => { out.textContent += line + '\n'; };
    if (typeof SharedArrayBuffer === 'undefined') print('This page is not isolated, so it has no shared memory: see the comment at its beginning.');
    else await showEmbedded(EMBEDDED, options, print);
  } else {
    for (const word of isShell ? globalThis.arguments ?? [] : process.argv.slice(2)) { const [k, v] = word.split('='); options[k] = Number(v); }
    (isShell ? quit : process.exit)(await showEmbedded(EMBEDDED, options, isShell ? print : console.log));
  }
} else if (isShell) {
  const [path, ...words] = globalThis.conformArguments ?? globalThis.arguments;
  for (const word of words) { const [k, v] = word.split('='); options[k] = Number(v); }
  emit = async line => { print(JSON.stringify(line)); };
  await emit({ engine: isJsc ? 'jsc, JavaScriptCore' : 'js102, SpiderMonkey' });
  await runAll(JSON.parse(isJsc ? readFile(path) : read(path)), options);
  await emit({ ended: true });
  quit(0);
} else if (isBrowser) {
  emit = line => fetch('/line', { method: 'POST', body: JSON.stringify(line) });
  const job = await (await fetch('/job.json')).json();
  await emit({ engine: navigator.userAgent, isolated: globalThis.crossOriginIsolated });
  await runAll(await (await fetch('/bundle.json')).json(), { ...options, ...job });
  await emit({ ended: true });
} else {
  const fs = await import('node:fs'), process = (await import('node:process')).default;
  for (const word of process.argv.slice(3)) { const [k, v] = word.split('='); options[k] = Number(v); }
  // Written at once and completely, so that a crash of the engine loses no lines.
  emit = async line => { fs.writeSync(1, JSON.stringify(line) + '\n'); };
  await emit({ engine: typeof Deno !== 'undefined' ? `deno ${Deno.version.deno}, V8 ${Deno.version.v8}` :
    typeof Bun !== 'undefined' ? `bun ${Bun.version}` : `node ${process.versions.node}, V8 ${process.versions.v8}` });
  await runAll(JSON.parse(fs.readFileSync(process.argv[2], 'utf8')), options);
  await emit({ ended: true });
  process.exit(0);
}
