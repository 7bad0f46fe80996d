// driver.js: a JavaScript engine plays programs on WebAssembly.Memory: a line of JSON in, a line of answers
// out, until the input ends. README.md describes the protocol. Runs in node, bun, deno, jsc and
// SpiderMonkey's shell; in a browser, page.js passes lines to it. Statuses are those of enum subject_status in ../subject.h.
'use strict';
(() => {
  const OK = 0, INVALID = 1, NO_MEMORY = 3, NOT_SHARED = 5, OUT_OF_BOUNDS = 6, MISALIGNED = 7, SYSTEM = 13;
  const MAKE = 1, DROP = 2, AGAIN = 3, CALL = 4, READ = 5, GROW = 6, BYTES = 7, WRITE = 8, SEGMENTS = 9;
  const WORDS = 8, NO_MAXIMUM = 4294967295, IMPORTED = 1;
  const PATTERN = 160 * 1024;

  const pattern = new Uint8Array(PATTERN);
  for (let i = 0; i < PATTERN; i++) pattern[i] = 1 + (i * 31 + Math.floor(i / 251)) % 255;

  let scratch = new Uint8Array(1 << 14);
  const bytesOf = hex => { // valid until the next call
    if (scratch.length < hex.length / 2) scratch = new Uint8Array(hex.length);
    const bytes = scratch.subarray(0, hex.length / 2);
    for (let i = 0; i < bytes.length; i++) {
      const a = hex.charCodeAt(2 * i), b = hex.charCodeAt(2 * i + 1);
      bytes[i] = ((a & 15) + (a >> 6) * 9) << 4 | ((b & 15) + (b >> 6) * 9);
    }
    return bytes;
  };
  const hexOf = bytes => {
    let text = '';
    for (const byte of bytes) text += (byte < 16 ? '0' : '') + byte.toString(16);
    return text;
  };

  // ---- Meaning of errors
  // -------------------------------------------------------------------------------
  const wantsMemory = text => /alloc|out of memory|could not|failed to (grow|create)/i.test(text);

  const creationStatus = error => {
    if (error instanceof WebAssembly.RuntimeError) return OUT_OF_BOUNDS; // an active segment
    if (wantsMemory(error.message)) return NO_MEMORY;
    return error instanceof RangeError || error instanceof TypeError || error instanceof WebAssembly.CompileError ||
      error instanceof WebAssembly.LinkError ? INVALID : SYSTEM;
  };
  const trapStatus = error => {
    const text = String(error && error.message);
    if (/align/i.test(text)) return MISALIGNED;
    if (/bound|range|outside/i.test(text)) return OUT_OF_BOUNDS;
    if (/shared|Atomics\.wait|cannot be called|not allowed/i.test(text)) return NOT_SHARED;
    return SYSTEM;
  };

  const isTrap = answer => [NOT_SHARED, OUT_OF_BOUNDS, MISALIGNED].includes(Number(answer));

  // ---- Requests ----------------------------------------------------------------------------------------
  const step = (h, word) => Math.imul(h ^ word, 0x9e3779b1);
  const digest = (buffer, at, count) => {
    let a = count | 0, b = a, c = a, d = a, i = 0;
    if (at % 4 === 0) {
      const words = new Int32Array(buffer, at, Math.floor(count / 16) * 4);
      for (; i < words.length; i += 4) {
        a = step(a, words[i]);
        b = step(b, words[i + 1]);
        c = step(c, words[i + 2]);
        d = step(d, words[i + 3]);
      }
    }
    if (4 * i < count) {
      const bytes = new Uint8Array(buffer, at, count), lane = [a, b, c, d];
      for (let n = 4 * i; n < count; n += 4) {
        let word = 0;
        for (let k = 0; k < 4 && n + k < count; k++) word |= bytes[n + k] << 8 * k;
        lane[n / 4 % 4] = step(lane[n / 4 % 4], word);
      }
      [a, b, c, d] = lane;
    }
    return step(step(step(step(count, a), b), c), d) >>> 0;
  };

  const grow = (memory, pages) => {
    try {
      return memory.grow(pages);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return Number(memory.grow(BigInt(pages))); // a memory with 64-bit addresses takes a BigInt
    }
  };
  const exportsOf = instance => {
    const functions = [];
    for (let n = 0, f; (f = instance.exports[n]) !== undefined; n++) functions.push(f);
    return functions;
  };
  const wide = value => {
    const low = Number(BigInt.asUintN(32, value)), high = Number(BigInt.asUintN(32, value >> 32n));
    return high !== 0 ? '0:' + low + ':' + high : low !== 0 ? '0:' + low : '0';
  };
  const number = value => value === 0 ? '0' : value < 4294967296 ? '0:' + value : '0:' + value % 4294967296 + ':' + Math.floor(value / 4294967296);

  // A fuzzer's programs are similar, so most of their modules have been compiled for an earlier
  // one.
  const KEPT = 512, kept = new Map();
  const moduleOf = hex => {
    let module = kept.get(hex);
    if (module === undefined) {
      module = new WebAssembly.Module(bytesOf(hex));
      if (kept.size === KEPT) kept.delete(kept.keys().next().value); // the oldest
      kept.set(hex, module);
    }
    return module;
  };

  class Player {
    constructor(request) {
      this.hex = request.modules;
      this.ops = request.ops;
    }
    compiled(number) {
      return moduleOf(this.hex[number]);
    }
    make(slots, o) {
      const ops = this.ops, slot = ops[o + 1], shared = ops[o + 4] === 1;
      if (ops[o + 5] === IMPORTED) {
        const type = { initial: ops[o + 2] };
        if (ops[o + 3] !== NO_MAXIMUM) type.maximum = ops[o + 3];
        if (shared) type.shared = true;
        const memory = new WebAssembly.Memory(type);
        slots[slot] = { memory, functions: exportsOf(new WebAssembly.Instance(this.compiled(slot), { h: { m: memory } })) };
      } else {
        const instance = new WebAssembly.Instance(this.compiled(slot), {});
        slots[slot] = { memory: instance.exports.m, functions: exportsOf(instance) };
      }
    }
    host(slots, o) { // requests to the host itself; returns the answer
      const ops = this.ops, memory = slots[ops[o + 1]].memory;
      const at = ops[o + 2] + ops[o + 3] * 4294967296, count = ops[o + 4];
      switch (ops[o]) {
        case READ: {
          const buffer = memory.buffer;
          if (at + count > buffer.byteLength) return String(OUT_OF_BOUNDS);
          return digest(buffer, at, count) === ops[o + 5] ? '0' : '0#' + hexOf(new Uint8Array(buffer, at, count));
        }
        case GROW:
          try {
            return number(grow(memory, ops[o + 2]));
          } catch (error) {
            return error instanceof RangeError || error instanceof TypeError ? number(NO_MAXIMUM) : String(SYSTEM);
          }
        case BYTES:
          return number(memory.buffer.byteLength);
        case WRITE:
          try {
            new Uint8Array(memory.buffer, at, count).set(pattern.subarray(0, count));
            return '0';
          } catch (error) {
            return String(error instanceof RangeError ? OUT_OF_BOUNDS : SYSTEM);
          }
        default:
          return String(SYSTEM);
      }
    }
    // The answers of one run, with new memories. Each is reported as soon as it is there.
    run(told) {
      const ops = this.ops, slots = [];
      for (let o = 0; o < ops.length; o += WORDS) {
        const slot = ops[o + 1];
        let answer = '0';
        switch (ops[o]) {
          case MAKE:
            try { this.make(slots, o); } catch (error) { answer = String(creationStatus(error)); }
            break;
          case DROP:
            slots[slot] = undefined;
            break;
          case AGAIN:
            try {
              const memory = slots[ops[o + 2]].memory;
              slots[slot] = { memory, functions: exportsOf(new WebAssembly.Instance(this.compiled(slot), { h: { m: memory } })) };
            } catch (error) { answer = String(creationStatus(error)); }
            break;
          case CALL:
            if (slots[slot] === undefined) { answer = String(SYSTEM); break; } // predicted to exist, but it does not
            try {
              answer = wide(slots[slot].functions[ops[o + 2]](ops[o + 3], ops[o + 4], ops[o + 5], ops[o + 6], ops[o + 7]));
            } catch (error) { answer = String(trapStatus(error)); }
            break;
          case SEGMENTS:
            if (slots[slot] === undefined) { answer = String(SYSTEM); break; }
            try {
              new WebAssembly.Instance(this.compiled(ops[o + 2]), { h: { m: slots[slot].memory } });
            } catch (error) { answer = String(error instanceof WebAssembly.RuntimeError ? OUT_OF_BOUNDS : creationStatus(error)); }
            break;
          default:
            answer = slots[slot] === undefined ? String(SYSTEM) : this.host(slots, o);
        }
        told(answer);
      }
    }
  }

  const valid = (...bytes) => WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...bytes]));
  const features = () => {
    const words = ['imports', 'again', 'hostgrow'];
    if (engine !== 'JavaScriptCore') words.push('names'); // there, all memory traps have the same message
    if (valid(5, 4, 1, 3, 1, 1)) words.push('threads');
    if (valid(5, 5, 2, 0, 1, 0, 1)) words.push('second');
    if (valid(5, 4, 1, 7, 1, 1) && valid(5, 3, 1, 4, 1)) words.push('memory64');
    if (valid(1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, 10, 1, 8, 0, 0x41, 0, 0xfd, 0x0f, 0xfd, 0x62, 0x0b)) words.push('simd');
    return words.join(' ');
  };

  const host = globalThis;
  const engine = 'line' in new Error() ? 'JavaScriptCore' : 'lineNumber' in new Error() ? 'SpiderMonkey' : 'V8';
  if (engine === 'V8') Error.stackTraceLimit = 0; // traps are frequent here, and their stacks are not used
  const version = () => {
    if (host.Deno && host.Deno.version) return 'deno ' + host.Deno.version.deno + ', V8 ' + host.Deno.version.v8;
    if (host.Bun) return 'bun ' + host.Bun.version + ', JavaScriptCore ' + host.process.versions.webkit.slice(0, 10);
    if (host.process && host.process.versions) return 'node ' + host.process.versions.node + ', V8 ' + host.process.versions.v8;
    if (host.navigator) return host.navigator.userAgent;
    return engine + ' shell'; // it cannot report its version
  };

  // Answers one line; with "step" each answer is printed at once, on a line of its own.
  const answerTo = (line, say) => {
    const request = JSON.parse(line);
    if (request.hello) return 'pagebox 1 ' + features() + ' ; ' + version();
    const player = new Player(request);
    if (request.step) {
      player.run(say);
      return '.';
    }
    const first = [];
    player.run(answer => first.push(answer));
    let text = first.join(' ');
    for (let round = 1; round < (request.repeat || 1); round++) {
      let n = 0, other = -1, what;
      player.run(answer => {
        // If two traps apply, either may be reported; the tool that compares tiers judges
        // differences in kind.
        const both = isTrap(answer) && isTrap(first[n]);
        if (answer !== first[n] && !both && other < 0) { other = n; what = answer; }
        n++;
      });
      if (other >= 0) return text + ' ! ' + other + ' ' + what + ' repetition ' + round;
    }
    return text;
  };

  // ---- Lines in and out --------------------------------------------------------------------------------
  const chunks = (read, write) => { // read(bytes): returns how many, 0 at the end; write(bytes)
    const decoder = new TextDecoder(), encoder = new TextEncoder(), bytes = new Uint8Array(1 << 16);
    let out = new Uint8Array(1 << 16);
    const say = text => { // text is ASCII
      if (out.length <= text.length) out = new Uint8Array(2 * text.length);
      encoder.encodeInto(text, out);
      out[text.length] = 10;
      for (let from = 0; from <= text.length;) from += write(out.subarray(from, text.length + 1));
    };
    let text = '', count;
    while ((count = read(bytes)) > 0) {
      text += decoder.decode(bytes.subarray(0, count));
      let end;
      while ((end = text.indexOf('\n')) >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        if (line !== '') say(answerTo(line, say));
      }
    }
  };
  if (host.Deno && host.Deno.stdin) {
    chunks(bytes => host.Deno.stdin.readSync(bytes) || 0, bytes => host.Deno.stdout.writeSync(bytes));
  } else if (typeof require === 'function') {
    const fs = require('fs');
    const again = call => {
      for (;;) {
        try { return call(); } catch (error) {
          if (error.code === 'EOF') return 0;
          if (error.code !== 'EAGAIN') throw error;
        }
      }
    };
    chunks(bytes => again(() => fs.readSync(0, bytes, 0, bytes.length, null)), bytes => again(() => fs.writeSync(1, bytes)));
  } else if (typeof readline === 'function') {
    for (let line; (line = readline()) !== null && line !== undefined && line !== '';) print(answerTo(line, print));
  } else {
    host.pageboxAnswer = answerTo;
  }
})();
