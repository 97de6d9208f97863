package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** producer.*: records as {"topic", "partition"?, "timestamp"?, "key"?, "value"?, "headers"?: [[k, v]]}. */
final class Producers {
    private final Map<String, KafkaProducer<byte[], byte[]>> producers = new ConcurrentHashMap<>();

    private KafkaProducer<byte[], byte[]> get(JsonNode a) {
        return producers.get(a.get("lane").asText());
    }

    void register(Map<String, Driver.Operation> operations) {
        operations.put("producer.new", a -> {
            Properties config = Values.properties(a.get("config"));
            producers.put(
                    a.get("lane").asText(),
                    new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer()));
            return null;
        });
        operations.put("producer.send", this::send);
        operations.put("producer.send_many", this::sendMany);
        operations.put("producer.partitions", a -> get(a).partitionsFor(a.get("topic").asText()).size());
        operations.put("producer.init_transactions", a -> {
            get(a).initTransactions();
            return null;
        });
        operations.put("producer.begin", a -> {
            get(a).beginTransaction();
            return null;
        });
        operations.put("producer.commit", a -> {
            get(a).commitTransaction();
            return null;
        });
        operations.put("producer.abort", a -> {
            get(a).abortTransaction();
            return null;
        });
        operations.put("producer.send_offsets", a -> {
            JsonNode member = a.get("member");
            get(a).sendOffsetsToTransaction(
                    Values.offsets(a.get("offsets")),
                    new ConsumerGroupMetadata(
                            member.get("group_id").asText(),
                            Values.integer(member, "generation", -1),
                            member.hasNonNull("member_id") ? member.get("member_id").asText() : "",
                            Optional.ofNullable(Values.text(Values.bytes(member.get("instance_id"))))));
            return null;
        });
        operations.put("producer.transactions", this::transactions);
        operations.put("producer.metric", a -> get(a).metrics().entrySet().stream()
                .filter(e -> e.getKey().name().equals(a.get("name").asText()))
                .map(e -> e.getValue().metricValue())
                .findFirst()
                .orElse(null));
        operations.put("producer.close", a -> {
            KafkaProducer<byte[], byte[]> producer = producers.remove(a.get("lane").asText());
            if (producer != null) {
                producer.close(Duration.ofSeconds(10));
            }
            return null;
        });
    }

    /**
     * "count" transactions of "records" records each to partition 0, every "abort_every"th aborted: how many committed
     * records were sent.
     */
    private Object transactions(JsonNode a) throws Exception {
        String topic = a.get("topic").asText();
        int abortEvery = Values.integer(a, "abort_every", 0);
        int committed = 0;
        for (int i = 1; i <= a.get("count").asInt(); i++) {
            boolean abort = abortEvery > 0 && i % abortEvery == 0;
            get(a).beginTransaction();
            for (int j = 0; j < a.get("records").asInt(); j++) {
                String value = abort ? "aborted" : Integer.toString(committed++);
                get(a).send(new ProducerRecord<>(topic, 0, null, value.getBytes(StandardCharsets.UTF_8)));
            }
            if (abort) {
                get(a).abortTransaction();
            } else {
                get(a).commitTransaction();
            }
        }
        return committed;
    }

    private static ProducerRecord<byte[], byte[]> record(JsonNode node) {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
                node.get("topic").asText(),
                node.hasNonNull("partition") ? node.get("partition").asInt() : null,
                node.hasNonNull("timestamp") ? node.get("timestamp").asLong() : null,
                Values.bytes(node.get("key")),
                Values.bytes(node.get("value")));
        if (node.hasNonNull("headers")) {
            node.get("headers").forEach(h -> record.headers().add(h.get(0).asText(), Values.bytes(h.get(1))));
        }
        return record;
    }

    /** Sends "records" at once and waits: per record its metadata, or its error. */
    private Object send(JsonNode a) throws Exception {
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (JsonNode node : a.get("records")) {
            futures.add(get(a).send(record(node)));
        }
        get(a).flush();
        List<Object> answers = new ArrayList<>();
        for (Future<RecordMetadata> future : futures) {
            Map<String, Object> answer = new LinkedHashMap<>();
            try {
                RecordMetadata metadata = future.get();
                answer.put("partition", metadata.partition());
                answer.put("offset", metadata.offset());
                answer.put("timestamp", metadata.timestamp());
            } catch (Exception e) {
                answer.put("error", Driver.describe(e));
            }
            answers.add(answer);
        }
        return answers;
    }

    /** "count" values prefix0, prefix1, ... padded to "size"; the number acknowledged and the first error. */
    private Object sendMany(JsonNode a) throws Exception {
        String topic = a.get("topic").asText();
        String prefix = a.get("prefix").asText();
        int count = a.get("count").asInt();
        int size = Values.integer(a, "size", 0);
        long pauseEvery = Values.integer(a, "pause_every", 0);
        boolean keyed = a.hasNonNull("keyed") && a.get("keyed").asBoolean();
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            StringBuilder value = new StringBuilder(prefix).append(i);
            while (value.length() < size) {
                value.append(' ');
            }
            byte[] key = keyed ? Integer.toString(i).getBytes(StandardCharsets.UTF_8) : null;
            futures.add(get(a).send(new ProducerRecord<>(topic, key, value.toString().getBytes(StandardCharsets.UTF_8))));
            if (pauseEvery > 0 && i % pauseEvery == pauseEvery - 1) {
                Thread.sleep(1);
            }
        }
        get(a).flush();
        Map<String, Object> answer = new LinkedHashMap<>();
        int acknowledged = 0;
        Object error = null;
        for (Future<RecordMetadata> future : futures) {
            try {
                future.get();
                acknowledged++;
            } catch (Exception e) {
                error = error == null ? Driver.describe(e) : error;
            }
        }
        answer.put("acknowledged", acknowledged);
        answer.put("error", error);
        return answer;
    }
}
