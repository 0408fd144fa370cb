import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Bench, interleave } from './measure.ts'
import { ended, freePort, scratch, started, startedNode } from './processes.ts'

const run = promisify(execFile)

/** Compares `GET /server_info` with a bare node:http server that sends the same bytes, under wrk with 32 keep-alive connections. */
export const bench: Bench = async () => {
  const home = scratch('http')
  const [port, barePort] = [await freePort(), await freePort()]
  const node = await startedNode(home, port)
  const response = await fetch(`http://127.0.0.1:${port}/server_info`)
  const bytes = await response.text()
  const bareFile = join(home, 'bare.mjs')
  writeFileSync(
    bareFile,
    `import { createServer } from 'node:http'
const body = Buffer.from(${JSON.stringify(bytes)})
const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': body.length }
createServer((_, response) => { response.writeHead(200, headers); response.end(body) })
  .listen(${barePort}, '127.0.0.1', () => console.log('ready'))
`,
  )
  const bare = await started([bareFile], {}, 'ready')
  try {
    return [
      await interleave({
        what: '`GET /server_info`',
        baseline: 'bare `node:http`, same bytes',
        unit: 'req/s',
        goal: { sign: '≥', ratio: 0.85 },
        rounds: 15,
        ours: () => rate(port),
        theirs: () => rate(barePort),
      }),
    ]
  } finally {
    await Promise.all([ended(node), ended(bare)])
  }
}

async function rate(port: number): Promise<number> {
  const { stdout } = await run('wrk', ['-t1', '-c32', '-d3s', `http://127.0.0.1:${port}/server_info`])
  const errors = /Non-2xx[^\n]*|Socket errors[^\n]*/.exec(stdout)
  if (errors) throw new Error(errors[0])
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1])
}
