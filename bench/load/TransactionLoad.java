import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Kafka's own producer, one transaction after the other:
 * {@code TransactionLoad BOOTSTRAP TOPIC PARTITIONS COUNT WARMUP VALUE_SIZE}.
 *
 * <p>Same protocol as rdkafka_load.c: WARMUP transactions, "ready", a line on standard input, COUNT transactions, one
 * line of JSON. A transaction is 10 records over all partitions; the latency is that of commitTransaction.
 */
public final class TransactionLoad {
    private static final int RECORDS_A_TRANSACTION = 10;

    public static void main(String[] given) throws Exception {
        String topic = given[1];
        int partitions = Integer.parseInt(given[2]);
        int count = Integer.parseInt(given[3]);
        int warmup = Integer.parseInt(given[4]);
        byte[] value = new byte[Integer.parseInt(given[5])];
        Properties settings = new Properties();
        settings.put("bootstrap.servers", given[0]);
        settings.put("transactional.id", topic + "-java");
        settings.put("linger.ms", "0");
        try (var producer = new KafkaProducer<>(settings, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.initTransactions();
            run(producer, topic, partitions, value, new long[warmup]);
            System.out.println("ready");
            System.in.read();
            long[] took = new long[count];
            long began = System.nanoTime();
            run(producer, topic, partitions, value, took);
            double seconds = (System.nanoTime() - began) / 1e9;
            Arrays.sort(took);
            System.out.printf(
                    "{\"transactions\": %d, \"failed\": 0, \"per_second\": %.2f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}%n",
                    count, count / seconds, took[count / 2] / 1e6, took[(int) (0.99 * (count - 1))] / 1e6);
        }
    }

    private static void run(
            KafkaProducer<byte[], byte[]> producer, String topic, int partitions, byte[] value, long[] took) {
        for (int i = 0; i < took.length; i++) {
            producer.beginTransaction();
            for (int n = 0; n < RECORDS_A_TRANSACTION; n++) {
                producer.send(new ProducerRecord<>(topic, n % partitions, null, value));
            }
            long began = System.nanoTime();
            producer.commitTransaction();
            took[i] = System.nanoTime() - began;
        }
    }
}
