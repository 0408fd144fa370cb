import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** One line of an apt source of binary packages: `deb [options] uri suite components`. */
export interface AptSource {
  uri: string
  suite: string
  components: string[]
  /** The owner said not to check this source's signatures. */
  trusted: boolean
}

/** The sources that this machine's own distribution comes from, the first being the one to make a system from. */
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
    // A password in an address is the lender's alone.
    .filter(({ uri }) => /^https?:\/\/[^@/]+(\/|$)/.test(uri))
  const rank = ({ suite }: AptSource) => (suite === codename ? 0 : 1)
  return { codename, sources: sources.sort((one, other) => rank(one) - rank(other)) }
}

/** sources.list(5), the one-line form. */
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

/** sources.list(5), the deb822 form. */
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

/** The sources as `/etc/apt/sources.list` of a container. */
export function formatAptSources(sources: readonly AptSource[]): string {
  return sources
    .map(({ uri, suite, components, trusted }) =>
      ['deb', ...(trusted ? ['[trusted=yes]'] : []), uri, suite, ...components].join(' ').concat('\n'),
    )
    .join('')
}

/** The settings without which a container could not use the same sources: a proxy, and how strict dates are taken. */
const NEEDED = /^Acquire::(?:https?::Proxy|Check-Valid-Until|Check-Date) "([^"]*)";$/

/** Those settings of this machine's apt, as a file of `/etc/apt/apt.conf.d`. */
export async function readAptSettings(): Promise<string> {
  const { stdout } = await promisify(execFile)('apt-config', ['dump']).catch(() => ({ stdout: '' }))
  return stdout
    .split('\n')
    .filter((line) => {
      const value = NEEDED.exec(line)?.[1]
      // A proxy on the loopback cannot be reached from a container, and a password in an address is the lender's alone.
      return value && !/@|\/\/(?:localhost|127\.|\[::1\])/.test(value)
    })
    .map((line) => `${line}\n`)
    .join('')
}

function words(text: string): string[] {
  return text.split(/\s+/).filter(Boolean)
}
