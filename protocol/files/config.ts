import { z } from 'zod'
import { flag, goObject, text } from './go.ts'

/**
 * The schema of `config.json`. P2PRC writes the image folders with a trailing `/`, and the plugin folder without one.
 */
export const configFile = goObject({
  Version: z.number().optional(),
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
  /** The owner's e-mail address: with it, an authority is asked for the certificates of domains. Not a key of Go P2PRC. */
  ACMEEmail: z.string().optional().catch(undefined),
  /** The directory of that authority; Let's Encrypt's if absent. */
  ACMEDirectory: z.url().optional().catch(undefined),
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
