// One broker for a test file, a fresh cluster for each test. Copy this file; it needs Node 20 and nothing else.
//
// The broker is started with the command `kwire` (or what the variable KWIRE says), or is one that runs already, when
// KWIRE_URL says where: http://127.0.0.1:9380.

import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export class Broker {
  /** Start a broker. It stops when this process ends, in whatever way: its standard input ends then. */
  static async start() {
    if (process.env.KWIRE_URL) return new Broker(process.env.KWIRE_URL)
    const directory = await mkdtemp(join(tmpdir(), 'kwire-node-'))
    const ready = join(directory, 'ready')
    const [command, ...first] = (process.env.KWIRE ?? 'kwire').split(' ')
    const child = spawn(
      command,
      [...first, 'serve', '--ephemeral', '--stop-with-stdin', '--port', '0', '--http', '0', '--ready-file', ready],
      { stdio: ['pipe', 'ignore', 'inherit'] }
    )
    let failed = null
    child.on('error', (error) => { failed = error })
    child.on('exit', (code) => { failed ??= new Error(`kwire ended with exit code ${code}`) })
    try {
      for (;;) {
        const text = await readFile(ready, 'ascii').catch(() => null)
        if (text !== null) return new Broker(text.split('\n')[1], child)
        if (failed) throw failed
        await sleep(5)
      }
    } finally {
      await rm(directory, { recursive: true })
    }
  }

  constructor(url, child = null) {
    this.url = url
    this.child = child
  }

  /** A fresh cluster. spec: the body of POST /v1/clusters, for example { topics: [{ name: 'orders' }] }. */
  async createCluster(spec = {}) {
    const made = await this.request('POST', '/v1/clusters', spec)
    return new Cluster(this, made)
  }

  async request(method, path, body) {
    const response = await fetch(this.url + path, {
      method,
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body)
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }

  async stop() {
    if (this.child === null || this.child.exitCode !== null) return
    const gone = new Promise((resolve) => this.child.once('exit', resolve))
    this.child.stdin.end()
    await gone
  }
}

export class Cluster {
  constructor(broker, made) {
    this.broker = broker
    this.name = made.name
    this.brokers = made.bootstrap_servers.split(',')
  }

  /** A request below /v1/clusters/NAME; the answer, decoded. */
  request(method, path, body) {
    return this.broker.request(method, `/v1/clusters/${this.name}${path}`, body)
  }

  delete() {
    return this.request('DELETE', '')
  }
}
