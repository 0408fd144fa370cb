import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'

/** How a client of frp and its server speak with each other. */
export interface FrpMode {
  mux: boolean
  /** The first byte of a connection: 0x16 begins TLS, 0x17 stands before TLS in older versions. */
  tls: 'none' | '0x16' | '0x17'
  /** Whether work connections are encrypted. */
  encrypted: boolean
}

export const frpModes: readonly FrpMode[] = [true, false].flatMap((mux) =>
  (['none', '0x16', '0x17'] as const).flatMap((tls) => [false, true].map((encrypted) => ({ mux, tls, encrypted }))),
)

export const modeName = ({ mux, tls, encrypted }: FrpMode) =>
  `${mux ? 'mux' : 'no mux'}, ${tls === 'none' ? 'plain' : `TLS ${tls}`}${encrypted ? ', encrypted work' : ''}`

/** The version of `frps` or `frpc` on the PATH, undefined if it is not there. */
export function frpVersion(program: 'frps' | 'frpc'): string | undefined {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8' }).trim()
  } catch {
    return undefined
  }
}

/** Versions from 0.52 read TOML. */
const readsToml = (version: string) => Number(version.split('.')[1]) >= 52

export interface StockOptions extends FrpMode {
  /** Where the file of settings goes. */
  folder: string
  version: string
  token: string
  /** The port of the server. */
  port: number
}

/** Starts stock `frps`, and resolves when it listens. */
export async function startFrps({ folder, version, token, port, mux }: StockOptions): Promise<ChildProcess> {
  const settings = readsToml(version)
    ? ['bindAddr = "127.0.0.1"', `bindPort = ${port}`, `transport.tcpMux = ${mux}`, `auth.token = "${token}"`]
    : ['[common]', 'bind_addr = 127.0.0.1', `bind_port = ${port}`, `tcp_mux = ${mux}`, `token = ${token}`]
  const child = start('frps', folder, settings)
  while (!(await isListening(port))) if (child.exitCode !== null) throw new Error('frps has ended')
  return child
}

export interface FrpcOptions extends StockOptions {
  /** Ports of this machine, which the client asks for at any port of the server. */
  localTcp: number
  localUdp: number
  remoteTcp: number
  remoteUdp: number
}

/** Logins of the same second differ by their user, so that a relay takes none for a repetition of another one. */
let serial = 0

/** Starts stock `frpc` with a TCP and a UDP proxy. */
export function startFrpc(options: FrpcOptions): ChildProcess {
  const { version, token, port, mux, tls, encrypted, localTcp, localUdp, remoteTcp, remoteUdp } = options
  serial += 1
  const [isTls, isHeadless] = [tls !== 'none', tls !== '0x17']
  const proxies = [
    ['web', 'tcp', localTcp, remoteTcp],
    ['dns', 'udp', localUdp, remoteUdp],
  ] as const
  const toml = [
    ...[`user = "u${serial}"`, 'serverAddr = "127.0.0.1"', `serverPort = ${port}`, `auth.token = "${token}"`],
    ...[`transport.tcpMux = ${mux}`, `transport.tls.enable = ${isTls}`],
    `transport.tls.disableCustomTLSFirstByte = ${isHeadless}`,
    ...proxies.flatMap(([name, type, local, remote]) => [
      ...['[[proxies]]', `name = "${name}"`, `type = "${type}"`, `localPort = ${local}`, `remotePort = ${remote}`],
      `transport.useEncryption = ${encrypted}`,
    ]),
  ]
  const ini = [
    ...[
      '[common]',
      `user = u${serial}`,
      'server_addr = 127.0.0.1',
      `server_port = ${port}`,
      `token = ${token}`,
      `tcp_mux = ${mux}`,
    ],
    ...[`tls_enable = ${isTls}`, `disable_custom_tls_first_byte = ${isHeadless}`],
    ...proxies.flatMap(([name, type, local, remote]) => [
      ...[`[${name}]`, `type = ${type}`, `local_port = ${local}`, `remote_port = ${remote}`],
      `use_encryption = ${encrypted}`,
    ]),
  ]
  return start('frpc', options.folder, readsToml(version) ? toml : ini)
}

export async function stopFrp(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

function start(program: 'frps' | 'frpc', folder: string, settings: readonly string[]): ChildProcess {
  const file = join(folder, `${program}.${settings[0] === '[common]' ? 'ini' : 'toml'}`)
  writeFileSync(file, `${settings.join('\n')}\n`, { mode: 0o600 })
  const child = spawn(program, ['-c', file], { stdio: 'ignore' })
  process.once('exit', () => child.kill('SIGKILL'))
  return child
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
  }).finally(() => socket.destroy()) as Promise<boolean>
}
