import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** An apt source of binary packages: `deb [options] uri suite components`. */
export interface AptSource {
  uri: string
  suite: string
  components: string[]
  /** Whether the owner has disabled the verification of this source's signatures. */
  trusted: boolean
}

/** Returns the sources of this machine's own distribution. The first is the one to make a system from. */
export async function readAptSources(
  aptDir = '/etc/apt',
  osRelease = '/etc/os-release',
): Promise<{ codename: string; sources: AptSource[] }> {
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(await readFile(osRelease, 'utf8'))?.[1] ?? ''
  const folder = join(aptDir, 'sources.list.d')
  const names = (await readdir(folder).catch(() => [] as string[])).sort()
  const texts = await Promise.all(
    [join(aptDir, 'sources.list'), ...names.map((name) => join(folder, name))].map(async (path) => ({
      text: await readFile(path, 'utf8').catch(() => ''),
      parse: path.endsWith('.sources') ? parseDeb822 : path.endsWith('.list') ? parseOneLine : () => [],
    })),
  )
  const sources = texts
    .flatMap(({ text, parse }) => parse(text))
    .filter(({ suite }) => codename && (suite === codename || suite.startsWith(`${codename}-`)))
    // A source with a password in its address is not given to containers.
    .filter(({ uri }) => /^https?:\/\/[^@/]+(\/|$)/.test(uri))
  const rank = ({ suite }: AptSource) => (suite === codename ? 0 : 1)
  return { codename, sources: sources.sort((one, other) => rank(one) - rank(other)) }
}

/** Parses the one-line form of sources.list(5). */
export function parseOneLine(text: string): AptSource[] {
  return [...text.matchAll(/^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#\n]+)/gm)].map(
    ([, options = '', uri = '', suite = '', components = '']) => ({
      uri,
      suite,
      components: words(components),
      trusted: /(^|\s)trusted=yes(\s|$)/.test(options),
    }),
  )
}

/** Parses the deb822 form of sources.list(5). */
export function parseDeb822(text: string): AptSource[] {
  return text
    .replace(/^#.*\n?/gm, '')
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const fields = new Map<string, string>()
      for (const [, name = '', value = ''] of stanza.matchAll(/^([A-Za-z-]+):([^\n]*(?:\n[ \t][^\n]*)*)/gm))
        fields.set(name.toLowerCase(), value.trim())
      const field = (name: string) => fields.get(name) ?? ''
      if (!words(field('types')).includes('deb') || field('enabled').toLowerCase() === 'no') return []
      const trusted = field('trusted').toLowerCase() === 'yes'
      const components = words(field('components'))
      return words(field('uris')).flatMap((uri) =>
        words(field('suites')).map((suite) => ({ uri, suite, components, trusted })),
      )
    })
}

/** Formats the sources as `/etc/apt/sources.list` of a container. */
export function formatAptSources(sources: readonly AptSource[]): string {
  return sources
    .map(({ uri, suite, components, trusted }) =>
      ['deb', ...(trusted ? ['[trusted=yes]'] : []), uri, suite, ...components].join(' ').concat('\n'),
    )
    .join('')
}

/** The apt settings that a container needs to use the same sources: the proxy, and how strictly dates are checked. */
const NEEDED = /^Acquire::(?:https?::Proxy|Check-Valid-Until|Check-Date) "([^"]*)";$/

/** Returns these settings of this machine's apt as a file of `/etc/apt/apt.conf.d`. */
export async function readAptSettings(): Promise<string> {
  const { stdout } = await promisify(execFile)('apt-config', ['dump']).catch(() => ({ stdout: '' }))
  return stdout
    .split('\n')
    .filter((line) => {
      const value = NEEDED.exec(line)?.[1]
      // A container cannot reach a proxy on loopback, and must not get a password in an address.
      return value && !/@|\/\/(?:localhost|127\.|\[::1\])/.test(value)
    })
    .map((line) => `${line}\n`)
    .join('')
}

function words(text: string): string[] {
  return text.split(/\s+/).filter(Boolean)
}
