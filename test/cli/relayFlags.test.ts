import assert from 'node:assert/strict'
import { test } from 'node:test'
import { relayOptions } from '../../cli/relayFlags.ts'

const flags = { policy: undefined, ports: undefined, rate: undefined }

test('the tokens come from the environment, each for its own end, and no program that the node starts inherits them', () => {
  const env: NodeJS.ProcessEnv = { P2PRC_RELAY_TOKEN: 'of this relay', P2PRC_VIA_TOKEN: 'of stock frps', OTHER: 'kept' }
  const options = relayOptions(flags, env)
  assert.deepEqual([options.relayChoices.token, options.viaToken], ['of this relay', 'of stock frps'])
  assert.deepEqual(env, { OTHER: 'kept' })
  const none = relayOptions(flags, {})
  assert.deepEqual(none, { relay: 'peers', relayChoices: { limits: {} } })
})
