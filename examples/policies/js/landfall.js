// What every policy in JavaScript can use: copy this file beside your own.
//
// Nothing here may ever change its answers: where a device belongs follows from them. The numbers are those of the Rust
// SDK, bit for bit (MurmurHash64A, SplitMix64's finaliser, fdlibm's logarithm), so that a policy can move from one
// language to the other and no device moves with it.

import { emit, enabled } from 'landfall:policy/log@0.1.0';

/** The value of a label, fact, claim or tag; undefined when there is none. */
export function valueOf(labels, key) {
  return labels.find((label) => label.key === key)?.value;
}

/** A fact without which the policy cannot decide. */
export function requireFact(device, key) {
  const value = valueOf(device.facts, key);
  if (value === undefined) throw badInput(`the manufacturing record has no fact \`${key}\``);
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
  if (!enabled(level)) return;
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
  const bytes = new TextEncoder().encode(text);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = bytes.length - (bytes.length % 8);
  let hash = u64(BigInt(bytes.length) * MULTIPLIER);
  for (let at = 0; at < words; at += 8) {
    let word = u64(view.getBigUint64(at, true) * MULTIPLIER);
    word = u64((word ^ (word >> SHIFT)) * MULTIPLIER);
    hash = u64((hash ^ word) * MULTIPLIER);
  }
  if (words < bytes.length) {
    let word = 0n;
    for (let at = bytes.length - 1; at >= words; at -= 1) word = (word << 8n) | BigInt(bytes[at]);
    hash = u64((hash ^ word) * MULTIPLIER);
  }
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
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, x);
  const bits = view.getBigUint64(0);
  let exponent = Number(bits >> 52n) - 1023;
  view.setBigUint64(0, (bits & ((1n << 52n) - 1n)) | (1023n << 52n));
  let mantissa = view.getFloat64(0);
  if (mantissa > Math.SQRT2) {
    mantissa *= 0.5;
    exponent += 1;
  }
  const f = mantissa - 1;
  const s = f / (2 + f);
  const z = s * s;
  const series = LG.reduceRight((sum, factor) => (sum + factor) * z, 0);
  const halfSquare = 0.5 * f * f;
  return exponent * LN2_HIGH - (halfSquare - (s * (halfSquare + series) + exponent * LN2_LOW) - f);
}

const u64 = (number) => BigInt.asUintN(64, number);
const MULTIPLIER = 0xc6a4a7935bd1e995n;
const SHIFT = 47n;
const LN2_HIGH = 6.931471803691238e-1;
const LN2_LOW = 1.9082149292705877e-10;
const LG = [
  6.666666666666735e-1, 3.999999999940942e-1, 2.857142874366239e-1, 2.2222198432149784e-1, 1.818357216161805e-1,
  1.5313837699209373e-1, 1.4798198605116586e-1,
];
