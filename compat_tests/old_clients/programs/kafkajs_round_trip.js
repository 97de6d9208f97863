// What an application does with kafkajs, of whatever release: produce, consume in a group, commit, go on.
//
//     node kafkajs_round_trip.js MODULE BOOTSTRAP TOPIC GROUP COMPRESSION
//
// Prints a line of JSON: what the first consumer read, what the second.

const [module_, bootstrap, topic, group, compression] = process.argv.slice(2)
const { Kafka, CompressionTypes, logLevel } = require(module_)

const kafka = new Kafka({ clientId: 'old', brokers: [bootstrap], logLevel: logLevel.ERROR, retry: { initialRetryTime: 50 } })

async function produce(messages) {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages, compression: compression === 'gzip' ? CompressionTypes.GZIP : undefined })
  await producer.disconnect()
}

async function consume(count) {
  const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 100, heartbeatInterval: 300 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  const found = []
  await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${found.length} of ${count} messages came`)), 20000)
    consumer.run({
      eachMessage: async ({ partition, message }) => {
        found.push([partition, Number(message.offset), message.key.toString(), message.value.toString()])
        if (found.length === count) {
          clearTimeout(late)
          resolve()
        }
      },
    })
  })
  await new Promise(resolve => setTimeout(resolve, 200))
  await consumer.disconnect()  // offsets are committed with it
  return found
}

async function main() {
  const messages = []
  for (let number = 0; number < 20; number++) messages.push({ key: `k${number}`, value: `v${number}` })
  await produce(messages)
  const first = await consume(20)
  await produce([{ key: 'later', value: 'later' }])
  const second = await consume(1)
  console.log(JSON.stringify({ first, second }))
}

main().then(() => process.exit(0), error => { console.error(error); process.exit(1) })
