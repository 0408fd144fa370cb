import { type RouterTask, requestRouter } from '../../actors/reachability/routerMapping.ts'

/** Asks the router of this network for what the argument says, and prints what it answered and the memory that it took. */
const task: RouterTask = JSON.parse(process.argv[2] as string)
const by = await requestRouter(task, new AbortController().signal)
console.log(JSON.stringify({ by: by ?? null, rssMiB: Math.round(process.memoryUsage().rss / 2 ** 20) }))
