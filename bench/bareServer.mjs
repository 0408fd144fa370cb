// The anchor for an idle node's memory: the two server libraries, one route, one WebSocket, nothing of ours.
import fastify from 'fastify'
import { WebSocketServer } from 'ws'

const app = fastify()
app.get('/', async () => ({ ok: true }))
await app.listen({ port: 0, host: '127.0.0.1' })
new WebSocketServer({ server: app.server, perMessageDeflate: false })
console.log('ready')
