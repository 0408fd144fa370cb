import { ROUTER } from '../../protocol/defaults/reachability.ts'
import { isPrivate } from '../../protocol/net/ranges.ts'
import type { RouterProtocol, RouterTask } from './routerMapping.ts'

// Asks the router once, in a process of its own: the library throws in its sockets' listeners when an answer is too short or
// its port is taken, which would end the node, and it parses whatever the LAN sends.

/** The node's `fetch` for what a router is told: a numeric address of the LAN, in bounded time and size, without redirects. */
async function lanFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const url = new URL(input instanceof Request ? input.url : input)
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (url.protocol !== 'http:' || !isPrivate(host)) throw new Error(`a router is not at ${url.origin}`)
  const signal = AbortSignal.timeout(ROUTER.answerTimeoutMs)
  // It sets headers that `fetch` sets itself.
  const { method = 'GET', body = null, headers } = init ?? {}
  const kept = new Headers(headers)
  for (const name of ['connection', 'content-length']) kept.delete(name)
  const response = await nodeFetch(url, { method, body, headers: kept, signal, redirect: 'error' })
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > ROUTER.answerMaxBytes) throw new Error('the answer is too large')
  }
  return new Response(Buffer.concat(chunks), { status: response.status })
}

const nodeFetch = globalThis.fetch

async function perform({ task, port, externalPort, by }: RouterTask): Promise<RouterProtocol | undefined> {
  globalThis.fetch = lanFetch
  // The library takes the `fetch` that there is when it is loaded.
  const { default: NatAPI } = await import('@silentbot1/nat-api')
  for (const protocol of by ? [by] : (['NAT-PMP', 'UPnP'] as const)) {
    const router = new NatAPI({
      enablePMP: protocol === 'NAT-PMP',
      enableUPNP: protocol === 'UPnP',
      // It renews no mapping of NAT-PMP, so that this program renews them all.
      autoUpdate: false,
      upnpPermanentFallback: true,
      description: ROUTER.description,
    })
    const mapping = { publicPort: externalPort, privatePort: port, protocol: 'TCP', ttl: ROUTER.leaseSeconds } as const
    if (task === 'unmap') await router.unmap(mapping)
    else if (await router.map(mapping)) return protocol
  }
  return undefined
}

perform(JSON.parse(process.argv[2] as string) as RouterTask).then((by) => {
  process.send?.(by ?? '', () => process.exit())
})
