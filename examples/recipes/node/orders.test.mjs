import assert from 'node:assert/strict'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import kafkajs from 'kafkajs'
import { Broker } from './kwire.mjs'

let broker, cluster, kafka

before(async () => { broker = await Broker.start() })
after(() => broker.stop())
beforeEach(async () => {
  cluster = await broker.createCluster({ topics: { orders: 1 } })
  kafka = new kafkajs.Kafka({
    brokers: cluster.brokers,
    retry: { initialRetryTime: 20 },
    logLevel: kafkajs.logLevel.NOTHING
  })
})
afterEach(() => cluster.delete())

async function send(...values) {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic: 'orders', messages: values.map((value) => ({ value })) })
  await producer.disconnect()
}

async function read(count) {
  const consumer = kafka.consumer({ groupId: 'billing' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'orders', fromBeginning: true })
  const values = []
  await new Promise((resolve) =>
    consumer.run({
      eachMessage: async ({ message }) => {
        values.push(message.value.toString())
        if (values.length >= count) resolve()
      }
    })
  )
  await consumer.disconnect()
  return values
}

test('what is sent is read', async () => {
  await send('first', 'second')
  assert.deepEqual(await read(2), ['first', 'second'])
})

test('a producer tries again when the leader has moved', async () => {
  await cluster.request('POST', '/faults', { name: 'moved', api: 'Produce', error: 'NOT_LEADER_OR_FOLLOWER', times: 2 })
  await send('first')
  const answer = await cluster.request('GET', '/topics/orders/records')
  assert.deepEqual(answer.records.map((record) => record.value), ['first'])
  assert.equal((await cluster.request('GET', '/faults/moved')).fired, 2)
})
