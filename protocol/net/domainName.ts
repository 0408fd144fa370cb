import { z } from 'zod'

/** Maximum length of a domain name (RFC 1035). */
export const DOMAIN_NAME_MAX_CHARS = 253

const LABEL = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'

/** Two labels at least, the last of which is no number, as in an IPv4 address. */
const DOMAIN_NAME = new RegExp(`^(?:${LABEL}\\.)+(?!\\d+$)${LABEL}$`)

/**
 * A domain name that a node can show a mapped port under, in lower case and ASCII. A name with other letters has the form
 * that DNS has it in (`xn--…`).
 */
export const domainName = z
  .string()
  .max(DOMAIN_NAME_MAX_CHARS)
  .overwrite((text) => text.toLowerCase().replace(/\.$/, ''))
  .refine((name) => DOMAIN_NAME.test(name) && !/(?:^|\.)localhost$/.test(name), 'not a domain name')

/** Returns the name in the form of `domainName`, or undefined if it is none. */
export function readDomainName(text: string): string | undefined {
  return domainName.safeParse(text).data
}

/** Returns the name of a `Host` header, in lower case and without its port. */
export function domainOfHost(host: string | undefined): string | undefined {
  return host === undefined ? undefined : readDomainName(host.replace(/:\d{1,5}$/, ''))
}
