import { type ExecFileException, execFile } from 'node:child_process'
import { NVIDIA_SMI_MAX_BYTES, NVIDIA_SMI_TIMEOUT_MS } from '../../protocol/defaults/specs.ts'
import type { Gpu } from '../../protocol/specs.ts'
import { findProgram } from '../findProgram.ts'

const PROGRAM = 'nvidia-smi'

/** The report of `nvidia-smi -q -x`: the driver and all cards. */
export interface Nvidia {
  driver: string
  cards: Gpu[]
}

/**
 * Reads the NVIDIA cards of this machine. Resolves with null if `nvidia-smi` is not installed. Rejects with a readable
 * Error if it fails, hangs, or prints something in another format.
 */
export async function readNvidia(signal?: AbortSignal, env = process.env): Promise<Nvidia | null> {
  // A start that fails forks the node all the same, which takes milliseconds, and there is a reading every 30 s.
  if (!(await findProgram(PROGRAM, env))) return null
  return new Promise((resolve, reject) => {
    const options = { timeout: NVIDIA_SMI_TIMEOUT_MS, killSignal: 'SIGKILL', maxBuffer: NVIDIA_SMI_MAX_BYTES } as const
    execFile(PROGRAM, ['-q', '-x'], { ...options, env, ...(signal && { signal }) }, (error, stdout) => {
      if (error?.code === 'ENOENT') return resolve(null)
      if (error) return reject(new Error(`nvidia-smi ${failureReason(error, stdout)}`))
      try {
        resolve(parseNvidia(stdout))
      } catch (cause) {
        reject(cause)
      }
    })
  })
}

function failureReason({ killed, code }: ExecFileException, stdout: string): string {
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') return `printed more than ${NVIDIA_SMI_MAX_BYTES} bytes`
  if (killed) return `did not end within ${NVIDIA_SMI_TIMEOUT_MS} ms`
  return `failed: ${stdout.trimStart().split('\n')[0]?.slice(0, 200) || code}`
}

/** Parses the report of any version of the driver. Values that it does not contain are "N/A". Throws an Error. */
export function parseNvidia(xml: string): Nvidia {
  const log = parseXml(xml)
  if (log.name !== 'nvidia_smi_log') throw new Error('nvidia-smi printed something else than its report')
  const cards = log.children.filter((element) => element.name === 'gpu')
  return { driver: textAt(log, 'driver_version'), cards: cards.map(toGpu) }
}

function toGpu(card: Element): Gpu {
  const at = (...path: string[]) => textAt(card, ...path)
  return {
    GpuName: at('product_name'),
    BiosVersion: at('vbios_version'),
    FanSpeed: at('fan_speed'),
    Utilization: { GpuUsage: at('utilization', 'gpu_util'), MemoryUsage: at('utilization', 'memory_util') },
    Temperature: { GpuTemp: at('temperature', 'gpu_temp') },
    Clock: { GpuClock: at('clocks', 'graphics_clock'), GpuMemClock: at('clocks', 'mem_clock') },
    MemoryTotal: at('fb_memory_usage', 'total'),
    MemoryUsed: at('fb_memory_usage', 'used'),
    Uuid: at('uuid'),
  }
}

interface Element {
  name: string
  text: string
  children: Element[]
}

function textAt(element: Element, ...path: string[]): string {
  const found = path.reduce<Element | undefined>(
    (inside, name) => inside?.children.find((child) => child.name === name),
    element,
  )
  return found?.text.trim() || 'N/A'
}

const DEPTH_MAX = 16
const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }

/** One token of the report: prolog, comment, tag or text. CDATA and an inner DTD are not supported, as it has none. */
const token =
  /<\?[^?<>]*\?>|<!DOCTYPE [^<>[\]]*>|<!--(?:(?!--)[\s\S])*-->|<(?<close>\/)?(?<name>[A-Za-z_][\w.-]*)(?:\s[^<>]*?)?(?<empty>\/)?>|(?<text>[^<]+)/y

/** Parses the subset of XML in the report into a tree. Throws for an open tag, unknown markup or a second root. */
function parseXml(xml: string): Element {
  const top: Element = { name: '', text: '', children: [] }
  const open = [top]
  token.lastIndex = 0
  while (token.lastIndex < xml.length) {
    const groups = token.exec(xml)?.groups
    if (!groups) throw new Error('nvidia-smi printed what is not its XML')
    const inside = open.at(-1) as Element
    const { close, name, empty, text } = groups
    if (text !== undefined) inside.text += decode(text)
    else if (name === undefined) continue
    else if (close) {
      if (inside.name !== name) throw new Error(`nvidia-smi's report closes <${name}> where it is not open`)
      open.pop()
    } else {
      const element: Element = { name, text: '', children: [] }
      inside.children.push(element)
      if (!empty) open.push(element)
      if (open.length > DEPTH_MAX) throw new Error("nvidia-smi's report is nested too deep")
    }
  }
  const [root, second] = top.children
  if (open.length > 1) throw new Error("nvidia-smi's report breaks off")
  if (!root || second || top.text.trim()) throw new Error('nvidia-smi printed something else than its report')
  return root
}

function decode(text: string): string {
  return text.replace(/&(\w+);/g, (whole, name: string) => ENTITIES[name] ?? whole)
}
