import type { GossipState, Link } from './gossipState.ts'

/** The next state while a transaction builds it. */
export type Draft = { -readonly [K in keyof GossipState]: GossipState[K] }

/** Copies field by field, as `draftOf` does, so that all copies share one hidden class, which makes them ten times cheaper. */
export function shapedLink(link: Link): Link {
  return {
    id: link.id,
    peer: link.peer,
    nodeId: link.nodeId,
    dialled: link.dialled,
    openedAt: link.openedAt,
    receivedAt: link.receivedAt,
    phase: link.phase,
    activeAt: link.activeAt,
    farewell: link.farewell,
    subnet: link.subnet,
    observedAddress: link.observedAddress,
    root: link.root,
    syncAt: link.syncAt,
    failedSyncRoots: link.failedSyncRoots,
    syncBackoffUntil: link.syncBackoffUntil,
    missing: link.missing,
    penalties: link.penalties,
    recordTokens: link.recordTokens,
    suspicionTokens: link.suspicionTokens,
    servedTokens: link.servedTokens,
    digestTokens: link.digestTokens,
  } as Link
}

export function draftOf(state: GossipState): Draft {
  return {
    config: state.config,
    self: state.self,
    members: state.members,
    subnetCounts: state.subnetCounts,
    tombstones: state.tombstones,
    rejected: state.rejected,
    renewedAt: state.renewedAt,
    startedAt: state.startedAt,
    links: state.links,
    linkOf: state.linkOf,
    dials: state.dials,
    dialledAt: state.dialledAt,
    dialTokens: state.dialTokens,
    dialCount: state.dialCount,
    bootstrapAddresses: state.bootstrapAddresses,
    trusted: state.trusted,
    probes: state.probes,
    suspects: state.suspects,
    recentlyConfirmed: state.recentlyConfirmed,
    locatedAt: state.locatedAt,
    failedHandshakes: state.failedHandshakes,
    banned: state.banned,
    recent: state.recent,
    pendingRequests: state.pendingRequests,
    localHealth: state.localHealth,
    nextRoundAt: state.nextRoundAt,
    nextEphemeralAt: state.nextEphemeralAt,
    nextLinkAt: state.nextLinkAt,
    linkBackoffMs: state.linkBackoffMs,
    nextRetryAt: state.nextRetryAt,
    isolatedBackoffMs: state.isolatedBackoffMs,
    refutedAt: state.refutedAt,
    identityConflicts: state.identityConflicts,
    refuteSeq: state.refuteSeq,
    dueAt: state.dueAt,
    randomState: state.randomState,
    left: state.left,
  }
}
