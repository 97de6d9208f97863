import java.io.File;
import java.util.Optional;
import java.util.Properties;
import java.util.function.Supplier;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.RecordBatch;
import org.apache.kafka.common.record.internal.SimpleRecord;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.server.storage.log.FetchIsolation;
import org.apache.kafka.server.util.KafkaScheduler;
import org.apache.kafka.storage.internals.log.LogConfig;
import org.apache.kafka.storage.internals.log.LogDirFailureChannel;
import org.apache.kafka.storage.internals.log.ProducerStateManagerConfig;
import org.apache.kafka.storage.internals.log.UnifiedLog;
import org.apache.kafka.storage.log.metrics.BrokerTopicStats;

/**
 * Opens a partition's directory with Kafka's own log, says what it finds, appends to it, and closes it.
 * Arguments: directory, clean|unclean, recovery point, log start, number of batches to append, then timestamps to look up.
 */
public class OpenPartition {
    private static final Time CLOCK = new Time() {
        public long milliseconds() {
            return 1_700_000_000_000L;
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
        Properties config = new Properties();
        config.put("internal.segment.bytes", "20000");
        config.put("index.interval.bytes", "512");
        config.put("segment.index.bytes", "1200");
        config.put("retention.ms", "-1");
        KafkaScheduler scheduler = new KafkaScheduler(1);
        scheduler.startup();
        UnifiedLog log = UnifiedLog.create(new File(args[0]), new LogConfig(config), Long.parseLong(args[3]),
            Long.parseLong(args[2]), scheduler, new BrokerTopicStats(), CLOCK, 900_000,
            new ProducerStateManagerConfig(Integer.MAX_VALUE, false), 600_000, new LogDirFailureChannel(1),
            args[1].equals("clean"), Optional.empty());
        log.updateHighWatermark(log.logEndOffset());
        System.out.printf("log %d %d %d %d %d%n", log.logStartOffset(), log.lastStableOffset(), log.logEndOffset(),
            log.recoveryPoint(), log.numberOfSegments());
        log.leaderEpochCache().epochEntries().forEach(e -> System.out.printf("epoch %d %d%n", e.epoch(), e.startOffset()));
        log.activeProducers().forEach(p -> System.out.printf("producer %d %d %d %d %d%n", p.producerId(),
            p.producerEpoch(), p.lastSequence(), p.currentTxnStartOffset(), p.coordinatorEpoch()));
        log.collectAbortedTransactions(log.logStartOffset(), log.logEndOffset()).forEach(t -> System.out.printf(
            "aborted %d %d %d %d%n", t.producerId(), t.firstOffset(), t.lastOffset(), t.lastStableOffset()));
        for (long offset = log.logStartOffset(); offset < log.logEndOffset(); ) {
            var records = log.read(offset, 1, FetchIsolation.LOG_END, true).records;
            RecordBatch batch = records.batches().iterator().next();
            System.out.printf("batch %d %d %d%n", batch.baseOffset(), batch.lastOffset(), batch.sizeInBytes());
            offset = batch.nextOffset();
        }
        for (int i = 5; i < args.length; i++) {
            var found = log.fetchOffsetByTimestamp(Long.parseLong(args[i]), Optional.empty()).timestampAndOffsetOpt();
            System.out.printf("time %s %s%n", args[i],
                found.map(t -> t.timestamp + " " + t.offset + " " + t.leaderEpoch.orElse(-1)).orElse("none"));
        }
        for (int i = 0; i < Integer.parseInt(args[4]); i++) {
            SimpleRecord record = new SimpleRecord(1_700_000_000_000L + i, "key".getBytes(), ("kafka-" + i).getBytes());
            log.appendAsLeader(MemoryRecords.withRecords(Compression.lz4().build(), record, record), 9);
        }
        log.updateHighWatermark(log.logEndOffset());
        log.flush(true);
        log.close();
        scheduler.shutdown();
    }
}
