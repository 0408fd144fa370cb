import { z } from 'zod'

/**
 * The JSON files of a home, in P2PRC's shapes (compatibility 2.1 and 2.5). Reading is as lenient as Go's: keys in any
 * case, a missing key or a value of the wrong type is the zero value, booleans may be `"True"`, unknown keys stay.
 */

/** Written as `Version` into every file. A file with a larger one is refused, never rewritten; none at all is P2PRC's. */
export const FILE_VERSION = 1

/** What `openStore` looks at before the schema. `undefined`: P2PRC wrote it, or it is not an object. */
export function fileVersion(document: unknown): number | undefined {
  if (typeof document !== 'object' || document === null) return undefined
  const version = Object.entries(document).find(([key]) => key.toLowerCase() === 'version')?.[1]
  return typeof version === 'number' ? version : undefined
}

export const text = z.string().catch('').default('')
export const whole = z.number().int().catch(0).default(0)
export const flag = z
  .union([z.boolean(), z.stringbool({ truthy: ['true'], falsy: ['false', ''] })])
  .catch(false)
  .default(false)

/** An object whose keys are matched in any case and whose unknown keys stay as they are. */
export function goObject<T extends z.ZodRawShape>(shape: T) {
  const names = new Map(Object.keys(shape).map((name) => [name.toLowerCase(), name]))
  const rename = (value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const entries = Object.entries(value).map(([key, entry]) => [names.get(key.toLowerCase()) ?? key, entry] as const)
    // An exact key wins over one that differs in case, whatever their order.
    return { ...Object.fromEntries(entries), ...Object.fromEntries(entries.filter(([key]) => key in value)) }
  }
  return z.preprocess(rename, z.looseObject(shape))
}

/** A list whose `null` means empty, as Go writes it. */
export function goList<T extends z.ZodType>(entry: T) {
  return z
    .array(entry)
    .nullable()
    .default([])
    .transform((list) => list ?? [])
}

const version = z.number().optional()

/** `config.json`. Paths as P2PRC writes them: folders of images with a trailing `/`, the plugin folder without one. */
export const configFile = goObject({
  Version: version,
  MachineName: text,
  IPTable: text,
  DockerContainers: text,
  DefaultDockerFile: text,
  DockerRunLogs: text,
  SpeedTestFile: text,
  IPV6Address: text,
  PluginPath: text,
  TrackContainersPath: text,
  GroupTrackContainersPath: text,
  ServerPort: z
    .union([z.string(), z.number().transform(String)])
    .catch('')
    .default(''),
  ProxyPort: z
    .union([z.string(), z.number().transform(String)])
    .catch('')
    .default(''),
  FRPServerPort: flag,
  BehindNAT: flag,
  IPTableKey: text,
  PublicKeyFile: text,
  PrivateKeyFile: text,
  PemFile: text,
  KeyFile: text,
  BareMetal: flag,
  UnsafeMode: flag,
  Test: flag,
  CustomConfig: z.unknown().optional(),
  ConfigPath: text,
})

export type Config = z.infer<typeof configFile>

// A password belongs to the one reply that brought it and is never read from, or written to, a file.
const noSecret = z.literal('').catch('').default('')

const portRecord = goObject({
  PortName: text,
  InternalPort: whole,
  Type: z.enum(['tcp', 'udp']).catch('tcp').default('tcp'),
  ExternalPort: whole,
  IsUsed: flag,
  Description: text,
})

const containerRecord = goObject({
  SSHUsername: text,
  SSHPassword: noSecret,
  SSHPublicKey: text,
  SSHHostKey: text,
  VNCUsername: text,
  VNCPassword: noSecret,
  ID: text,
  TagName: text,
  ImagePath: text,
  Ports: goObject({ Port: goList(portRecord) }).default({ Port: [] }),
  GPU: z.enum(['true', 'false']).catch('false').default('false'),
  TempPath: text,
  BaseImage: text,
  LogsPath: text,
  SSHCommand: text,
})

/** One record of `trackcontainers.json`. */
export const trackedContainer = goObject({
  ID: text,
  Container: containerRecord,
  IpAddress: text,
  NodeId: z.string().optional().catch(undefined),
  Auth: z.enum(['nodeKey', 'userKey', 'password']).optional().catch(undefined),
  KeyFile: z.string().optional().catch(undefined),
})

/** `trackcontainers.json`, written with tabs. 0 bytes and `{}` are an empty one. */
export const trackContainersFile = goObject({ Version: version, TrackContainer: goList(trackedContainer) })

export type TrackContainersFile = z.infer<typeof trackContainersFile>

/** `grouptrackcontainers.json`, written with one space. Groups hold full copies of tracked records. */
export const groupTrackContainersFile = goObject({
  Version: version,
  Groups: goList(goObject({ ID: text, TrackContainer: goList(trackedContainer) })),
})

export type GroupTrackContainersFile = z.infer<typeof groupTrackContainersFile>
