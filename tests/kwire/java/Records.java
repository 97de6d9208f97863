// Kafka's own record classes and partition log, one line of JSON in, one out.
//
// {"op": "build", "magic", "codec", "level"?, "appendTime"?, "baseOffset", "producerId"?, "epoch"?, "sequence"?,
//  "transactional"?, "leaderEpoch"?, "marker"?: {"type", "coordinatorEpoch", "timestamp"},
//  "records": [{"offset", "timestamp", "key", "value", "headers": [[name, value]]}]}   -> {"bytes"}
// {"op": "read", "bytes"}                  -> {"batches": [{header fields, "records"}]} or {"error"}
// {"op": "log", "config": {}, "now"}       -> {}: a new log; `append` goes to the last one
// {"op": "append", "bytes", "origin", "now", "leaderEpoch"}
//     -> {"firstOffset", "lastOffset", "logAppendTime", "maxTimestamp", "stored": base64 of what was written}
//     or {"code", "message", "recordErrors": [[index, message]]}
// {"op": "producers"}                      -> {"producers": [...], "firstUnstable", "snapshot": base64}
//
// Byte fields are base64 or null.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Base64;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ScheduledFuture;
import java.util.function.Supplier;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.requests.ProduceResponse;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.server.common.RequestLocal;
import org.apache.kafka.server.util.Scheduler;
import org.apache.kafka.storage.internals.log.AppendOrigin;
import org.apache.kafka.storage.internals.log.LogAppendInfo;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogSegment;
import org.apache.kafka.storage.internals.log.ProducerStateEntry;
import org.apache.kafka.storage.internals.log.ProducerStateManager;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.RecordValidationException;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.log.VerificationGuard;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

public class Records {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final BrokerTopicStats STATS = new BrokerTopicStats();
    private static long now;
    private static UnifiedLog log;
    private static File root;
    private static int logs;

    private static final Time TIME = new Time() {
        public long milliseconds() {
            return now;
        }

        public long nanoseconds() {
            return now * 1_000_000;
        }

        public void sleep(long ms) {
            now += ms;
        }

        public void waitObject(Object object, Supplier<Boolean> condition, long deadline) {
            throw new UnsupportedOperationException();
        }
    };

    private static final Scheduler SCHEDULER = new Scheduler() {
        public void startup() { }

        public void shutdown() { }

        public ScheduledFuture<?> schedule(String name, Runnable task, long delay, long period) {
            return null;
        }

        public void resizeThreadPool(int size) { }
    };

    public static void main(String[] args) throws Exception {
        root = Files.createTempDirectory("kwire-records").toFile();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        String line;
        while ((line = in.readLine()) != null) {
            out.println(answer(MAPPER.readTree(line)));
            out.flush();
        }
        Utils.delete(root);
    }

    private static ObjectNode answer(JsonNode given) {
        try {
            switch (given.get("op").asText()) {
                case "build":
                    return MAPPER.createObjectNode().put("bytes", build(given));
                case "read":
                    return read(bytes(given.get("bytes")));
                case "log":
                    return open(given);
                case "append":
                    return append(given);
                case "producers":
                    return producers();
                default:
                    throw new IllegalArgumentException(given.toString());
            }
        } catch (Throwable error) {
            return MAPPER.createObjectNode().put("error", error.toString());
        }
    }

    private static byte[] bytes(JsonNode node) {
        return node == null || node.isNull() ? null : Base64.getDecoder().decode(node.asText());
    }

    private static ByteBuffer buffer(JsonNode node) {
        byte[] found = bytes(node);
        return found == null ? null : ByteBuffer.wrap(found);
    }

    private static String text(ByteBuffer buffer) {
        return buffer == null ? null : Base64.getEncoder().encodeToString(Utils.toArray(buffer.duplicate()));
    }

    private static byte[] build(JsonNode given) {
        CompressionType type = CompressionType.forId(given.get("codec").asInt());
        Compression compression = Compression.of(type).build();
        if (given.has("level") && type == CompressionType.LZ4) {
            compression = Compression.lz4().level(given.get("level").asInt()).build();
        }
        boolean appendTime = given.has("appendTime");
        boolean control = given.has("marker");
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(
            new ByteBufferOutputStream(1 << 16), (byte) given.get("magic").asInt(), compression,
            appendTime ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME,
            given.get("baseOffset").asLong(), appendTime ? given.get("appendTime").asLong() : -1L,
            given.path("producerId").asLong(-1), (short) given.path("epoch").asInt(-1),
            given.path("sequence").asInt(-1), given.path("transactional").asBoolean(false) || control, control,
            given.path("leaderEpoch").asInt(-1), 1 << 26);
        if (control) {
            JsonNode marker = given.get("marker");
            builder.appendEndTxnMarker(marker.get("timestamp").asLong(), new EndTransactionMarker(
                ControlRecordType.valueOf(marker.get("type").asText()), marker.get("coordinatorEpoch").asInt()));
        }
        for (JsonNode record : given.path("records")) {
            ArrayNode found = (ArrayNode) record.path("headers");
            Header[] headers = new Header[found.size()];
            for (int i = 0; i < headers.length; i++) {
                headers[i] = new RecordHeader(found.get(i).get(0).asText(), bytes(found.get(i).get(1)));
            }
            builder.appendWithOffset(record.get("offset").asLong(), record.get("timestamp").asLong(),
                buffer(record.get("key")), buffer(record.get("value")), headers);
        }
        return Utils.toArray(builder.build().buffer());
    }

    private static ObjectNode read(byte[] data) {
        ObjectNode answer = MAPPER.createObjectNode();
        ArrayNode batches = answer.putArray("batches");
        for (MutableRecordBatch batch : MemoryRecords.readableRecords(ByteBuffer.wrap(data)).batches()) {
            batch.ensureValid();
            ObjectNode found = batches.addObject();
            found.put("magic", batch.magic()).put("codec", batch.compressionType().id)
                .put("baseOffset", batch.baseOffset()).put("lastOffset", batch.lastOffset())
                .put("maxTimestamp", batch.maxTimestamp()).put("producerId", batch.producerId())
                .put("epoch", batch.producerEpoch()).put("baseSequence", batch.baseSequence())
                .put("lastSequence", batch.lastSequence()).put("transactional", batch.isTransactional())
                .put("control", batch.isControlBatch()).put("leaderEpoch", batch.partitionLeaderEpoch())
                .put("appendTime", batch.timestampType() == TimestampType.LOG_APPEND_TIME)
                .put("size", batch.sizeInBytes());
            ArrayNode records = found.putArray("records");
            for (Record record : batch) {
                record.ensureValid();
                ObjectNode one = records.addObject();
                one.put("offset", record.offset()).put("timestamp", record.timestamp())
                    .put("key", text(record.key())).put("value", text(record.value()));
                ArrayNode headers = one.putArray("headers");
                for (Header header : record.headers()) {
                    headers.addArray().add(header.key())
                        .add(header.value() == null ? null : Base64.getEncoder().encodeToString(header.value()));
                }
            }
        }
        return answer;
    }

    private static ObjectNode open(JsonNode given) throws Exception {
        now = given.get("now").asLong();
        Map<String, String> config = new HashMap<>();
        given.get("config").fields().forEachRemaining(entry -> config.put(entry.getKey(), entry.getValue().asText()));
        File directory = new File(root, logs++ + "/topic-0");
        Files.createDirectories(directory.toPath());
        log = UnifiedLog.create(directory, new LogConfig(config), 0L, 0L, SCHEDULER, STATS, TIME, 900_000,
            new ProducerStateManagerConfig(86_400_000, false), 600_000, new LogDirFailureChannel(1), true, Optional.empty());
        return MAPPER.createObjectNode();
    }

    private static ObjectNode append(JsonNode given) throws Exception {
        now = given.get("now").asLong();
        ObjectNode answer = MAPPER.createObjectNode();
        LogSegment segment = log.activeSegment();
        int size = segment.size();
        try {
            LogAppendInfo info = log.appendAsLeader(
                MemoryRecords.readableRecords(ByteBuffer.wrap(bytes(given.get("bytes")))),
                given.get("leaderEpoch").asInt(), AppendOrigin.valueOf(given.get("origin").asText()),
                RequestLocal.noCaching(), VerificationGuard.SENTINEL, (short) 0);
            answer.put("firstOffset", info.firstOffset()).put("lastOffset", info.lastOffset())
                .put("logAppendTime", info.logAppendTime()).put("maxTimestamp", info.maxTimestamp());
            LogSegment last = log.activeSegment();
            byte[] all = Files.readAllBytes(last.log().file().toPath());
            int from = last == segment ? size : 0;
            answer.put("stored", Base64.getEncoder().encodeToString(Arrays.copyOfRange(all, from, last.size())));
        } catch (RecordValidationException error) {
            answer.put("code", Errors.forException(error.invalidException()).code())
                .put("message", error.invalidException().getMessage());
            ArrayNode errors = answer.putArray("recordErrors");
            for (ProduceResponse.RecordError one : error.recordErrors()) {
                errors.addArray().add(one.batchIndex).add(one.message);
            }
        } catch (Throwable error) {
            answer.put("code", Errors.forException(error).code()).put("message", error.toString());
            answer.putArray("recordErrors");
        }
        return answer;
    }

    private static ObjectNode producers() throws Exception {
        ObjectNode answer = MAPPER.createObjectNode();
        ArrayNode found = answer.putArray("producers");
        ProducerStateManager manager = log.producerStateManager();
        manager.activeProducers().values().stream().sorted(Comparator.comparing(ProducerStateEntry::producerId)).forEach(entry ->
            found.addObject().put("producerId", entry.producerId()).put("epoch", entry.producerEpoch())
                .put("coordinatorEpoch", entry.coordinatorEpoch()).put("lastTimestamp", entry.lastTimestamp())
                .put("txnFirstOffset", entry.currentTxnFirstOffset().orElse(-1L))
                .put("batches", entry.batchMetadata().stream().map(Object::toString).reduce("", String::concat)));
        answer.put("firstUnstable", manager.firstUnstableOffset().map(found_ -> found_.messageOffset).orElse(-1L));
        File file = new File(root, "state.snapshot");
        ProducerStateManager.writeSnapshot(file, manager.activeProducers(), false);
        answer.put("snapshot", Base64.getEncoder().encodeToString(Files.readAllBytes(file.toPath())));
        Files.delete(file.toPath());
        return answer;
    }
}
