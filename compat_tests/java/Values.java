package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;

/** Between JSON and what the clients take. A partition is ["topic", 0]. */
final class Values {
    private Values() {}

    static Properties properties(JsonNode node) {
        Properties properties = new Properties();
        if (node != null) {
            node.properties().forEach(each -> properties.put(each.getKey(), each.getValue().asText()));
        }
        return properties;
    }

    static Map<String, String> stringMap(JsonNode node) {
        Map<String, String> map = new LinkedHashMap<>();
        if (node != null) {
            node.properties().forEach(each -> map.put(each.getKey(), each.getValue().asText()));
        }
        return map;
    }

    static byte[] bytes(JsonNode node) {
        return node == null || node.isNull() ? null : node.asText().getBytes(StandardCharsets.UTF_8);
    }

    static String text(byte[] bytes) {
        return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
    }

    static List<String> strings(JsonNode node) {
        List<String> list = new ArrayList<>();
        if (node != null) {
            node.forEach(each -> list.add(each.asText()));
        }
        return list;
    }

    static TopicPartition partition(JsonNode node) {
        return new TopicPartition(node.get(0).asText(), node.get(1).asInt());
    }

    static Set<TopicPartition> partitions(JsonNode node) {
        Set<TopicPartition> set = new LinkedHashSet<>();
        node.forEach(each -> set.add(partition(each)));
        return set;
    }

    static Object json(TopicPartition partition) {
        return List.of(partition.topic(), partition.partition());
    }

    static List<Object> json(Iterable<TopicPartition> partitions) {
        List<TopicPartition> sorted = new ArrayList<>();
        partitions.forEach(sorted::add);
        sorted.sort((a, b) -> a.topic().equals(b.topic())
                ? Integer.compare(a.partition(), b.partition())
                : a.topic().compareTo(b.topic()));
        List<Object> list = new ArrayList<>();
        sorted.forEach(each -> list.add(json(each)));
        return list;
    }

    static String key(TopicPartition partition) {
        return partition.topic() + ":" + partition.partition();
    }

    static Map<String, Object> offset(OffsetAndMetadata value) {
        if (value == null) {
            return null;
        }
        Map<String, Object> map = new HashMap<>();
        map.put("offset", value.offset());
        map.put("metadata", value.metadata());
        map.put("leader_epoch", value.leaderEpoch().orElse(null));
        return map;
    }

    /** [["topic", 0, offset, "metadata"?], ...] */
    static Map<TopicPartition, OffsetAndMetadata> offsets(JsonNode node) {
        Map<TopicPartition, OffsetAndMetadata> map = new LinkedHashMap<>();
        node.forEach(each -> map.put(
                partition(each),
                each.size() > 3
                        ? new OffsetAndMetadata(each.get(2).asLong(), each.get(3).asText())
                        : new OffsetAndMetadata(each.get(2).asLong())));
        return map;
    }

    static int integer(JsonNode node, String name, int otherwise) {
        return node.hasNonNull(name) ? node.get(name).asInt() : otherwise;
    }
}
