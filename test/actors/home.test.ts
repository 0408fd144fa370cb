import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { after, describe, test } from 'node:test'
import { lockHome, openHome } from '../../actors/home.ts'
import { homePaths } from '../../actors/homePaths.ts'

// A short path: one test is about long ones.
const folder = mkdtempSync('/tmp/p2prc-home-')
after(() => rmSync(folder, { recursive: true, force: true }))

let serial = 0
const fresh = () => join(folder, `h${++serial}`)

/** Every file below `dir` with its mode and content. */
function contents(dir: string): Record<string, string> {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort()
  return Object.fromEntries(
    names
      .map((name) => join(dir, name))
      .filter((path) => statSync(path).isFile())
      .map((path) => [path, `${(statSync(path).mode & 0o777).toString(8)} ${readFileSync(path, 'latin1')}`]),
  )
}

describe('home: where it lies', () => {
  test('with P2PRC, in P2PRC’s layout', () => {
    const paths = homePaths({ P2PRC: '/somewhere', XDG_STATE_HOME: '/ignored' })
    assert.equal(paths.config, '/somewhere/config.json')
    assert.equal(paths.ipTable, '/somewhere/p2p/iptable/ip_table.json')
    assert.equal(paths.trackContainers, '/somewhere/client/trackcontainers/trackcontainers.json')
    assert.equal(paths.groupTrackContainers, '/somewhere/client/trackcontainers/grouptrackcontainers.json')
    assert.equal(paths.plugins, '/somewhere/plugin/deploy')
    assert.equal(paths.socket, '/somewhere/run/control.sock')
  })

  test('else the XDG folders; an empty P2PRC and a relative XDG path count for nothing', () => {
    const env = { P2PRC: '', XDG_CONFIG_HOME: '/c', XDG_STATE_HOME: '/s', XDG_RUNTIME_DIR: '/r' }
    const paths = homePaths(env)
    assert.equal(paths.config, '/c/p2prc/config.json')
    assert.equal(paths.trackContainers, '/s/p2prc/trackcontainers.json')
    assert.equal(paths.key, '/s/p2prc/id_ed25519')
    assert.equal(paths.socket, '/r/p2prc/control.sock')
    assert.equal(homePaths({ ...env, XDG_RUNTIME_DIR: 'relative' }).socket, '/s/p2prc/run/control.sock')
    assert.match(homePaths({ XDG_STATE_HOME: 'relative' }).dir, /^\/.+\.local\/state\/p2prc$/)
  })

  test('the socket of a home far down gets a short path of its own', () => {
    const deep = `/${'deep/'.repeat(40)}home`
    const paths = homePaths({ P2PRC: deep })
    assert.ok(Buffer.byteLength(paths.socket) <= 100)
    assert.equal(homePaths({ P2PRC: deep }).socket, paths.socket)
    assert.notEqual(homePaths({ P2PRC: `${deep}2` }).socket, paths.socket)
    assert.ok(homePaths({ P2PRC: deep, XDG_RUNTIME_DIR: '/run/user/7' }).socket.startsWith('/run/user/7/p2prc/'))
  })
})

describe('home: made at first start', () => {
  test('all that is needed, private, with P2PRC’s keys and types', async () => {
    const dir = fresh()
    const home = await openHome({ P2PRC: dir })
    assert.equal(statSync(dir).mode & 0o777, 0o700)
    assert.equal(statSync(dirname(home.paths.socket)).mode & 0o777, 0o700)
    assert.equal(statSync(home.paths.config).mode & 0o777, 0o600)
    const text = readFileSync(home.paths.config, 'utf8')
    assert.ok(text.startsWith('{\n "'), 'one space, as P2PRC indents it')
    const config = JSON.parse(text) as Record<string, unknown>
    const types = Object.fromEntries(Object.entries(config).map(([key, value]) => [key, typeof value]))
    const strings = [
      ...['MachineName', 'IPTable', 'DockerContainers', 'DefaultDockerFile', 'DockerRunLogs', 'SpeedTestFile'],
      ...['IPV6Address', 'PluginPath', 'TrackContainersPath', 'GroupTrackContainersPath', 'ServerPort', 'ProxyPort'],
      ...['IPTableKey', 'PublicKeyFile', 'PrivateKeyFile', 'PemFile', 'KeyFile', 'ConfigPath'],
    ]
    for (const key of strings) assert.equal(types[key], 'string', key)
    for (const key of ['FRPServerPort', 'BehindNAT', 'BareMetal', 'UnsafeMode', 'Test'])
      assert.equal(types[key], 'boolean', key)
    assert.equal(config.CustomConfig, null)
    assert.equal(config.ServerPort, '8088')
    assert.match(String(config.MachineName), /-[a-z0-9]{7}$/)
  })

  test('opening it again changes nothing, and reads the same', async () => {
    const dir = fresh()
    const first = await openHome({ P2PRC: dir })
    const before = contents(dir)
    const second = await openHome({ P2PRC: dir })
    assert.deepEqual(contents(dir), before)
    assert.deepEqual(second.config, first.config)
  })

  test('eight at the same moment make one', async () => {
    const dir = fresh()
    const homes = await Promise.all(Array.from({ length: 8 }, () => openHome({ P2PRC: dir })))
    assert.equal(new Set(homes.map(({ config }) => config.MachineName)).size, 1)
    assert.deepEqual(
      readdirSync(dir).filter((name) => name.includes('config')),
      ['config.json'],
    )
  })

  test('the XDG folders', async () => {
    const dir = fresh()
    const env = { XDG_CONFIG_HOME: join(dir, 'c'), XDG_STATE_HOME: join(dir, 's'), XDG_RUNTIME_DIR: join(dir, 'r') }
    const home = await openHome(env)
    assert.ok(existsSync(join(dir, 'c/p2prc/config.json')))
    assert.equal(home.paths.trackContainers, join(dir, 's/p2prc/trackcontainers.json'))
    assert.equal(statSync(join(dir, 'r/p2prc')).mode & 0o777, 0o700)
  })
})

describe('home: one that Go P2PRC made', () => {
  /** As `--dc` of Go P2PRC 3 leaves it, with files elsewhere than by default. */
  function goHome(): string {
    const dir = fresh()
    for (const sub of ['tables', 'client/trackcontainers', 'plugin/deploy', 'server/docker/containers'])
      mkdirSync(join(dir, sub), { recursive: true, mode: 0o755 })
    const config = {
      MachineName: 'host-abc1234',
      IPTable: join(dir, 'tables/mine.json'),
      TrackContainersPath: join(dir, 'client/trackcontainers/trackcontainers.json'),
      GroupTrackContainersPath: join(dir, 'client/trackcontainers/grouptrackcontainers.json'),
      PluginPath: join(dir, 'plugin/deploy'),
      ServerPort: '9099',
      BehindNAT: 'True',
      FRPServerPort: 'False',
      PrivateKeyFile: join(dir, 'p2prc.privateKey'),
      CustomConfig: { mine: 1 },
      Unknown: [1, 2],
    }
    writeFileSync(join(dir, 'config.json'), JSON.stringify(config, null, ' '))
    writeFileSync(join(dir, 'tables/mine.json'), '{"ip_address": null}')
    writeFileSync(join(dir, 'client/trackcontainers/trackcontainers.json'), '')
    writeFileSync(join(dir, 'client/trackcontainers/grouptrackcontainers.json'), '')
    writeFileSync(join(dir, 'p2prc.privateKey'), '-----BEGIN RSA PRIVATE KEY-----\n')
    chmodSync(join(dir, 'p2prc.privateKey'), 0o130)
    return dir
  }

  test('is used as it is: its paths are followed, nothing of it is changed', async () => {
    const dir = goHome()
    const before = contents(dir)
    const home = await openHome({ P2PRC: dir })
    assert.equal(home.config.MachineName, 'host-abc1234')
    assert.equal(home.config.BehindNAT, true)
    assert.equal(home.config.FRPServerPort, false)
    assert.deepEqual(home.config.Unknown, [1, 2])
    assert.equal(home.paths.ipTable, join(dir, 'tables/mine.json'))
    assert.equal(home.paths.key, join(dir, 'id_ed25519'), 'the node key is ours, never the RSA one')
    const copy = { [join(dir, 'go_key')]: '600 -----BEGIN RSA PRIVATE KEY-----\n' }
    assert.deepEqual(contents(dir), { ...before, ...copy }, 'only a copy of its key is added')
    assert.equal(home.paths.goKey, join(dir, 'go_key'))
  })

  test('a folder of another machine in it is not made here', async () => {
    const dir = goHome()
    const elsewhere = join(folder, 'another-machine/plugin')
    writeFileSync(join(dir, 'config.json'), JSON.stringify({ PluginPath: elsewhere }))
    const home = await openHome({ P2PRC: dir })
    assert.equal(home.paths.plugins, elsewhere)
    assert.equal(existsSync(elsewhere), false)
    assert.equal(home.paths.trackContainers, join(dir, 'client/trackcontainers/trackcontainers.json'))
  })
})

describe('home: what is wrong with it', () => {
  for (const [what, content] of [
    ['null', 'null'],
    ['truncated', '{"MachineName": "ho'],
  ] as const) {
    test(`a config.json that is ${what} is quarantined and reported`, async () => {
      const dir = fresh()
      mkdirSync(dir)
      writeFileSync(join(dir, 'config.json'), content)
      const home = await openHome({ P2PRC: dir })
      assert.equal(readFileSync(join(dir, 'config.json.damaged-1'), 'utf8'), content)
      assert.match(home.notes.join('\n'), /config\.json could not be read.*damaged-1/)
      assert.equal(JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')).MachineName, home.config.MachineName)
    })
  }

  test('a 0-byte config.json becomes a good one', async () => {
    const dir = fresh()
    mkdirSync(dir)
    writeFileSync(join(dir, 'config.json'), '')
    const home = await openHome({ P2PRC: dir })
    assert.equal(JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8')).MachineName, home.config.MachineName)
  })

  test('a newer config.json is refused and left', async () => {
    const dir = fresh()
    mkdirSync(dir)
    writeFileSync(join(dir, 'config.json'), '{"Version": 2}')
    await assert.rejects(openHome({ P2PRC: dir }), { code: 'newer_file' })
    assert.equal(readFileSync(join(dir, 'config.json'), 'utf8'), '{"Version": 2}')
  })

  test('a folder that cannot be made is one clear sentence', async () => {
    const file = fresh()
    writeFileSync(file, '')
    await assert.rejects(openHome({ P2PRC: join(file, 'home') }), {
      code: 'home_unusable',
      message: /home folder .* cannot be used: a part of the path is not a folder/,
    })
  })
})

describe('home: the lock', () => {
  test('a second one is refused within a second, and let in after the first has gone', async () => {
    const home = await openHome({ P2PRC: fresh() })
    const release = await lockHome(home, { waitMs: 0 })
    const before = performance.now()
    await assert.rejects(lockHome(home, { waitMs: 0 }), {
      code: 'home_locked',
      message: new RegExp(`process ${process.pid}\\)`),
    })
    assert.ok(performance.now() - before < 1_000)
    await release()
    await release()
    await (await lockHome(home, { waitMs: 0 }))()
  })
})
