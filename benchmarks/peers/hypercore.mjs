// W4 with hypercore: durable appends, then replication to another process over TCP with its Noise.
// Arguments: N. (It calls itself as "fetch KEY PORT FOLDER N" for the other process.)
import { createHash } from 'node:crypto'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import Hypercore from 'hypercore'

const now = () => performance.now() / 1000
// the same data as benchmarks/data.py makes
const entry = (i) => Buffer.concat([0, 1, 2, 3].map((part) => createHash('sha512').update(`l${i}.${part}`).digest()))

function diskBytes (folder) {
  let total = 0
  for (const item of fs.readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (item.isFile()) total += fs.statSync(path.join(item.parentPath ?? item.path, item.name)).blocks * 512
  }
  return total
}

function wire (socket, replication) {
  socket.setNoDelay(true)
  socket.on('error', () => {})
  replication.on('error', () => {})
  socket.pipe(replication).pipe(socket)
}

async function measure (n) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'mycelnode-bench-hypercore-'))
  try {
    const entries = Array.from({ length: n }, (_, i) => entry(i))
    const few = entries.slice(0, Math.max(1, Math.floor(n / 10)))
    const out = {}

    const alone = new Hypercore(path.join(folder, 'alone'))
    await alone.ready()
    let started = now()
    for (const item of few) await alone.append(item)
    out.alone_per_s = few.length / (now() - started)
    await alone.close()

    const many = new Hypercore(path.join(folder, 'many'))
    await many.ready()
    started = now()
    await Promise.all(entries.map((item) => many.append(item)))
    out.together_per_s = n / (now() - started)

    const server = net.createServer((socket) => wire(socket, many.replicate(false, { live: true })))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const call = ['fetch', many.key.toString('hex'), server.address().port, path.join(folder, 'copy'), n]
    const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...call.map(String)], { stdio: ['ignore', 'pipe', 'inherit'] })
    let said = ''
    child.stdout.on('data', (data) => { said += data })
    const [status] = await once(child, 'close')
    if (status !== 0) throw new Error('the fetching process failed')
    Object.assign(out, JSON.parse(said))
    server.close()
    await many.close()
    out.disk_bytes = diskBytes(path.join(folder, 'many'))
    console.log(JSON.stringify(out))
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

async function fetchAll (key, port, folder, n) {
  const copy = new Hypercore(folder, Buffer.from(key, 'hex'))
  await copy.ready()
  const started = now()
  const socket = net.connect(port, '127.0.0.1')
  wire(socket, copy.replicate(true, { live: true }))
  await copy.update({ wait: true })
  await copy.download({ start: 0, end: n }).done()
  const out = { w4_s: now() - started, w4_bytes: socket.bytesRead + socket.bytesWritten }
  if (copy.contiguousLength !== n || !(await copy.get(n - 1)).equals(entry(n - 1))) throw new Error('not equal')
  socket.destroy()
  await copy.close()
  console.log(JSON.stringify(out))
}

const [first, ...rest] = process.argv.slice(2)
if (first === 'fetch') await fetchAll(rest[0], +rest[1], rest[2], +rest[3])
else await measure(+first)
process.exit(0)
