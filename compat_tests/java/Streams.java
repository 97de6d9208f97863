package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.time.Duration;
import java.util.Arrays;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * streams.*: a word count from topic "input" to topic "output" (word, count as text).
 *
 * <p>With "fail_on" the thread that comes to that word dies the first time, with a part of the line already sent on;
 * another takes its place.
 */
final class Streams {
    private final Map<String, KafkaStreams> running = new ConcurrentHashMap<>();

    void register(Map<String, Driver.Operation> operations) {
        operations.put("streams.start", this::start);
        operations.put("streams.state", a -> running.get(a.get("lane").asText()).state().toString());
        operations.put("streams.close", a -> {
            KafkaStreams streams = running.remove(a.get("lane").asText());
            if (streams == null) {
                return true;
            }
            boolean closed = streams.close(CloseOptions.timeout(Duration.ofSeconds(20))
                    .withGroupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP));
            streams.cleanUp();
            return closed;
        });
    }

    private Object start(JsonNode a) throws Exception {
        Properties config = new Properties();
        config.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.StringSerde.class);
        config.putAll(Values.properties(a.get("config")));
        StreamsBuilder builder = new StreamsBuilder();
        String failOn = a.path("fail_on").asText("");
        AtomicBoolean failed = new AtomicBoolean(failOn.isEmpty());
        builder.<String, String>stream(a.get("input").asText())
                .flatMapValues(line -> Arrays.asList(line.toLowerCase().split("\\s+")))
                .peek((key, word) -> {
                    if (word.equals(failOn) && failed.compareAndSet(false, true)) {
                        throw new IllegalStateException("a failure on purpose");
                    }
                })
                .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
                .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts"))
                .toStream()
                .mapValues(count -> Long.toString(count))
                .to(a.get("output").asText(), Produced.with(Serdes.String(), Serdes.String()));
        KafkaStreams streams = new KafkaStreams(builder.build(), config);
        if (!failOn.isEmpty()) {
            streams.setUncaughtExceptionHandler(
                    error -> StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.REPLACE_THREAD);
        }
        running.put(a.get("lane").asText(), streams);
        streams.start();
        long end = System.nanoTime() + 30_000_000_000L;
        while (streams.state() != KafkaStreams.State.RUNNING && System.nanoTime() < end) {
            Thread.sleep(20);
        }
        return streams.state().toString();
    }
}
