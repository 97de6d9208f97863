// Kafka's own cleaner: one line of JSON in, one out.
//
// {"dir", "now", "checkpoint", "mapBytes", "loadFactor", "ioBuffer", "config": {}}: the partition in the directory is
//     opened as after a clean stop, cleaned once from the checkpoint (-1: none) on, and closed
//     -> {"firstDirty", "firstUncleanable", "cleanableBytes", "cleanBytes", "delay", "endOffset"}; without "endOffset"
//     where there is nothing to clean

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.lang.reflect.Method;
import java.util.Optional;
import java.util.Properties;
import java.util.function.Supplier;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.Cleaner;
import org.apache.kafka.storage.internals.log.LogCleanerManager;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.LogToClean;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.SkimpyOffsetMap;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.internals.utils.Throttler;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

public class Clean {
    private static long now;

    private static final Time CLOCK = new Time() {
        public long milliseconds() {
            return now;
        }

        public long nanoseconds() {
            return Time.SYSTEM.nanoseconds();
        }

        public void sleep(long ms) {
            Time.SYSTEM.sleep(ms);
        }

        public void waitObject(Object object, Supplier<Boolean> condition, long deadlineMs) throws InterruptedException {
            Time.SYSTEM.waitObject(object, condition, deadlineMs);
        }
    };

    public static void main(String[] args) throws Exception {
        ObjectMapper mapper = new ObjectMapper();
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        BrokerTopicStats stats = new BrokerTopicStats();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null; ) {
            ObjectNode answer = mapper.createObjectNode();
            try {
                clean(mapper.readTree(line), answer, scheduler, stats);
            } catch (Exception error) {
                answer.put("error", error + " " + java.util.Arrays.toString(error.getStackTrace()));
            }
            System.out.println(answer);
        }
        scheduler.shutdown();
    }

    private static void clean(JsonNode question, ObjectNode answer, KafkaScheduler scheduler, BrokerTopicStats stats)
            throws Exception {
        now = question.get("now").asLong();
        Properties config = new Properties();
        question.get("config").fields().forEachRemaining(e -> config.put(e.getKey(), e.getValue().asText()));
        UnifiedLog log = UnifiedLog.create(new File(question.get("dir").asText()), new LogConfig(config), 0L, 0L,
            scheduler, stats, CLOCK, Integer.MAX_VALUE, new ProducerStateManagerConfig(Integer.MAX_VALUE, false),
            Integer.MAX_VALUE, new LogDirFailureChannel(1), true, Optional.empty());
        try {
            log.updateHighWatermark(log.logEndOffset());
            long checkpoint = question.get("checkpoint").asLong();
            Object offsets = call("cleanableOffsets", new Class<?>[] {UnifiedLog.class, Optional.class, long.class},
                log, checkpoint < 0 ? Optional.empty() : Optional.of(checkpoint), now);
            long firstDirty = number(offsets, "firstDirtyOffset");
            long delay = (long) call("maxCompactionDelay", new Class<?>[] {UnifiedLog.class, long.class, long.class},
                log, firstDirty, now);
            LogToClean toClean = new LogToClean(log, firstDirty, number(offsets, "firstUncleanableDirtyOffset"), delay > 0);
            answer.put("firstDirty", toClean.firstDirtyOffset()).put("firstUncleanable", toClean.firstUncleanableOffset())
                .put("cleanableBytes", toClean.cleanableBytes()).put("cleanBytes", toClean.cleanBytes())
                .put("delay", delay);
            if (toClean.firstDirtyOffset() < toClean.firstUncleanableOffset()) {
                Cleaner cleaner = new Cleaner(0, new SkimpyOffsetMap(question.get("mapBytes").asInt()),
                    question.get("ioBuffer").asInt(), 1 << 20, question.get("loadFactor").asDouble(),
                    new Throttler(Double.MAX_VALUE, 1_000_000, "throttler", "bytes", CLOCK), CLOCK, partition -> { });
                answer.put("endOffset", cleaner.doClean(toClean, now).getKey());
            }
        } finally {
            log.close();
        }
    }

    private static Object call(String name, Class<?>[] types, Object... values) throws Exception {
        Method method = LogCleanerManager.class.getDeclaredMethod(name, types);
        method.setAccessible(true);
        return method.invoke(null, values);
    }

    private static long number(Object from, String name) throws Exception {
        Method method = from.getClass().getDeclaredMethod(name);
        method.setAccessible(true);
        return (long) method.invoke(from);
    }
}
