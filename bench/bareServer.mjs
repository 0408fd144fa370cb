// The baseline for an idle node's memory: a server that uses the same two libraries with one route and one WebSocket.
import fastify from 'fastify'
import { WebSocketServer } from 'ws'

const app = fastify()
app.get('/', async () => ({ ok: true }))
await app.listen({ port: 0, host: '127.0.0.1' })
new WebSocketServer({ server: app.server, perMessageDeflate: false })
console.log('ready')
