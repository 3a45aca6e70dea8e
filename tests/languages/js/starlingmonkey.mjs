// Builds app.js on StarlingMonkey: starlingmonkey.mjs WORLD PATH-OF-COMPONENTIZE-JS
// Without http and fetch-event switched off, the component imports wasi:http whether it uses it or not.

import { readFile, writeFile } from 'node:fs/promises';

const [world, library] = process.argv.slice(2);
const { componentize } = await import(library);
const { component } = await componentize(await readFile('app.js', 'utf8'), {
  witPath: 'wit/world.wit',
  worldName: world,
  disableFeatures: ['http', 'fetch-event'],
});
await writeFile('app.wasm', component);
