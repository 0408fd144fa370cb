import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import type { AnyActorLogic, AnyStateMachine, AnyStateNode, EmittedFrom } from 'xstate'
import { acceptedTypes, matches } from '../actors/bridge.ts'
import type { containerManagerMachine } from '../machines/containerManager.ts'
import type { doctorMachine } from '../machines/doctor.ts'
import type { gossipMachine } from '../machines/gossip.ts'
import type { groupTrackerMachine } from '../machines/groupTracker.ts'
import type { ipTableMachine } from '../machines/ipTable.ts'
import type { pluginRunnerMachine } from '../machines/pluginRunner.ts'
import type { reachabilityMachine } from '../machines/reachability.ts'
import type { relayMachine } from '../machines/relay.ts'
import type { specsMachine } from '../machines/specs.ts'
import type { speedTesterMachine } from '../machines/speedTester.ts'
import type { trustMachine } from '../machines/trust.ts'
import type { turnClientMachine } from '../machines/turnClient.ts'
import type { FactsOf } from '../protocol/facts.ts'
import { type Concern, commands, commandsByConcern, facts, factsByConcern } from '../protocol/index.ts'

const root = resolve(import.meta.dirname, '..')

/** The columns of the house and what each may import: of ours, and from outside. */
const columns: Record<string, { ours: string[]; packages: RegExp }> = {
  protocol: { ours: ['protocol'], packages: /^(mitt|zod|ipaddr\.js|node:crypto|#checks)$/ },
  machines: { ours: ['protocol', 'machines'], packages: /^xstate$/ },
  client: { ours: ['protocol', 'client'], packages: /^(zod|node:(http|net|os|path|stream))$/ },
  actors: { ours: ['protocol', 'machines', 'client', 'actors', 'package.json'], packages: /./ },
  cli: { ours: ['protocol', 'machines', 'client', 'actors', 'cli', 'package.json'], packages: /./ },
}

/** The columns in which a concern has a file of its name. */
const concernColumns = ['protocol', 'machines', 'actors']

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)/g)].map(
    ([, from, dynamic]) => (from ?? dynamic) as string,
  )
}

async function machines(): Promise<[string, AnyStateMachine][]> {
  const found: [string, AnyStateMachine][] = []
  for (const file of sources('machines')) {
    const exported: Record<string, unknown> = await import(join(root, file))
    for (const [name, value] of Object.entries(exported)) {
      if (name.endsWith('Machine')) found.push([name, value as AnyStateMachine])
    }
  }
  return found
}

for (const [column, { ours, packages }] of Object.entries(columns)) {
  test(`${column}/ imports only what it may`, () => {
    for (const file of sources(column)) {
      for (const from of importsOf(file)) {
        if (from.startsWith('.')) {
          const target = relative(root, resolve(root, dirname(file), from)).split('/')[0] as string
          assert.ok(ours.includes(target), `${file} imports ${from}`)
        } else assert.match(from, packages, `${file} imports ${from}`)
      }
    }
  })
}

/** What a file loads when it runs, through other files of ours too: the packages by name. `import type` loads nothing. */
function packagesLoadedBy(file: string, seen = new Set<string>()): Set<string> {
  const packages = new Set<string>()
  if (seen.has(file)) return packages
  seen.add(file)
  const text = readFileSync(join(root, file), 'utf8')
  for (const [, from] of text.matchAll(/(?:^|\n)(?:import|export)\s(?!type\s)[^'"]*?from\s+'([^']+)'/g)) {
    if (!from?.startsWith('.')) packages.add(from as string)
    else
      for (const name of packagesLoadedBy(relative(root, resolve(root, dirname(file), from)), seen)) packages.add(name)
  }
  return packages
}

test('the client loads no library, and its core not even what belongs to Node', () => {
  assert.deepEqual([...packagesLoadedBy('client/client.ts')], [], 'the core')
  assert.deepEqual([...packagesLoadedBy('client/httpTransport.ts')], [], 'its transport over anything like fetch')
  const whole = [...packagesLoadedBy('client/index.ts')]
  assert.deepEqual(
    whole.filter((name) => !name.startsWith('node:')),
    [],
  )
  assert.ok(whole.includes('node:http'), 'imports are found')
  assert.ok(packagesLoadedBy('protocol/index.ts').has('zod'), 'also those of other files')
})

test('a concern is three files of one name, and its machine handles every command of its slice', async () => {
  for (const [concern, commands] of Object.entries(commandsByConcern)) {
    if (concern === 'node') continue // The composition root answers for itself.
    for (const column of concernColumns)
      assert.ok(existsSync(join(root, column, `${concern}.ts`)), `${column}/${concern}.ts`)
    const exported: Record<string, unknown> = await import(join(root, 'machines', `${concern}.ts`))
    const machine = exported[`${concern}Machine`] as AnyStateMachine | undefined
    assert.ok(machine, `machines/${concern}.ts exports ${concern}Machine`)
    assert.equal(machine.id, concern)
    for (const command of Object.keys(commands))
      assert.ok(machine.events.includes(command), `${concern} handles ${command}`)
  }
})

async function concernMachine(concern: string): Promise<AnyStateMachine> {
  const exported: Record<string, unknown> = await import(join(root, 'machines', `${concern}.ts`))
  return exported[`${concern}Machine`] as AnyStateMachine
}

test('every command is accepted by one concern, and only one', async () => {
  const accepting = new Map<string, string[]>()
  for (const concern of Object.keys(commandsByConcern) as Concern[]) {
    if (concern === 'node') continue
    for (const type of acceptedTypes(concern, await concernMachine(concern)))
      accepting.set(type, [...(accepting.get(type) ?? []), concern])
  }
  const actorSources = sources('actors').map((file) => readFileSync(join(root, file), 'utf8'))
  for (const [concern, commands] of Object.entries(commandsByConcern)) {
    for (const command of Object.keys(commands)) {
      // The composition root answers its own commands without a machine.
      if (concern === 'node') {
        assert.ok(
          actorSources.some((text) => text.includes(`bus.on('${command}'`)),
          `nobody accepts ${command}`,
        )
      } else assert.deepEqual(accepting.get(command), [concern], `who accepts ${command}`)
    }
  }
})

/** Sources without type declarations and without the keys of transitions: what is left of an event's name sends it. */
function sendingText(): string {
  return ['machines', 'actors']
    .flatMap(sources)
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n')
    .replace(
      /^(export )?(type|interface) \w+[\s\S]*?(?=^(\/\*\*|export|const|function|async|type|interface|\}\n)|\n\n)/gm,
      '',
    )
    .replace(/'[\w.*]+': /g, '')
    .replace(/event\.type [!=]== '[\w.]+'/g, '')
}

test('a machine handles no event that nobody can send it', async () => {
  const sending = sendingText()
  const onBus = new Set([
    ...Object.values(commandsByConcern).flatMap((commands) => Object.keys(commands)),
    ...Object.values(factsByConcern).flatMap((facts) => Object.keys(facts)),
  ])
  for (const [name, machine] of await machines()) {
    const accepted = machine.id in commandsByConcern ? acceptedTypes(machine.id as Concern, machine) : []
    for (const descriptor of machine.events as string[]) {
      if (descriptor.startsWith('xstate.')) continue
      if (accepted.some((type) => matches(descriptor, type))) continue
      assert.ok(!onBus.has(descriptor), `${name} handles ${descriptor}, which the bus does not bring it`)
      // Said by a child or a parent, whole or with its last word filled in.
      const [noun] = descriptor.split('.') as [string]
      assert.ok(
        sending.includes(`'${descriptor}'`) || (descriptor.includes('.') && sending.includes(`\`${noun}.\${`)),
        `${name} handles ${descriptor}, which nobody sends`,
      )
    }
  }
})

test('a noun has one owner: every event name begins with a noun that only one slice declares', () => {
  const owners = new Map<string, Set<string>>()
  // The defaults name events without declaring any.
  for (const file of sources('protocol').filter((name) => !name.startsWith('protocol/defaults/'))) {
    const text = readFileSync(join(root, file), 'utf8')
    for (const [, noun] of text.matchAll(/(?:type: |^ {2})'([a-z][A-Za-z]*)\.[a-z][A-Za-z]*'/gm)) {
      owners.set(noun as string, (owners.get(noun as string) ?? new Set()).add(file))
    }
  }
  assert.ok(owners.size >= 6)
  for (const [noun, files] of owners)
    assert.equal(files.size, 1, `${noun}.* is declared in ${[...files].join(' and ')}`)
})

/** Rooms of actors/ that any concern may use. They know no concern; `home` opens the concerns' files. */
const sharedRooms = ['engine', 'home', 'identity', 'net', 'ssh']

/** The concern whose file or folder this is, and which listeners and the composition root alone may import. */
function concernOf(file: string): string | undefined {
  const [room, name] = file.split('/') as [string, string]
  const concern = name?.replace(/\.ts$/, '')
  return room === 'actors' && concern in factsByConcern && concern !== 'node' ? concern : undefined
}

test('concerns meet on the bus: no actor of one imports anything of another, nor does a shared room', () => {
  let checked = 0
  for (const file of sources('actors')) {
    const room = file.split('/')[1] as string
    const own = concernOf(file)
    if (!own && !(sharedRooms.includes(room) && room !== 'home')) continue
    checked += 1
    for (const from of importsOf(file)) {
      const other = from.startsWith('.') && concernOf(relative(root, resolve(root, dirname(file), from)))
      assert.ok(!other || other === own, `${file} imports ${from}, which belongs to ${other}`)
    }
  }
  assert.ok(checked > 50)
})

test('what an actor publishes itself is a fact of its own slice', () => {
  const published: string[] = []
  for (const file of sources('actors')) {
    const text = readFileSync(join(root, file), 'utf8')
    for (const [, type] of text.matchAll(/\bpublish\(\{\s*type: '([\w.]+)'/g)) {
      published.push(type as string)
      const fact = facts.get(type as string)
      if (fact) assert.equal(fact.concern, concernOf(file) ?? 'node', `${file} publishes ${type}`)
      else assert.ok(commands.has(type as string), `${file} publishes ${type}, which no slice declares`)
    }
  }
  assert.ok(published.includes('node.started') && published.includes('table.addUnverified'))
})

/** What each machine emits, as the compiler sees it: a fact of another slice makes its row a type error. */
type EmitsOwn<L extends AnyActorLogic, C extends Concern> = [EmittedFrom<L>] extends [
  FactsOf<(typeof factsByConcern)[C]>,
]
  ? true
  : never

const emitsOwnFacts: Record<Exclude<Concern, 'node'>, true> = {
  containerManager: true satisfies EmitsOwn<typeof containerManagerMachine, 'containerManager'>,
  doctor: true satisfies EmitsOwn<typeof doctorMachine, 'doctor'>,
  gossip: true satisfies EmitsOwn<typeof gossipMachine, 'gossip'>,
  groupTracker: true satisfies EmitsOwn<typeof groupTrackerMachine, 'groupTracker'>,
  ipTable: true satisfies EmitsOwn<typeof ipTableMachine, 'ipTable'>,
  pluginRunner: true satisfies EmitsOwn<typeof pluginRunnerMachine, 'pluginRunner'>,
  reachability: true satisfies EmitsOwn<typeof reachabilityMachine, 'reachability'>,
  relay: true satisfies EmitsOwn<typeof relayMachine, 'relay'>,
  specs: true satisfies EmitsOwn<typeof specsMachine, 'specs'>,
  speedTester: true satisfies EmitsOwn<typeof speedTesterMachine, 'speedTester'>,
  trust: true satisfies EmitsOwn<typeof trustMachine, 'trust'>,
  turnClient: true satisfies EmitsOwn<typeof turnClientMachine, 'turnClient'>,
}

test('every concern emits only facts of its own slice: the compiler has checked each', () => {
  const concerns = Object.keys(factsByConcern).filter((concern) => concern !== 'node')
  assert.deepEqual(Object.keys(emitsOwnFacts).sort(), concerns.sort())
})

test('every state of every machine can be reached from its start', async () => {
  for (const [name, machine] of await machines()) {
    const reached = new Set<AnyStateNode>()
    const visit = (node: AnyStateNode): void => {
      if (reached.has(node)) return
      reached.add(node)
      if (node.parent) visit(node.parent)
      for (const child of node.type === 'parallel' ? Object.values(node.states) : (node.initial?.target ?? []))
        visit(child)
      for (const transition of [...node.transitions.values()].flat().concat(node.always ?? [])) {
        for (const target of transition.target ?? []) visit(target)
      }
    }
    visit(machine.root)
    const all = (node: AnyStateNode): AnyStateNode[] => [node, ...Object.values(node.states).flatMap(all)]
    const dead = all(machine.root).filter((node) => !reached.has(node))
    assert.deepEqual(
      dead.map((node) => node.id),
      [],
      `${name} has states that nothing leads to`,
    )
  }
})

test('every machine ends an endless loop of its own', async () => {
  for (const [name, machine] of await machines()) assert.equal(machine.options?.maxIterations, 1_000, name)
})

test('no shell strings, and files that can be read in one go', () => {
  for (const file of [
    'cli.ts',
    ...Object.keys(columns).flatMap(sources),
    ...['scripts', 'bench', 'simulation'].flatMap(sources),
  ]) {
    const text = readFileSync(join(root, file), 'utf8')
    assert.doesNotMatch(text, /(?<![.\w])(execSync|exec)\(|shell: true/, file)
    assert.ok(text.split('\n').length <= 351, `${file} has more than 350 lines`)
  }
})

test('the command line is parsed in one place', () => {
  const parsers = ['cli.ts', ...Object.keys(columns).flatMap(sources)].filter((file) =>
    /\.parse\(\['node'|parseArgs/.test(readFileSync(join(root, file), 'utf8')),
  )
  assert.deepEqual(parsers, ['cli/commandLine.ts'])
})
