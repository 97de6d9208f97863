package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.CloseOptions;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** consumer.*: each consumer lives in the lane of its name. */
final class Consumers {
    private static final class Member {
        final KafkaConsumer<byte[], byte[]> consumer;
        final List<Object> events = new ArrayList<>();
        volatile boolean stop;
        volatile int assigned;

        Member(KafkaConsumer<byte[], byte[]> consumer) {
            this.consumer = consumer;
        }
    }

    private final Map<String, Member> members = new ConcurrentHashMap<>();

    private Member member(JsonNode a) {
        return members.get(a.get("lane").asText());
    }

    private KafkaConsumer<byte[], byte[]> get(JsonNode a) {
        return member(a).consumer;
    }

    private static ConsumerRebalanceListener listener(Member member) {
        return new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                member.events.add(List.of("revoked", Values.json(partitions)));
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                member.events.add(List.of("assigned", Values.json(partitions)));
            }

            @Override
            public void onPartitionsLost(Collection<TopicPartition> partitions) {
                member.events.add(List.of("lost", Values.json(partitions)));
            }
        };
    }

    void register(Map<String, Driver.Operation> operations) {
        operations.put("consumer.new", a -> {
            members.put(
                    a.get("lane").asText(),
                    new Member(new KafkaConsumer<>(
                            Values.properties(a.get("config")),
                            new ByteArrayDeserializer(),
                            new ByteArrayDeserializer())));
            return null;
        });
        operations.put("consumer.subscribe", a -> {
            Member m = member(a);
            if (a.hasNonNull("pattern")) {
                m.consumer.subscribe(Pattern.compile(a.get("pattern").asText()), listener(m));
            } else {
                m.consumer.subscribe(Values.strings(a.get("topics")), listener(m));
            }
            return null;
        });
        operations.put("consumer.unsubscribe", a -> {
            get(a).unsubscribe();
            return null;
        });
        operations.put("consumer.assign", a -> {
            get(a).assign(Values.partitions(a.get("partitions")));
            return null;
        });
        operations.put("consumer.poll", this::poll);
        operations.put("consumer.poll_until_stopped", this::pollUntilStopped);
        operations.put("consumer.stop_polling", a -> {
            members.get(a.get("name").asText()).stop = true;
            return null;
        });
        operations.put("consumer.assigned_now", a -> members.get(a.get("name").asText()).assigned);
        operations.put("consumer.wakeup", a -> {
            members.get(a.get("name").asText()).consumer.wakeup();
            return null;
        });
        operations.put("consumer.events", a -> {
            List<Object> taken = new ArrayList<>(member(a).events);
            member(a).events.clear();
            return taken;
        });
        operations.put("consumer.assignment", a -> Values.json(get(a).assignment()));
        operations.put("consumer.seek", a -> {
            get(a).seek(Values.partition(a.get("partition")), a.get("offset").asLong());
            return null;
        });
        operations.put("consumer.seek_to_beginning", a -> {
            get(a).seekToBeginning(Values.partitions(a.get("partitions")));
            return null;
        });
        operations.put("consumer.seek_to_end", a -> {
            get(a).seekToEnd(Values.partitions(a.get("partitions")));
            return null;
        });
        operations.put("consumer.position", a -> get(a).position(Values.partition(a.get("partition"))));
        operations.put("consumer.lag", a -> {
            var lag = get(a).currentLag(Values.partition(a.get("partition")));
            return lag.isPresent() ? lag.getAsLong() : null;
        });
        operations.put("consumer.pause", a -> {
            get(a).pause(Values.partitions(a.get("partitions")));
            return null;
        });
        operations.put("consumer.resume", a -> {
            get(a).resume(Values.partitions(a.get("partitions")));
            return null;
        });
        operations.put("consumer.commit", this::commit);
        operations.put("consumer.committed", a -> {
            Set<TopicPartition> wanted = Values.partitions(a.get("partitions"));
            Map<String, Object> answer = new LinkedHashMap<>();
            for (Map.Entry<TopicPartition, OffsetAndMetadata> each : get(a).committed(wanted).entrySet()) {
                answer.put(Values.key(each.getKey()), Values.offset(each.getValue()));
            }
            return answer;
        });
        operations.put("consumer.offsets_for_times", this::offsetsForTimes);
        operations.put("consumer.beginning_offsets", a -> byKey(get(a).beginningOffsets(Values.partitions(a.get("partitions")))));
        operations.put("consumer.end_offsets", a -> byKey(get(a).endOffsets(Values.partitions(a.get("partitions")))));
        operations.put("consumer.topics", a -> new ArrayList<>(get(a).listTopics().keySet()));
        operations.put("consumer.group_metadata", a -> {
            var metadata = get(a).groupMetadata();
            Map<String, Object> answer = new LinkedHashMap<>();
            answer.put("group_id", metadata.groupId());
            answer.put("generation", metadata.generationId());
            answer.put("member_id", metadata.memberId());
            answer.put("instance_id", metadata.groupInstanceId().orElse(null));
            return answer;
        });
        operations.put("consumer.enforce_rebalance", a -> {
            get(a).enforceRebalance();
            return null;
        });
        operations.put("consumer.close", a -> {
            Member m = members.remove(a.get("lane").asText());
            if (m != null) {
                m.consumer.close(CloseOptions.timeout(Duration.ofSeconds(5)));
            }
            return null;
        });
    }

    private static Map<String, Object> byKey(Map<TopicPartition, Long> offsets) {
        Map<String, Object> answer = new LinkedHashMap<>();
        offsets.forEach((partition, offset) -> answer.put(Values.key(partition), offset));
        return answer;
    }

    private static Map<String, Object> json(ConsumerRecord<byte[], byte[]> record) {
        Map<String, Object> map = new HashMap<>();
        map.put("topic", record.topic());
        map.put("partition", record.partition());
        map.put("offset", record.offset());
        map.put("timestamp", record.timestamp());
        map.put("timestamp_type", record.timestampType().name);
        map.put("leader_epoch", record.leaderEpoch().orElse(null));
        map.put("key", Values.text(record.key()));
        map.put("value", Values.text(record.value()));
        List<Object> headers = new ArrayList<>();
        record.headers().forEach(h -> {
            List<Object> pair = new ArrayList<>();
            pair.add(h.key());
            pair.add(Values.text(h.value()));
            headers.add(pair);
        });
        map.put("headers", headers);
        return map;
    }

    /** Until "count" records are there or "timeout_ms" passed; "assigned": until partitions are assigned. */
    private Object poll(JsonNode a) {
        int count = Values.integer(a, "count", 1);
        boolean untilAssigned = a.hasNonNull("assigned");
        int assigned = Values.integer(a, "assigned", 0);
        long end = System.nanoTime() + Values.integer(a, "timeout_ms", 10000) * 1_000_000L;
        List<Object> records = new ArrayList<>();
        while (untilAssigned ? get(a).assignment().size() != assigned : records.size() < count) {
            long left = (end - System.nanoTime()) / 1_000_000L;
            if (left <= 0) {
                break;
            }
            get(a).poll(Duration.ofMillis(Math.min(left, 200))).forEach(r -> records.add(json(r)));
        }
        return records;
    }

    /** Polls until consumer.stop_polling; the values seen, in order. consumer.assigned_now tells how far it is. */
    private Object pollUntilStopped(JsonNode a) {
        Member m = member(a);
        m.assigned = 0;
        List<String> values = new ArrayList<>();
        while (!m.stop) {
            m.consumer.poll(Duration.ofMillis(50)).forEach(r -> values.add(Values.text(r.value()).trim()));
            m.assigned = m.consumer.assignment().size();
        }
        m.stop = false;
        return values;
    }

    private Object commit(JsonNode a) throws Exception {
        boolean async = a.hasNonNull("async") && a.get("async").asBoolean();
        if (!async) {
            if (a.hasNonNull("offsets")) {
                get(a).commitSync(Values.offsets(a.get("offsets")));
            } else {
                get(a).commitSync();
            }
            return null;
        }
        CompletableFuture<Object> done = new CompletableFuture<>();
        get(a).commitAsync(Values.offsets(a.get("offsets")), (offsets, error) -> {
            if (error == null) {
                done.complete(offsets.size());
            } else {
                done.completeExceptionally(error);
            }
        });
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!done.isDone() && System.nanoTime() < end) {
            get(a).poll(Duration.ofMillis(20));
        }
        return done.get(1, TimeUnit.SECONDS);
    }

    private Object offsetsForTimes(JsonNode a) {
        Map<TopicPartition, Long> wanted = new LinkedHashMap<>();
        a.get("times").forEach(each -> wanted.put(Values.partition(each), each.get(2).asLong()));
        Map<String, Object> answer = new LinkedHashMap<>();
        for (Map.Entry<TopicPartition, OffsetAndTimestamp> each : get(a).offsetsForTimes(wanted).entrySet()) {
            OffsetAndTimestamp found = each.getValue();
            answer.put(
                    Values.key(each.getKey()), found == null ? null : List.of(found.offset(), found.timestamp()));
        }
        return answer;
    }
}
