// planted.js: driver.js with one bug planted into its answers: node planted.js NAME. The table in
// scripts/pagebox/runtimes/tests.py describes each bug and the name that its finding must have.
'use strict';
const fs = require('fs'), path = require('path');
const OK = '0', OUT_OF_BOUNDS = '6', CALL = 4, REFUSED = '0:4294967295';

// The body of a function in a module of guest.c, as hexadecimal.
const bodies = new Map();
const bodyOf = (hex, wanted) => {
  if (!bodies.has(hex)) {
    const bytes = Buffer.from(hex, 'hex'), made = [];
    let at = 8;
    const leb = () => { let value = 0, shift = 0, byte; do { byte = bytes[at++]; value += (byte & 127) * 2 ** shift; shift += 7; } while (byte & 128); return value; };
    while (at < bytes.length) {
      const section = bytes[at++], size = leb(), end = at + size;
      if (section === 10) for (let n = leb(); n > 0; n--) { const length = leb(); made.push(hex.slice(2 * at, 2 * (at + length))); at += length; }
      at = end;
    }
    bodies.set(hex, made);
  }
  return bodies.get(hex)[wanted];
};
const is = { grow: /^00200040/, notify: /2001fe00/, store: /(3[6-9a-e])[0-9a-f]+42000b$/, load: /^00(2000|41[0-9a-f]+)(2[89ab]|2[cdef]|3[0-5])[0-9a-f]+0b$/,
             atomic: /fe[1-4]/, load32s: /^002000(ad)?34/, fill: /fc0b/, init: /fc08/ };

const plants = {
  'grow-at-maximum': (body, answer) => is.grow.test(body) && answer === REFUSED ? OK : answer,
  'store-past-the-end': (body, answer) => is.store.test(body) && answer === OUT_OF_BOUNDS ? OK : answer,
  'notify-one-too-many': (body, answer) => is.notify.test(body) && answer === OK ? '0:1' : answer,
  'sum-wraps': (body, answer, index) => is.load.test(body) && !is.store.test(body) && /(ffff0f|f0?[89a-f]ffffff0f|ffffffff0f)/.test(body) && index > 16 && answer === OUT_OF_BOUNDS ? OK : answer,
  'other-tier': (body, answer) => !/^00(3f00|200040)/.test(body) && answer.startsWith('0:') ? answer + '1' : answer,
  'sign-not-extended': (body, answer) => is.load32s.test(body) ? answer.split(':').slice(0, 2).join(':') : answer,
  'hangs': (body, answer) => { if (is.fill.test(body)) for (;;); return answer; },
  'crashes': (body, answer) => { if (is.atomic.test(body)) process.abort(); return answer; },
  'exits': (body, answer) => { if (is.init.test(body)) { console.error('goodbye'); process.exit(3); } return answer; },
};
const plant = plants[process.argv[2]];
if (plant === undefined) throw new Error('planted.js: there are ' + Object.keys(plants).join(', '));
globalThis.planted = (answer, ops, o, player) =>
  ops[o] === CALL ? plant(bodyOf(player.hex[ops[o + 1]], ops[o + 2]) || '', answer, ops[o + 3]) : answer;

const driver = fs.readFileSync(path.join(__dirname, '..', 'driver.js'), 'utf8');
const changed = driver.replace('told(answer);', 'told(planted(answer, ops, o, this));');
if (changed === driver) throw new Error('planted.js: driver.js has changed');
new Function('require', changed)(require);
