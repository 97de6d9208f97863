import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * What an application does with the Java clients, of whatever release: produce, consume in a group, commit, go on.
 *
 *     java -cp JARS JavaRoundTrip.java BOOTSTRAP TOPIC GROUP COMPRESSION
 *
 * Prints a line of JSON: what the first consumer read, what the second.
 */
public final class JavaRoundTrip {
    private static Properties common(String bootstrap) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        for (String side : new String[] {"key", "value"}) {
            p.put(side + ".serializer", "org.apache.kafka.common.serialization.StringSerializer");
            p.put(side + ".deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        }
        return p;
    }

    private static void produce(Properties p, String topic, int count, String prefix) throws Exception {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(p)) {
            for (int i = 0; i < count; i++) {
                producer.send(new ProducerRecord<>(topic, null, 1000L + i, "k", prefix + i)).get();
            }
        }
    }

    /** The one took milliseconds until 3.9, the other a duration since 2.0. */
    @SuppressWarnings("unchecked")
    private static ConsumerRecords<String, String> poll(KafkaConsumer<String, String> consumer) throws Exception {
        try {
            return (ConsumerRecords<String, String>)
                    KafkaConsumer.class.getMethod("poll", Duration.class).invoke(consumer, Duration.ofMillis(100));
        } catch (NoSuchMethodException e) {
            return (ConsumerRecords<String, String>)
                    KafkaConsumer.class.getMethod("poll", long.class).invoke(consumer, 100L);
        }
    }

    private static List<String> consume(Properties p, String topic, int count) throws Exception {
        List<String> found = new ArrayList<>();
        long end = System.currentTimeMillis() + 20_000;
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(p)) {
            consumer.subscribe(Collections.singletonList(topic));
            while (found.size() < count && System.currentTimeMillis() < end) {
                for (ConsumerRecord<String, String> record : poll(consumer)) {
                    found.add("\"" + record.offset() + " " + record.timestamp() + " " + record.value() + "\"");
                }
            }
            consumer.commitSync();
        }
        return found;
    }

    public static void main(String[] args) throws Exception {
        Properties p = common(args[0]);
        p.put("compression.type", args[3]);
        p.put("group.id", args[2]);
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        p.put("heartbeat.interval.ms", "300");
        produce(p, args[1], 5, "v");
        List<String> first = consume(p, args[1], 5);
        produce(p, args[1], 1, "later");
        System.out.println("{\"first\": " + first + ", \"second\": " + consume(p, args[1], 1) + "}");
    }
}
