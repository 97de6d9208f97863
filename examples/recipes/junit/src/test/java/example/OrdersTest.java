package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(Kwire.class)
class OrdersTest {
    @Test
    void whatIsSentIsRead(Kwire.Cluster kafka) throws Exception {
        send(kafka, "first", "second");
        assertEquals(List.of("first", "second"), read(kafka, 2));
    }

    @Test
    void aRecordWhoseAnswerIsLostIsSentAgainAndIsThereOnce(Kwire.Cluster kafka) throws Exception {
        kafka.request("POST", "/faults", """
                {"name": "lost", "api": "Produce", "when": "after", "drop_connection": true, "times": 1}""");
        send(kafka, "first", "second");
        assertEquals(List.of("first", "second"), read(kafka, 2));
        assertTrue(kafka.request("GET", "/faults/lost", null).contains("\"fired\":1"));
    }

    private static void send(Kwire.Cluster kafka, String... values) throws Exception {
        Map<String, Object> settings = Map.of("bootstrap.servers", kafka.bootstrapServers);
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            for (String value : values) {
                producer.send(new ProducerRecord<>("orders", value)).get();
            }
        }
    }

    private static List<String> read(Kwire.Cluster kafka, int count) {
        Map<String, Object> settings = Map.of(
                "bootstrap.servers", kafka.bootstrapServers, "group.id", "billing", "auto.offset.reset", "earliest");
        List<String> values = new ArrayList<>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("orders"));
            while (values.size() < count) {
                consumer.poll(Duration.ofSeconds(1)).forEach(record -> values.add(record.value()));
            }
        }
        return values;
    }
}
