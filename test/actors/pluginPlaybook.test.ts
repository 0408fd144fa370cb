import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toPlaybook } from '../../actors/pluginRunner/playbook.ts'
import { AppError } from '../../protocol/errors.ts'

const cases: [go: string, ansible: string][] = [
  ['shell: serve --bind 0.0.0.0:{{index . 0}} &', 'shell: serve --bind 0.0.0.0:{{ p2prc_ports[0] }} &'],
  ['shell: a {{ index . 1 }} b {{- index  .  0 -}} c', 'shell: a {{ p2prc_ports[1] }} b {{ p2prc_ports[0] }} c'],
  ['port: {{index . 0}}', "port: '{{ p2prc_ports[0] }}'"],
  ['  - {{index . 0}}', "  - '{{ p2prc_ports[0] }}'"],
  ['  - port: {{index . 0}}   # the first', "  - port: '{{ p2prc_ports[0] }}'   # the first"],
  ["say: {{index . 0}} isn't much", "say: '{{ p2prc_ports[0] }} isn''t much'"],
  ['say: "{{index . 0}}"', 'say: "{{ p2prc_ports[0] }}"'],
  ['msg: "{{ ansible_user }} {{ item }}"', 'msg: "{{ ansible_user }} {{ item }}"'],
  ['loop_control: {index_var: index}\nmsg: "{{ index }}"', 'loop_control: {index_var: index}\nmsg: "{{ index }}"'],
  [
    'a: {{index . 0}}\r\nb: {{index . 0}}:{{index . 1}}',
    "a: '{{ p2prc_ports[0] }}'\r\nb: '{{ p2prc_ports[0] }}:{{ p2prc_ports[1] }}'",
  ],
]

test('a port of P2PRC becomes a lookup in the host’s variables, and everything else stays', () => {
  for (const [go, ansible] of cases) assert.equal(toPlaybook(go, 'x', 2), ansible, go)
})

test('a port that was not requested, and any other Go action, is rejected by name', () => {
  const bad = (text: string) => (error: unknown) =>
    error instanceof AppError && error.code === 'plugin_bad' && error.message.includes(text)
  assert.throws(() => toPlaybook('a: {{index . 1}}', 'x', 1), bad('port 1'))
  for (const action of ['{{range .}}', '{{ . }}', '{{if .}}', '{{len .}}', '{{printf "%d" 1}}', '{{index . $x}}'])
    assert.throws(() => toPlaybook(`a: ${action}`, 'x', 1), bad('Go template'), action)
})
