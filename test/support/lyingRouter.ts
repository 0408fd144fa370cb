import { createSocket } from 'node:dgram'
import { createServer, type ServerResponse } from 'node:http'

/**
 * A router that answers nonsense: to NAT-PMP one byte, and to UPnP what its first argument names. The second is the address to which
 * `elsewhere` sends those who believe it.
 */
const [mode = '', elsewhere = ''] = process.argv.slice(2)
const LAN_ADDRESS = '192.168.1.1'
const HTTP_PORT = 5_000

const service = (controlURL: string) =>
  `<?xml version="1.0"?><root><device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<SCPDURL>/x</SCPDURL><controlURL>${controlURL}</controlURL></service></serviceList></device></root>`

const answers: Record<string, (response: ServerResponse) => unknown> = {
  nonsense: (response) => response.end('<a><b></a>&'),
  endless(response) {
    const more = () => {
      while (response.write('<a>'.repeat(20_000)));
    }
    response.on('drain', more)
    more()
  },
  elsewhere: (response) => response.end(service(`http://${elsewhere}:8088/control`)),
}

createServer((_, response) => {
  response.on('error', () => {})
  answers[mode]?.(response)
}).listen(HTTP_PORT, LAN_ADDRESS)

const pmp = createSocket('udp4')
pmp.on('message', (_, { port, address }) => pmp.send(Buffer.from([0]), port, address))
pmp.bind(5_351, LAN_ADDRESS)

const ssdp = createSocket({ type: 'udp4', reuseAddr: true })
ssdp.on('message', (message, { port, address }) => {
  const [, st] = /^ST: (.*)\r$/m.exec(String(message)) ?? []
  const location = `http://${LAN_ADDRESS}:${HTTP_PORT}/`
  ssdp.send(`HTTP/1.1 200 OK\r\nST: ${st}\r\nLOCATION: ${location}\r\n\r\n`, port, address)
})
ssdp.bind(1_900, () => {
  ssdp.addMembership('239.255.255.250', LAN_ADDRESS)
  console.log('the router lies')
})
