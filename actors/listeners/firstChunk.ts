import type { Socket } from 'node:net'

/** Peeks at the first chunk of a connection, which stays to be read. Closes a connection that sends nothing within `ms`. */
export function onFirstChunk(socket: Socket, ms: number, onChunk: (chunk: Buffer) => void): void {
  const timer = setTimeout(() => socket.destroy(), ms)
  const peek = () => {
    const chunk: Buffer | null = socket.read()
    if (chunk === null || chunk.length === 0) return
    cleanUp()
    socket.unshift(chunk)
    onChunk(chunk)
  }
  const hangUp = () => socket.destroy()
  const cleanUp = () => {
    clearTimeout(timer)
    socket.off('readable', peek)
    socket.off('end', hangUp)
    socket.off('close', cleanUp)
  }
  socket.on('readable', peek)
  socket.on('end', hangUp)
  socket.on('close', cleanUp)
}
