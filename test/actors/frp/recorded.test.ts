import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { type Duplex, duplexPair } from 'node:stream'
import { test } from 'node:test'
import { createRelayServer } from '../../../actors/relay/frpServer.ts'
import { createRelayQuota } from '../../../actors/relay/quota.ts'
import { multiplexed } from '../../../actors/turnClient/frpTransport.ts'
import { startSession } from '../../../actors/turnClient/startSession.ts'
import { RELAY_LIMITS } from '../../../protocol/defaults/relay.ts'
import { controlMessages, messagesIn, streamsOf, vectors } from '../../support/frpRecording.ts'

/** One end of a connection as bytes: what has arrived, and a way to wait until it says something. */
function follow(stream: Duplex) {
  let bytes = Buffer.alloc(0)
  const checks = new Set<() => void>()
  stream.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    for (const check of checks) check()
  })
  return {
    streams: () => streamsOf(bytes),
    until: <T>(found: (streams: Map<number, Buffer>) => T | undefined): Promise<T> =>
      new Promise((done) => {
        const check = () => {
          const value = found(streamsOf(bytes))
          if (value === undefined) return
          checks.delete(check)
          done(value)
        }
        checks.add(check)
        check()
      }),
  }
}

/** The first message of a kind on the control stream. */
const controlOf =
  <K extends string>(kind: K) =>
  (streams: Map<number, Buffer>) =>
    controlMessages(streams.get(1) ?? Buffer.alloc(0)).find((message) => message.kind === kind)

/** The place of the first frame with a payload that begins so, header included. */
function frameAt(raw: Buffer, payload: string): number {
  const at = raw.indexOf(payload) - 12
  assert.ok(at > 0, payload)
  return at
}

for (const [version, session] of Object.entries(vectors.sessions)) {
  const [fromClient, fromServer] = [Buffer.from(session['C>S'], 'hex'), Buffer.from(session['S>C'], 'hex')]
  const [request, response] = [fromServer, fromClient].map((raw) => messagesIn(streamsOf(raw).get(3) as Buffer).rest)
  const requested = controlMessages(streamsOf(fromClient).get(1) as Buffer).find(({ kind }) => kind === 'NewProxy')
  assert.ok(request && response && requested?.kind === 'NewProxy')
  const { proxy_name, proxy_type } = requested.body

  test(`what a client of frp ${version} sent is answered as the server answered it`, async () => {
    const relay = createRelayServer({
      token: '',
      host: '127.0.0.1',
      quota: createRelayQuota(RELAY_LIMITS, () => false),
    })
    const [near, far] = duplexPair()
    const answers = follow(near)
    relay.accept(far, { caller: 'anonymous', address: 'recorded' })
    // The client repeats the run id that it is given, and this relay gives another one.
    near.write(fromClient.subarray(0, frameAt(fromClient, 'w\0')))
    const login = await answers.until(controlOf('LoginResp'))
    assert.ok(login.kind === 'LoginResp')
    const [, runId = ''] = /"run_id":"(\w{16})"/.exec(fromClient.toString('latin1')) ?? []
    const replayed = Buffer.from(fromClient.toString('latin1').replaceAll(runId, login.body.run_id), 'latin1')
    const answerAt = frameAt(replayed, 'HTTP/1.')
    near.write(replayed.subarray(frameAt(fromClient, 'w\0'), answerAt))
    const bound = await answers.until(controlOf('NewProxyResp'))
    assert.ok(bound.kind === 'NewProxyResp')
    assert.equal(bound.body.proxy_name, proxy_name)

    const user = connect(Number(bound.body.remote_addr.slice(1)), '127.0.0.1').setEncoding('utf8')
    user.write(request)
    const work = await answers.until((streams) => {
      const found = messagesIn(streams.get(3) ?? Buffer.alloc(0))
      return found.rest === request ? found : undefined
    })
    near.write(replayed.subarray(answerAt))
    assert.equal((await once(user, 'data'))[0], response)
    await once(user, 'close')

    const kinds = (streams: Map<number, Buffer>) => controlMessages(streams.get(1) as Buffer).map(({ kind }) => kind)
    assert.deepEqual(kinds(answers.streams()).sort(), kinds(streamsOf(fromServer)).sort())
    assert.deepEqual(work.kinds, messagesIn(streamsOf(fromServer).get(3) as Buffer).kinds)
    relay.close()
    near.destroy()
    far.destroy()
  })

  test(`what a server of frp ${version} sent is answered as the client answered it`, async () => {
    const local = createServer((socket) => {
      socket.once('data', (chunk) => {
        assert.equal(String(chunk), request)
        socket.write(response)
      })
    }).listen(0, '127.0.0.1')
    await once(local, 'listening')
    const { port } = local.address() as { port: number }
    const [near, far] = duplexPair()
    const answers = follow(far)
    const running = startSession(
      {
        transport: () => multiplexed(async () => near),
        token: () => '',
        localUdpPort: () => undefined,
        async connectLocal(name) {
          assert.equal(name, proxy_name)
          const socket = connect(port, '127.0.0.1')
          await once(socket, 'connect')
          return socket
        },
      },
      [{ name: proxy_name, protocol: 'tcp', remotePort: requested.body.remote_port }],
    )
    const opened = new Promise<number>((done) => {
      running.actor.on('tunnel.opened', ({ remotePort }) => done(remotePort))
    })
    await answers.until(controlOf('Login'))
    // Each part as soon as the client has opened the stream to which it answers.
    const workAt = fromServer.indexOf(Buffer.from('0001000200000003', 'hex'))
    assert.ok(workAt > 0)
    far.write(fromServer.subarray(0, workAt))
    await answers.until((streams) => (streams.get(3)?.length ? true : undefined))
    far.write(fromServer.subarray(workAt))
    assert.equal(await opened, requested.body.remote_port)
    const answered = await answers.until((streams) => {
      const found = messagesIn(streams.get(3) as Buffer)
      return found.rest === response && streams.get(5)?.length ? found : undefined
    })

    const [ours, theirs] = [answers.streams(), streamsOf(fromClient)]
    const [asked, expected] = [ours, theirs].map((streams) => controlMessages(streams.get(1) as Buffer))
    assert.deepEqual(
      asked?.map(({ kind }) => kind),
      expected?.map(({ kind }) => kind),
    )
    const proxy = asked?.find(({ kind }) => kind === 'NewProxy')?.body
    assert.deepEqual(proxy, { ...requested.body, proxy_type: proxy_type || 'tcp' })
    assert.deepEqual(answered.kinds, ['NewWorkConn'])
    assert.equal(ours.get(5)?.subarray(0, 9).toString('hex'), ours.get(3)?.subarray(0, 9).toString('hex'))
    running.stop()
    local.close()
  })
}
