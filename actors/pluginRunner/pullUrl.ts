import { AppError } from '../../protocol/errors.ts'
import { isPluginName } from './pluginFolder.ts'

export interface PullSource {
  /** The URL that git receives: parsed and serialized again, so that git cannot parse it differently. */
  url: string
  /**
   * The name of the plugin's folder, by P2PRC's intended rule: `https://host/a/b.git` and `https://host/a/b/` are
   * both `a_b`.
   */
  name: string
}

const hostName = /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])$/i
const sshUser = /^[a-z0-9_][a-z0-9_.-]*$/i

/**
 * Parses an address to pull from: `https` only, and `ssh` if it was allowed. Throws `bad_url`. Git accepts addresses
 * that run programs (`ext::`), read files or look like options, so this is a list of what is allowed, not of what is
 * forbidden.
 */
export function parsePullUrl(text: string, { ssh }: { ssh: boolean }): PullSource {
  const bad = (why: string) => new AppError('bad_url', { url: text.replace(/[^\x20-\x7e]/g, '?').slice(0, 128), why })
  // The URL parser drops tabs and line breaks silently; git would not.
  if (!/^[\x21-\x7e]{1,2048}$/.test(text)) throw bad('it has spaces, control characters or is too long')
  if (!/^(https|ssh):\/\/[^/]/i.test(text)) throw bad('it must begin with https://')
  // The URL parser would resolve these and yield a path other than the written one.
  if (/[%\\]|\/\.{1,2}(?:\/|$)/.test(text)) throw bad('its path has "..", "%" or a backslash')
  if (!URL.canParse(text)) throw bad('it is not a URL')
  const url = new URL(text)
  if (url.protocol === 'ssh:' && !ssh) throw bad('ssh is not allowed without --ssh')
  if (!hostName.test(url.hostname)) throw bad('its host is not a host name')
  if (url.password || (url.username && url.protocol === 'https:')) throw bad('it carries a user name or password')
  if (url.username && !sshUser.test(url.username)) throw bad('its user is not a user name')
  if (url.search || url.hash) throw bad('it has a query or a fragment')
  const parts = url.pathname.split('/').filter((part) => part !== '')
  if (parts.length === 0) throw bad('it names no repository')
  if (!parts.every((part) => /^[A-Za-z0-9][A-Za-z0-9._~-]*$/.test(part) || /^~[A-Za-z0-9._-]+$/.test(part)))
    throw bad('its path has other characters than letters, digits, dot, dash and underscore')
  const name = parts
    .join('_')
    .replace(/\.git$/, '')
    .replaceAll('~', '')
  if (!isPluginName(name)) throw bad(`"${name.slice(0, 80)}" cannot be the name of a plugin`)
  return { url: url.href.replace(/\/+$/, ''), name }
}
