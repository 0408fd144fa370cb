import { type Subnet, subnetOf } from '../../protocol/net/subnet.ts'
import { type NodeRecord, type ShortId, type SignedRecord, shortOf } from '../../protocol/wire/record.ts'
import type { Draft } from './gossipDraft.ts'
import { deleteEntry, emptyShardedMap, getEntry, setEntry, shardKey, valuesOf } from './shardedMap.ts'
import { random, type Tx } from './tx.ts'

// Keys cost nothing, so anybody may invent members. As long as the table has room, that costs no honest node its place, and
// an office or a laboratory may have many nodes in one subnet. Once the table is nearly full, the fullest subnet gives way.

/** The keys in `subnetCounts` of all private subnets, because many members there do not imply one owner, and of no address. */
const PRIVATE = '.'
const NO_ADDRESS = '-'

/** Returns the key of a subnet in `subnetCounts`. */
export function subnetKey({ name, private: isPrivate }: Subnet): string {
  if (isPrivate) return name === NO_ADDRESS ? NO_ADDRESS : PRIVATE
  return shardKey(name)
}

/** Caches the keys of each record, because records are immutable and every update of the table needs the keys. */
const subnetKeyCache = new WeakMap<NodeRecord, ReadonlySet<string>>()

function subnetKeys(record: NodeRecord): ReadonlySet<string> {
  const known = subnetKeyCache.get(record)
  if (known) return known
  const keys = new Set(record.endpoints.length > 0 ? record.endpoints.map(subnetOf).map(subnetKey) : [NO_ADDRESS])
  subnetKeyCache.set(record, keys)
  return keys
}

export function addToSubnets({ state }: Tx, record: NodeRecord, change: 1 | -1): void {
  for (const subnet of subnetKeys(record)) {
    const count = (getEntry(state.subnetCounts, subnet) ?? 0) + change
    state.subnetCounts =
      count > 0 ? setEntry(state.subnetCounts, subnet, count) : deleteEntry(state.subnetCounts, subnet)
  }
}

/**
 * Whether a new member has room, or which member gives way to it. A node that this one has dialled or knows is never the
 * one that gives way.
 */
export function roomFor(tx: Tx, { record, short }: SignedRecord, wasDialled: boolean): boolean | SignedRecord {
  const { members, subnetCounts, config } = tx.state
  if (members.size < config.quotaMinMembers) return true
  const exempt = exemptMembers(tx.state)
  const own = Math.max(...Array.from(subnetKeys(record), (key) => getEntry(subnetCounts, key) ?? 0)) + 1
  const [fullest, count] = fullestSubnet(tx.state)
  const hasSpace = members.size < config.maxMembers
  const isOverQuota = own > config.subnetQuota
  if (wasDialled || exempt.has(short)) {
    if (hasSpace && !isOverQuota) return true
    return victimIn(tx, isOverQuota ? subnetKeys(record) : new Set([fullest]), exempt) ?? hasSpace
  }
  const victim = count > Math.max(own, config.subnetQuota) && victimIn(tx, new Set([fullest]), exempt)
  return victim || (hasSpace && !isOverQuota)
}

/** Remembers a record that had no room, so that it is not requested again and again. */
export function rejectRecord({ state }: Tx, { short, record }: SignedRecord): void {
  const { rejected, config } = state
  state.rejected = setEntry(rejected.size > config.maxMembers ? emptyShardedMap() : rejected, short, record.seq)
}

/** Whether this version of a record had no room, and there is none yet. */
export function wasRejected(
  { rejected, members, config }: Pick<Draft, 'rejected' | 'members' | 'config'>,
  short: ShortId,
  seq: number,
): boolean {
  return members.size >= config.quotaMinMembers && getEntry(rejected, short) === seq
}

/** The members that never give way: those with a link, those whom the owner trusts, and those that did not come by gossip. */
function exemptMembers({ self, links, trusted, bootstrapAddresses }: Draft): ReadonlySet<ShortId> {
  const exempt = new Set([self.short, ...trusted, ...links.values().map(({ peer }) => peer)])
  for (const { id } of bootstrapAddresses) if (id) exempt.add(shortOf(id))
  return exempt
}

function fullestSubnet({ subnetCounts }: Draft): [key: string, count: number] {
  let fullest: [string, number] = [NO_ADDRESS, 0]
  for (const shard of subnetCounts.shards) for (const entry of shard) if (entry[1] > fullest[1]) fullest = entry
  return fullest
}

/** Returns a random member in one of the subnets that is not exempt. */
function victimIn(tx: Tx, subnets: ReadonlySet<string>, exempt: ReadonlySet<ShortId>): SignedRecord | undefined {
  let victim: SignedRecord | undefined
  let seen = 0
  for (const member of valuesOf(tx.state.members)) {
    if (exempt.has(member.short) || !isIn(subnets, member.record)) continue
    seen += 1
    if (random(tx) * seen < 1) victim = member
  }
  return victim
}

function isIn(subnets: ReadonlySet<string>, record: NodeRecord): boolean {
  for (const key of subnetKeys(record)) if (subnets.has(key)) return true
  return false
}
