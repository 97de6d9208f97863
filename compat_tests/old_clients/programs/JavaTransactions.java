import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;

/**
 * The admin client and transactions of Java clients from 0.11 to 2.8: a topic is made, changed and deleted; of two
 * transactions one is aborted, the other carries offsets.
 *
 *     java -cp JARS JavaTransactions.java BOOTSTRAP TOPIC
 *
 * Prints a line of JSON.
 */
public final class JavaTransactions {
    @SuppressWarnings("deprecation")
    public static void main(String[] args) throws Exception {
        String topic = args[1];
        Set<String> one = Collections.singleton(topic);
        TopicPartition first = new TopicPartition(topic, 0);
        Properties common = new Properties();
        common.put("bootstrap.servers", args[0]);
        for (String side : new String[] {"key", "value"}) {
            common.put(side + ".serializer", "org.apache.kafka.common.serialization.StringSerializer");
            common.put(side + ".deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        }

        AdminClient admin = AdminClient.create(common);
        admin.createTopics(Collections.singleton(new NewTopic(topic, 2, (short) 1))).all().get();
        int partitions = admin.describeTopics(one).all().get().get(topic).partitions().size();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        boolean isDefault = retention(admin, resource).isDefault();
        Config changed = new Config(Collections.singleton(new ConfigEntry("retention.ms", "86400000")));
        admin.alterConfigs(Collections.singletonMap(resource, changed)).all().get();

        Properties transactional = new Properties();
        transactional.putAll(common);
        transactional.put("transactional.id", "id-" + topic);
        transactional.put("enable.idempotence", "true");
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(transactional)) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, "k", "aborted"));
            producer.flush();
            producer.abortTransaction();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, 0, "k", "kept"));
            producer.sendOffsetsToTransaction(
                    Collections.singletonMap(first, new OffsetAndMetadata(7)), "offsets-" + topic);
            producer.commitTransaction();
        }

        Properties reading = new Properties();
        reading.putAll(common);
        reading.put("isolation.level", "read_committed");
        reading.put("auto.offset.reset", "earliest");
        reading.put("enable.auto.commit", "false");
        reading.put("group.id", "group-" + topic);
        List<String> read = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(reading)) {
            consumer.subscribe(one);
            long end = System.currentTimeMillis() + 20_000;
            while (read.isEmpty() && System.currentTimeMillis() < end) {
                for (ConsumerRecord<String, String> record : consumer.poll(100)) {
                    read.add("\"" + record.value() + "\"");
                }
            }
        }
        reading.put("group.id", "offsets-" + topic);
        long offset;
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(reading)) {
            offset = consumer.committed(first).offset();
        }
        String retention = retention(admin, resource).value();
        admin.deleteTopics(one).all().get();
        boolean gone = !admin.listTopics().names().get().contains(topic);
        admin.close();
        System.out.println("{\"partitions\": " + partitions + ", \"default\": " + isDefault + ", \"retention\": "
                + retention + ", \"read\": " + read + ", \"offset\": " + offset + ", \"gone\": " + gone + "}");
    }

    private static ConfigEntry retention(AdminClient admin, ConfigResource resource) throws Exception {
        return admin.describeConfigs(Collections.singleton(resource)).all().get().get(resource).get("retention.ms");
    }
}
