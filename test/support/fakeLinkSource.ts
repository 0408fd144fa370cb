import type { AcceptedLink, LinkSource } from '../../actors/gossip/accept.ts'

/** A source of links that the test accepts itself. */
export function fakeLinkSource(): { source: LinkSource; accept(link: AcceptedLink): void } {
  let listener: (link: AcceptedLink) => void = () => {}
  const source: LinkSource = {
    listen(accepted) {
      listener = accepted
      return () => {}
    },
  }
  return { source, accept: (link) => listener(link) }
}
