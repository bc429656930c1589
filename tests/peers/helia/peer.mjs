// A Helia on 127.0.0.1, driven by lines of JSON: TCP, Noise, yamux, bitswap; no routing, so it asks only whom it is told to dial.
// Asked {id, do, …}, it answers {id, …} or {id, error}; its first line is {peer, addrs}. It ends when its input does.

import { createInterface } from 'node:readline'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createHeliaLight } from 'helia'
import { CID } from 'multiformats/cid'

const helia = withBitswap(withLibp2pLight(createHeliaLight(), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() }
}))
await helia.start()
const fs = unixfs(helia)

async function gather (chunks, most) {
  const found = []
  let bytes = 0
  for await (const chunk of chunks) {
    found.push(chunk)
    bytes += chunk.length
    if (bytes > most) throw new Error(`more than ${most} bytes`)
  }
  return Buffer.concat(found)
}

const able = {
  add: async ({ data }) => ({ cid: (await fs.addBytes(Buffer.from(data, 'base64'))).toString() }),
  cat: async ({ cid, seconds, most }) => {
    const signal = AbortSignal.timeout(seconds * 1000)
    return { data: (await gather(fs.cat(CID.parse(cid), { signal }), most)).toString('base64') }
  },
  block: async ({ cid, seconds, most }) => {
    const signal = AbortSignal.timeout(seconds * 1000)
    return { data: (await gather(helia.blockstore.get(CID.parse(cid), { signal }), most)).toString('base64') }
  },
  dial: async ({ addr, seconds }) => {
    const connection = await helia.libp2p.dial(multiaddr(addr), { signal: AbortSignal.timeout(seconds * 1000) })
    return { peer: connection.remotePeer.toString() }
  },
  peers: async () => ({ peers: helia.libp2p.getPeers().map(String) })
}

const tell = (value) => process.stdout.write(JSON.stringify(value) + '\n')
tell({ peer: helia.libp2p.peerId.toString(), addrs: helia.libp2p.getMultiaddrs().map(String) })

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: what, ...rest } = JSON.parse(line)
  able[what](rest).then((answer) => tell({ id, ...answer }), (error) => tell({ id, error: `${error.name}: ${error.message}` }))
}
await helia.stop()
process.exit(0)
