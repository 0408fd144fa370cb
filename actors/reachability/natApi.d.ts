/** What is used of the library, which ships no types. */
declare module '@silentbot1/nat-api' {
  interface Mapping {
    publicPort: number
    privatePort: number
    protocol: 'TCP' | 'UDP'
    /** Seconds, at least 1,200. */
    ttl?: number
    description?: string
  }
  export default class NatAPI {
    constructor(options: {
      enablePMP: boolean
      enableUPNP: boolean
      autoUpdate: boolean
      upnpPermanentFallback: boolean
      description: string
    })
    /** Resolves with whether the router has answered that it maps the port. */
    map(mapping: Mapping): Promise<boolean>
    unmap(mapping: Mapping): Promise<boolean>
    destroy(): Promise<unknown>
  }
}
