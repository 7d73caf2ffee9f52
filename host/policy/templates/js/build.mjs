// Makes policy.wasm of policy.js: a component that imports the contract and nothing else.
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { componentize } from '@bytecodealliance/componentize-js';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
// A slip is told with its line; the bundler below would only count it.
for (const source of ['policy.js', 'landfall.js']) {
  const { status } = spawnSync(process.execPath, ['--check', here(source)], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
const { component } = await componentize({
  sourcePath: here('policy.js'),
  witPath: here('vendor/landfall/wit/v0_1'),
  worldName: '{{world}}',
  // Clock and randomness come with the call; there is no network.
  disableFeatures: ['random', 'stdio', 'clocks', 'http', 'fetch-event'],
});
await writeFile(here('policy.wasm'), component);
console.log(`policy.wasm: ${(component.length / 1048576).toFixed(1)} MiB`);
