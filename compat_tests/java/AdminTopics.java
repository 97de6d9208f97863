package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.ListTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;

/** Topics, partitions, their offsets and records. */
final class AdminTopics {
    private final Admins admins;

    AdminTopics(Admins admins) {
        this.admins = admins;
    }

    void register(Map<String, Driver.Operation> operations) {
        operations.put("admin.create_topics", this::createTopics);
        operations.put("admin.delete_topics", a -> Admins.outcomes(
                admins.get(a).deleteTopics(Values.strings(a.get("topics"))).topicNameValues()));
        operations.put("admin.list_topics", a -> {
            boolean internal = a.hasNonNull("internal") && a.get("internal").asBoolean();
            return new TreeSet<>(
                    admins.get(a).listTopics(new ListTopicsOptions().listInternal(internal)).names().get());
        });
        operations.put("admin.describe_topics", this::describeTopics);
        operations.put("admin.create_partitions", a -> {
            Map<String, NewPartitions> wanted = new LinkedHashMap<>();
            a.get("counts").properties().forEach(
                    each -> wanted.put(each.getKey(), NewPartitions.increaseTo(each.getValue().asInt())));
            return Admins.outcomes(admins.get(a).createPartitions(wanted).values());
        });
        operations.put("admin.list_offsets", this::listOffsets);
        operations.put("admin.delete_records", a -> {
            Map<TopicPartition, RecordsToDelete> wanted = new LinkedHashMap<>();
            a.get("before").forEach(each -> wanted.put(
                    Values.partition(each), RecordsToDelete.beforeOffset(each.get(2).asLong())));
            Map<String, Object> answer = new LinkedHashMap<>();
            for (var each : admins.get(a).deleteRecords(wanted).lowWatermarks().entrySet()) {
                answer.put(Values.key(each.getKey()), each.getValue().get().lowWatermark());
            }
            return answer;
        });
    }

    private Object createTopics(JsonNode a) throws Exception {
        List<NewTopic> topics = new ArrayList<>();
        for (JsonNode node : a.get("topics")) {
            NewTopic topic;
            if (node.hasNonNull("assignment")) {
                Map<Integer, List<Integer>> assignment = new LinkedHashMap<>();
                node.get("assignment").properties().forEach(each -> {
                    List<Integer> replicas = new ArrayList<>();
                    each.getValue().forEach(r -> replicas.add(r.asInt()));
                    assignment.put(Integer.parseInt(each.getKey()), replicas);
                });
                topic = new NewTopic(node.get("name").asText(), assignment);
            } else {
                Optional<Integer> partitions = node.hasNonNull("partitions")
                        ? Optional.of(node.get("partitions").asInt()) : Optional.empty();
                Optional<Short> replication = node.hasNonNull("replication")
                        ? Optional.of((short) node.get("replication").asInt()) : Optional.empty();
                topic = new NewTopic(node.get("name").asText(), partitions, replication);
            }
            topics.add(topic.configs(Values.stringMap(node.get("configs"))));
        }
        boolean validate = a.hasNonNull("validate_only") && a.get("validate_only").asBoolean();
        var result = admins.get(a).createTopics(topics, new CreateTopicsOptions().validateOnly(validate));
        Map<String, Object> answer = Admins.outcomes(result.values());
        for (String name : new ArrayList<>(answer.keySet())) {
            if (answer.get(name) == null && !validate) {
                answer.put(name, Map.of(
                        "partitions", result.numPartitions(name).get(),
                        "replication", result.replicationFactor(name).get(),
                        "has_id", !result.topicId(name).get().equals(org.apache.kafka.common.Uuid.ZERO_UUID),
                        "retention.ms", result.config(name).get().get("retention.ms").value()));
            }
        }
        return answer;
    }

    private Object describeTopics(JsonNode a) throws Exception {
        Map<String, Object> answer = new LinkedHashMap<>();
        var futures = admins.get(a).describeTopics(Values.strings(a.get("topics"))).topicNameValues();
        for (var each : futures.entrySet()) {
            try {
                TopicDescription topic = each.getValue().get();
                List<Object> partitions = new ArrayList<>();
                for (TopicPartitionInfo info : topic.partitions()) {
                    Map<String, Object> one = new LinkedHashMap<>();
                    one.put("partition", info.partition());
                    one.put("leader", info.leader() == null ? null : info.leader().id());
                    one.put("replicas", info.replicas().stream().map(Node::id).collect(Collectors.toList()));
                    one.put("isr", info.isr().stream().map(Node::id).collect(Collectors.toList()));
                    partitions.add(one);
                }
                Map<String, Object> one = new LinkedHashMap<>();
                one.put("internal", topic.isInternal());
                one.put("has_id", !topic.topicId().equals(org.apache.kafka.common.Uuid.ZERO_UUID));
                one.put("partitions", partitions);
                answer.put(each.getKey(), one);
            } catch (Exception e) {
                answer.put(each.getKey(), Map.of("error", Driver.describe(e)));
            }
        }
        return answer;
    }

    private Object listOffsets(JsonNode a) throws Exception {
        Map<TopicPartition, OffsetSpec> wanted = new LinkedHashMap<>();
        a.get("specs").forEach(each -> {
            JsonNode spec = each.get(2);
            OffsetSpec of = spec.isNumber()
                    ? OffsetSpec.forTimestamp(spec.asLong())
                    : switch (spec.asText()) {
                        case "earliest" -> OffsetSpec.earliest();
                        case "latest" -> OffsetSpec.latest();
                        case "max_timestamp" -> OffsetSpec.maxTimestamp();
                        case "earliest_local" -> OffsetSpec.earliestLocal();
                        case "latest_tiered" -> OffsetSpec.latestTiered();
                        default -> throw new IllegalArgumentException(spec.asText());
                    };
            wanted.put(Values.partition(each), of);
        });
        Map<String, Object> answer = new LinkedHashMap<>();
        ListOffsetsResult result = admins.get(a).listOffsets(wanted);
        for (TopicPartition partition : wanted.keySet()) {
            try {
                var info = result.partitionResult(partition).get();
                Map<String, Object> one = new LinkedHashMap<>();
                one.put("offset", info.offset());
                one.put("timestamp", info.timestamp());
                one.put("leader_epoch", info.leaderEpoch().orElse(null));
                answer.put(Values.key(partition), one);
            } catch (Exception e) {
                answer.put(Values.key(partition), Map.of("error", Driver.describe(e)));
            }
        }
        return answer;
    }
}
