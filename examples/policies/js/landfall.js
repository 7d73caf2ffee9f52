// What every policy in JavaScript can use: copy this file beside your own.
//
// Nothing here may ever change its answers: where a device belongs follows from them. The numbers are those of the Rust
// SDK, bit for bit (MurmurHash64A, SplitMix64's finaliser, fdlibm's logarithm), so that a policy can move from one
// language to the other and no device moves with it.

import { emit, enabled } from 'landfall:policy/log@0.1.0';

/**
 * What a policy exports, with one thing more: an exception is told to its author, with its message and its stack, before
 * it ends the call. What is thrown as an answer (`badInput`, `unsupported`, a list of problems) stays one.
 *
 * @template T
 * @param {T} functions
 * @returns {T}
 */
export function exported(functions) {
  const ended = (error) => {
    if (!isAnswer(error)) tell(error);
    throw error;
  };
  const telling = (run) => (...given) => {
    try {
      const answer = run.apply(functions, given);
      return answer instanceof Promise ? answer.catch(ended) : answer;
    } catch (error) {
      return ended(error);
    }
  };
  /** @type {any} */
  const told = Object.fromEntries(Object.entries(functions).map(([name, run]) => [name, telling(run)]));
  return told;
}

const isAnswer = (thrown) => Array.isArray(thrown) || typeof thrown?.tag === 'string';

// The form in which the host reads where a policy panicked, as the Rust SDK has it.
function tell(error) {
  const { fileName = 'policy.js', lineNumber = 0, columnNumber = 0, stack = '' } = Object(error);
  const file = fileName.split('/').pop();
  const ours = stack.split('\n').filter((frame) => frame && !/^exported\/|initializer\.js/.test(frame));
  const fields = { file, line: String(lineNumber), stack: ours.slice(0, 20).join(' < ') };
  const label = ([key, value]) => ({ key, value });
  emit('error', `panicked at ${file}:${lineNumber}:${columnNumber}: ${error}`, Object.entries(fields).map(label));
}

/** The value of a label, fact, claim or tag; undefined when there is none. */
export function valueOf(labels, key) {
  return labels.find((label) => label.key === key)?.value;
}

/** A fact without which the policy cannot decide. An empty one is none. */
export function requireFact(device, key) {
  const value = valueOf(device.facts, key);
  if (value === undefined) throw badInput(`the manufacturing record has no fact \`${key}\``);
  if (value === '') throw badInput(`the manufacturing record's fact \`${key}\` is empty`);
  return value;
}

/** The policy does not handle such devices or candidates. Throw it. */
export const unsupported = (val) => ({ tag: 'unsupported', val });
/** Something that the policy was given is wrong. Throw it. */
export const badInput = (val) => ({ tag: 'bad-input', val });

/** How full a hub is, from 0 to 1; registrations under way count. */
export function fullness(hub) {
  const taken = hub.assigned + BigInt(hub.pending);
  const room = taken < hub.capacity ? hub.capacity - taken : 0n;
  return hub.capacity === 0n ? 1 : 1 - Number(room) / Number(hub.capacity);
}

/** Keeps a log line with the decision, if lines of this level are kept. The line is only built then. */
export function log(level, line) {
  // To ask the host costs as much as a hundred steps here, and its answer stays the same for a whole call.
  kept[level] ??= enabled(level);
  if (!kept[level]) return;
  const { message, ...fields } = line();
  emit(level, message, Object.entries(fields).map(([key, value]) => ({ key, value: String(value) })));
}

/** Gives a policy its settings: unknown members are problems, missing ones get their defaults. */
export function readSettings(text, defaults) {
  let given;
  try {
    given = JSON.parse(text.trim() === '' ? '{}' : text) ?? {};
  } catch (error) {
    throw [{ pointer: '', message: error.message }];
  }
  if (typeof given !== 'object' || Array.isArray(given)) {
    throw [{ pointer: '', message: 'settings are a JSON object' }];
  }
  const unknown = Object.keys(given).filter((key) => !(key in defaults));
  if (unknown.length > 0) {
    const known = Object.keys(defaults).map((key) => `\`${key}\``).join(', ');
    throw unknown.map((key) => ({
      pointer: `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      message: `unknown field \`${key}\`, expected one of ${known}`,
    }));
  }
  return { ...defaults, ...given };
}

/** Where a key falls between 0 (included) and 1 (excluded), for ever. */
export function fraction(salt, key) {
  const bits = mix(u64(stableHash(salt) + mix(stableHash(key))));
  return Number(bits >> 11n) / 2 ** 53;
}

/** The best `count` hubs for a key, best first: weighted rendezvous hashing. */
export function rank(key, hubs, count) {
  const hashed = stableHash(key);
  const scored = hubs.map((hub) => ({ hub, score: score(hashed, hub) }));
  const byName = (a, b) => (a.hub.name < b.hub.name ? -1 : 1);
  scored.sort((a, b) => b.score - a.score || byName(a, b));
  return scored.slice(0, count).map(({ hub }) => hub);
}

function score(key, hub) {
  const bits = mix(u64(key + mix(stableHash(hub.name))));
  const u = (Number(bits >> 12n) + 0.5) / 2 ** 52;
  return hub.weight / -ln(u);
}

/** A 64-bit hash of a text: MurmurHash64A with seed 0 over its UTF-8. */
export function stableHash(text) {
  // Three bytes of UTF-8 at most for each unit, and eight zeros behind them.
  if (3 * text.length + 8 > bytes.length) room(3 * text.length + 8);
  const { written } = encoder.encodeInto(text, bytes);
  bytes.fill(0, written, written + 8);
  const whole = written >> 3;
  let hash = u64(BigInt(written) * MULTIPLIER);
  for (let at = 0; at < whole; at += 1) {
    const word = u64(words[at] * MULTIPLIER);
    hash = u64((hash ^ u64((word ^ (word >> SHIFT)) * MULTIPLIER)) * MULTIPLIER);
  }
  if (written & 7) hash = u64((hash ^ words[whole]) * MULTIPLIER);
  hash = u64((hash ^ (hash >> SHIFT)) * MULTIPLIER);
  return hash ^ (hash >> SHIFT);
}

function mix(bits) {
  bits = u64((bits ^ (bits >> 30n)) * 0xbf58476d1ce4e5b9n);
  bits = u64((bits ^ (bits >> 27n)) * 0x94d049bb133111ebn);
  return bits ^ (bits >> 31n);
}

// Math.log may differ in the last bit from machine to machine, and one bit can move a device.
function ln(x) {
  double[0] = x;
  let exponent = (halves[1] >>> 20) - 1023;
  halves[1] = (halves[1] & 0xfffff) | 0x3ff00000;
  let mantissa = double[0];
  if (mantissa > Math.SQRT2) {
    mantissa *= 0.5;
    exponent += 1;
  }
  const f = mantissa - 1;
  const s = f / (2 + f);
  const z = s * s;
  const series = ((((((LG7 * z + LG6) * z + LG5) * z + LG4) * z + LG3) * z + LG2) * z + LG1) * z;
  const halfSquare = 0.5 * f * f;
  return exponent * LN2_HIGH - (halfSquare - (s * (halfSquare + series) + exponent * LN2_LOW) - f);
}

// What is needed again and again is made once: an interpreter pays for every step and every object.
function room(length) {
  words = new BigUint64Array(Math.ceil(length / 8));
  bytes = new Uint8Array(words.buffer);
}

const u64 = (number) => BigInt.asUintN(64, number);
const MULTIPLIER = 0xc6a4a7935bd1e995n;
const SHIFT = 47n;
const LN2_HIGH = 6.931471803691238e-1;
const LN2_LOW = 1.9082149292705877e-10;
const LG1 = 6.666666666666735e-1;
const LG2 = 3.999999999940942e-1;
const LG3 = 2.857142874366239e-1;
const LG4 = 2.2222198432149784e-1;
const LG5 = 1.818357216161805e-1;
const LG6 = 1.5313837699209373e-1;
const LG7 = 1.4798198605116586e-1;

const kept = {};
const encoder = new TextEncoder();
let words = new BigUint64Array(64);
let bytes = new Uint8Array(words.buffer);
const double = new Float64Array(1);
// WebAssembly is little-endian.
const halves = new Uint32Array(double.buffer);
