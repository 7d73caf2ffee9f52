// Makes landfall-policy.d.ts of the contract: types for editors and for TypeScript. `--check` only says whether it is as it
// would be made.
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = await mkdtemp(join(tmpdir(), 'types-'));
const jco = here('node_modules/@bytecodealliance/jco/src/jco.js');
const arguments_ = [jco, 'guest-types', here('../../../wit/v0_1'), '--world-name', 'policy', '--out-dir', folder];
const { status, stderr } = spawnSync(process.execPath, arguments_, { encoding: 'utf8' });
if (status !== 0) throw new Error(stderr);

const made = join(folder, 'interfaces');
const texts = (await readdir(made)).sort().map((name) => readFile(join(made, name), 'utf8'));
const modules = (await Promise.all(texts)).map((text) => text.replace(/^\/\/\/ <reference.*\n/gm, '').trimEnd());
const head = '// The contract of policies as types, made by types.mjs.\n';
// A list of numbers is taken as well.
const types = [head, ...modules].join('\n').replaceAll('Uint32Array', 'ArrayLike<number>') + '\n';
await rm(folder, { recursive: true });

const file = here('landfall-policy.d.ts');
if (!process.argv.includes('--check')) {
  await writeFile(file, types);
} else if ((await readFile(file, 'utf8')) !== types) {
  console.error('landfall-policy.d.ts is not what the contract says; run: node types.mjs');
  process.exit(1);
}
