import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { promisify } from 'node:util'
import { type BuildOptions, build, type Plugin } from 'esbuild'

/**
 * `npm run build`: `dist/cli.js` is all that a command needs to talk to a running node, `dist/node.js` is the node,
 * loaded only where one has to run (`dist/temporaryNode.js` is its process where a command needs one), with its larger libraries below `dist/lib/`. `dist/client.js` with the types below
 * `dist/client/` is what programs import as `p2prc/client`. Minified CommonJS files start faster than modules do. An
 * argument names another folder than `dist`.
 */
const root = resolve(import.meta.dirname, '..')
const dist = resolve(root, process.argv[2] ?? 'dist')
const tsc = join(root, 'node_modules/typescript/bin/tsc')

/** The line between the two: whatever is imported through `cli/inProcess.ts` is in the node's file. */
const inProcessApart: Plugin = {
  name: 'in-process-apart',
  setup({ onResolve }) {
    onResolve({ filter: /\/inProcess\.ts$/ }, ({ kind }) =>
      kind === 'dynamic-import' ? { path: './node.js', external: true } : undefined,
    )
  },
}

/** Compiled helpers of libraries: absent, so that each falls back to JavaScript and no file of one platform ships. */
const noNativeCode: Plugin = {
  name: 'no-native-code',
  setup({ onResolve }) {
    onResolve({ filter: /\.node$|^cpu-features$/ }, ({ path }) => ({ path, external: true }))
  },
}

/**
 * The larger libraries of a node. V8 parses nearly all of a bundle when it is loaded, and the memory that this takes is
 * not given back to the system. Parsed one after the other, they use the same memory again: 14 MB less for a node.
 */
const libraries = [
  ...['dockerode', 'fastify', 'js-yaml', 'systeminformation', 'xstate', 'zod'],
  // Of domains alone, and loaded at the first one.
  ...['@peculiar/x509', 'acme-client', 'httpxy'],
]

/** No other file has them in it: each is a file of its own below `dist/lib/`. */
const librariesApart: Plugin = {
  name: 'libraries-apart',
  setup({ onResolve }) {
    onResolve({ filter: new RegExp(`^(${libraries.join('|')})$`) }, ({ path }) => ({
      path: `./lib/${path}.js`,
      external: true,
    }))
  },
}

/**
 * What dockerode loads at its start although few need it: gRPC for BuildKit, and SSH for `DOCKER_HOST=ssh://`. Each
 * exports one function and becomes a file of its own too, which a lazy module loads at the first call: another 7 MB less,
 * and a fifth of the time that a node takes to load.
 */
const loadedWhenCalled = { session: 'dockerode/lib/session.js', ssh: 'docker-modem/lib/ssh.js' }

const lazyModules: Plugin = {
  name: 'lazy-modules',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/(session|ssh)$/ }, ({ path, resolveDir, namespace }) => {
      if (namespace === 'lazy-module') return { path: `${path}.js`, external: true }
      return /node_modules\/(dockerode|docker-modem)\/lib$/.test(resolveDir)
        ? { path, namespace: 'lazy-module' }
        : undefined
    })
    onLoad({ filter: /./, namespace: 'lazy-module' }, ({ path }) => ({
      contents: `module.exports = function (...args) { return require(${JSON.stringify(path)}).apply(this, args) }`,
    }))
  },
}

/** Optional dependencies, which have compiled parts and are loaded from `node_modules` where a punched path is wanted. */
const external = ['hyperdht', 'blind-relay']

/** zod carries its messages in every language; ours are English. */
const englishOnly: Plugin = {
  name: 'english-only',
  setup({ onResolve }) {
    onResolve({ filter: /\/locales\/index\.js$/ }, ({ path, resolveDir }) =>
      resolveDir.includes('/zod/') ? { path: join(resolveDir, dirname(path), 'en.js') } : undefined,
    )
  },
}

const common: BuildOptions = {
  bundle: true,
  minify: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  define: { 'import.meta.dirname': '__dirname', 'import.meta.filename': '__filename' },
  // CommonJS loads what is imported on demand with `require`, which is the faster one.
  supported: { 'dynamic-import': false },
  legalComments: 'none',
  logLevel: 'warning',
  absWorkingDir: root,
}

rmSync(dist, { recursive: true, force: true })
mkdirSync(dist, { recursive: true })
await Promise.all([
  build({
    ...common,
    entryPoints: ['cli.ts'],
    outfile: join(dist, 'cli.js'),
    banner: { js: '#!/usr/bin/env node' },
    plugins: [inProcessApart, librariesApart, noNativeCode],
  }),
  build({
    ...common,
    entryPoints: ['cli/temporaryNode.ts'],
    outfile: join(dist, 'temporaryNode.js'),
    plugins: [inProcessApart],
  }),
  build({ ...common, entryPoints: ['actors/reachability/routerProcess.ts'], outfile: join(dist, 'routerProcess.js') }),
  build({
    ...common,
    entryPoints: ['cli/inProcess.ts'],
    outfile: join(dist, 'node.js'),
    external,
    plugins: [librariesApart, noNativeCode],
  }),
  build({
    ...common,
    entryPoints: ['actors/relay/dht/relayDhtProcess.ts'],
    outfile: join(dist, 'relayDhtProcess.js'),
    external,
    plugins: [librariesApart],
  }),
  build({
    ...common,
    entryPoints: { ...Object.fromEntries(libraries.map((name) => [name, name])), ...loadedWhenCalled },
    outdir: join(dist, 'lib'),
    plugins: [noNativeCode, lazyModules, englishOnly],
  }),
  build({ ...common, entryPoints: ['client/index.ts'], outfile: join(dist, 'client.js') }),
  promisify(execFile)(process.execPath, [tsc, '-p', join(root, 'tsconfig.client.json'), '--outDir', dist]),
])
// The package is of type module; this folder is not.
writeFileSync(join(dist, 'package.json'), '{ "type": "commonjs" }\n')
chmodSync(join(dist, 'cli.js'), 0o755)
for (const name of ['cli.js', 'node.js', 'client.js', ...libraries.map((name) => `lib/${name}.js`)]) {
  console.log(`${relative(root, join(dist, name))}  ${(statSync(join(dist, name)).size / 1024).toFixed(0)} KiB`)
}
