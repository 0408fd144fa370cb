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
