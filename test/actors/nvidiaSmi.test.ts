import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseNvidia, readNvidia } from '../../actors/specs/nvidiaSmi.ts'

// The fixtures were written by hand after the documented format of `nvidia-smi -q -x`; no card was at hand.
const fixture = (name: string) => readFile(join(import.meta.dirname, '../fixtures', name), 'utf8')

test('reads one card of an older driver, with what P2PRC names', async () => {
  assert.deepEqual(parseNvidia(await fixture('nvidia-470-one.xml')), {
    driver: '470.161.03',
    cards: [
      {
        GpuName: 'NVIDIA GeForce GTX 1660 SUPER',
        BiosVersion: '90.16.48.00.97',
        FanSpeed: '31 %',
        Utilization: { GpuUsage: '3 %', MemoryUsage: '7 %' },
        Temperature: { GpuTemp: '42 C' },
        Clock: { GpuClock: '300 MHz', GpuMemClock: '405 MHz' },
        MemoryTotal: '5941 MiB',
        MemoryUsed: '414 MiB',
        Uuid: 'GPU-0c1f2e3d-1111-2222-3333-444455556666',
      },
    ],
  })
})

test('reads every card of a newer driver; a fanless card says N/A', async () => {
  const { driver, cards } = parseNvidia(await fixture('nvidia-550-four.xml'))
  assert.equal(driver, '550.54.15')
  assert.deepEqual(
    cards.map(({ Uuid, FanSpeed, MemoryUsed, Utilization }) => [
      Uuid.slice(0, 12),
      FanSpeed,
      MemoryUsed,
      Utilization.GpuUsage,
    ]),
    [
      ['GPU-a1000000', 'N/A', '4 MiB', '0 %'],
      ['GPU-a1000001', 'N/A', '40960 MiB', '87 %'],
      ['GPU-a1000002', 'N/A', '81000 MiB', '100 %'],
      ['GPU-a1000003', 'N/A', '4 MiB', '0 %'],
    ],
  )
})

test('what a driver does not name is N/A, and entities are read', () => {
  const { driver, cards } = parseNvidia(
    '<nvidia_smi_log><gpu id="a"><product_name>A &amp; B</product_name></gpu></nvidia_smi_log>',
  )
  assert.equal(driver, 'N/A')
  assert.equal(cards[0]?.GpuName, 'A & B')
  assert.equal(cards[0]?.Clock.GpuClock, 'N/A')
})

test('a truncated report is an error wherever it breaks off', async () => {
  const whole = (await fixture('nvidia-470-one.xml')).trimEnd()
  for (let length = 0; length < whole.length; length += 37)
    assert.throws(() => parseNvidia(whole.slice(0, length)), Error, `cut at ${length}`)
})

test('hostile and foreign output is an error', () => {
  const hostile = [
    '',
    'No devices were found',
    '{"gpu": []}',
    '<html><body>404</body></html>',
    '<nvidia_smi_log/><nvidia_smi_log/>',
    '<nvidia_smi_log></gpu></nvidia_smi_log>',
    '</nvidia_smi_log>',
    '<!DOCTYPE a [<!ENTITY b "c">]><nvidia_smi_log>&b;</nvidia_smi_log>',
    '<nvidia_smi_log><![CDATA[x]]></nvidia_smi_log>',
    `${'<a>'.repeat(100_000)}`,
    `<nvidia_smi_log>${'<'.repeat(100_000)}</nvidia_smi_log>`,
    `<nvidia_smi_log ${'a '.repeat(100_000)}`,
    `<!--${'-'.repeat(100_000)}`,
  ]
  for (const xml of hostile) assert.throws(() => parseNvidia(xml), Error, xml.slice(0, 40))
})

test('runs the program with arguments: its report, its absence, its failure', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-nvidia-'))
  const program = async (script: string) => {
    const path = join(folder, 'nvidia-smi')
    await writeFile(path, `#!/bin/sh\n${script}\n`)
    await chmod(path, 0o755)
    return { PATH: `${folder}:${process.env.PATH}` }
  }
  try {
    const report = join(import.meta.dirname, '../fixtures', 'nvidia-550-four.xml')
    const shown = await readNvidia(undefined, await program(`[ "$*" = "-q -x" ] && cat '${report}'`))
    assert.equal(shown?.cards.length, 4)
    assert.equal(await readNvidia(undefined, { PATH: join(folder, 'absent') }), null)
    await assert.rejects(
      readNvidia(undefined, await program('echo "NVIDIA-SMI has failed: no driver"; exit 9')),
      /nvidia-smi failed: NVIDIA-SMI has failed: no driver/,
    )
    await assert.rejects(readNvidia(undefined, await program('head -c 5000000 /dev/zero')), /more than/)
    const abort = new AbortController()
    const env = await program('exec sleep 60')
    const started = new Promise<void>((resolve) => {
      const onStart = () => {
        unsubscribe('child_process', onStart)
        resolve()
      }
      subscribe('child_process', onStart)
    })
    const hung = readNvidia(abort.signal, env)
    await started
    abort.abort()
    await assert.rejects(hung, Error)
  } finally {
    await rm(folder, { recursive: true })
  }
})
