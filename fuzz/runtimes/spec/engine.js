// engine.js: plays one of the specification's scripts, as parsed by wast2json, in a JavaScript engine. In the file that
// scripts/pagebox/runtimes/spec.py writes, it follows a line `const script = {...}`. Prints failures and a count.
'use strict';
const say = typeof print === 'function' ? print : console.log;
const bytesOf = hex => Uint8Array.from(hex.match(/../g) || [], byte => parseInt(byte, 16));
const view = new DataView(new ArrayBuffer(8));
let passed = 0, failed = 0, leftOut = 0;

// Values come as decimal bit patterns.
const valueOf = ({ type, value }) => {
  switch (type) {
    case 'i32': return Number(BigInt.asIntN(32, BigInt(value)));
    case 'i64': return BigInt.asIntN(64, BigInt(value));
    case 'f32': view.setUint32(0, Number(value)); return view.getFloat32(0);
    case 'f64': view.setBigUint64(0, BigInt(value)); return view.getFloat64(0);
    default: throw new Error('value of type ' + type);
  }
};
const bitsOf = (type, value) => {
  switch (type) {
    case 'i32': return BigInt.asUintN(32, BigInt(value));
    case 'i64': return BigInt.asUintN(64, value);
    case 'f32': view.setFloat32(0, value); return BigInt(view.getUint32(0));
    default: view.setFloat64(0, value); return view.getBigUint64(0);
  }
};
const equal = (expected, got) => {
  if (String(expected.value).startsWith('nan') || Number.isNaN(valueOf(expected))) return Number.isNaN(got); // JavaScript may change its bits
  return bitsOf(expected.type, got) === bitsOf(expected.type, valueOf(expected));
};

const silent = () => {};
const spectest = {
  print: silent, print_i32: silent, print_i64: silent, print_f32: silent, print_f64: silent, print_i32_f32: silent, print_f64_f64: silent,
  global_i32: 666, global_i64: 666n, global_f32: 666.6, global_f64: 666.6,
  table: new WebAssembly.Table({ initial: 10, maximum: 20, element: 'anyfunc' }),
  memory: new WebAssembly.Memory({ initial: 1, maximum: 2 }),
};
try { spectest.shared_memory = new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true }); } catch (error) { /* threads are not supported */ }

const registered = { spectest }, named = {};
let current, absent = false; // absent: the current module needs a feature that the engine lacks
const has = (...bytes) => WebAssembly.validate(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, ...bytes]));
const lacks = !has(5, 5, 2, 0, 1, 0, 1) || !has(5, 4, 1, 3, 1, 1); // several memories, shared memories
const compile = hex => new WebAssembly.Module(bytesOf(hex));
const instantiate = hex => new WebAssembly.Instance(compile(hex), registered);
const act = action => {
  const instance = action.module ? named[action.module] : current, field = instance.exports[action.field];
  return action.type === 'get' ? field.value : field(...action.args.map(valueOf));
};
const fails = (call, kinds) => {
  try { call(); } catch (error) {
    if (kinds.some(kind => error instanceof kind)) return;
    throw new Error('failed in another way: ' + error);
  }
  throw new Error('did not fail');
};
const { CompileError, LinkError, RuntimeError } = WebAssembly;
const play = command => {
  switch (command.type) {
    case 'module':
      current = undefined;
      absent = false;
      try {
        current = instantiate(command.hex);
      } catch (error) {
        absent = lacks && error instanceof CompileError && /memor/i.test(error.message);
        if (absent) return false;
        throw error;
      }
      if (command.name) named[command.name] = current;
      return true;
    case 'register':
      registered[command.as] = (command.name ? named[command.name] : current).exports;
      return true;
    case 'action':
      act(command.action);
      return true;
    case 'assert_return': {
      const got = act(command.action), expected = command.expected;
      if (expected.length > 1) return false;
      if (expected.length === 1 && !equal(expected[0], got)) throw new Error('is ' + got);
      return true;
    }
    case 'assert_trap': fails(() => act(command.action), [RuntimeError, TypeError]); return true;
    case 'assert_exhaustion': fails(() => act(command.action), [RangeError, RuntimeError, Error]); return true;
    case 'assert_invalid':
    case 'assert_malformed':
      if (command.hex === undefined) return false; // a text
      fails(() => compile(command.hex), [CompileError]);
      return true;
    case 'assert_unlinkable': fails(() => instantiate(command.hex), [LinkError, TypeError]); return true;
    case 'assert_uninstantiable': fails(() => instantiate(command.hex), [RuntimeError, RangeError, LinkError]); return true;
    default: return false;
  }
};
for (const command of script.commands) {
  const needs = command.action !== undefined && command.action.module === undefined || command.type === 'register';
  try {
    if (absent && needs) leftOut++;
    else if (play(command)) passed++; else leftOut++;
  } catch (error) {
    failed++;
    say(script.name + ':' + command.line + ': ' + command.type + ': ' + (error && error.message));
  }
}
say('COUNT ' + passed + ' ' + failed + ' ' + leftOut);
