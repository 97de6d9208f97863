import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.functions.RichMapFunction;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.CheckpointListener;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.connector.source.util.ratelimit.RateLimiterStrategy;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.datagen.source.DataGeneratorSource;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.sink.TransactionNamingStrategy;
import org.apache.flink.streaming.api.CheckpointingMode;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * A Flink job that writes the numbers 0 to COUNT - 1 exactly once, and whose pipeline fails once on the way, after a
 * checkpoint: {@code FlinkSink BOOTSTRAP TOPIC COUNT INCREMENTING|POOLING}. Ends when the last transaction is committed.
 */
public final class FlinkSink {
    private static final AtomicBoolean FAILED = new AtomicBoolean();

    /** Passes everything on, and throws once, when a checkpoint is complete and more was written since. */
    static final class FailOnce extends RichMapFunction<Long, String> implements CheckpointListener {
        private transient long sinceCheckpoint;
        private transient boolean checkpointed;

        @Override
        public void open(OpenContext context) {
            sinceCheckpoint = 0;
            checkpointed = false;
        }

        @Override
        public String map(Long number) {
            if (checkpointed && ++sinceCheckpoint > 20 && FAILED.compareAndSet(false, true)) {
                System.out.println("failing at " + number);
                throw new IllegalStateException("a failure on purpose");
            }
            return Long.toString(number);
        }

        @Override
        public void notifyCheckpointComplete(long checkpointId) {
            checkpointed = true;
        }
    }

    public static void main(String[] given) throws Exception {
        long count = Long.parseLong(given[2]);
        Configuration settings = new Configuration();
        settings.setString("restart-strategy.type", "fixed-delay");
        settings.setString("restart-strategy.fixed-delay.attempts", "3");
        settings.setString("restart-strategy.fixed-delay.delay", "100 ms");
        settings.setString("rest.bind-port", "0");
        StreamExecutionEnvironment flink = StreamExecutionEnvironment.createLocalEnvironment(1, settings);
        flink.enableCheckpointing(300, CheckpointingMode.EXACTLY_ONCE);
        var numbers = new DataGeneratorSource<Long>(
                index -> index, count, RateLimiterStrategy.perSecond(count / 3.0), Types.LONG);
        var sink = KafkaSink.<String>builder()
                .setBootstrapServers(given[0])
                .setRecordSerializer(KafkaRecordSerializationSchema.builder()
                        .setTopic(given[1])
                        .setValueSerializationSchema(new SimpleStringSchema())
                        .build())
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix("flink-" + given[1])
                .setTransactionNamingStrategy(TransactionNamingStrategy.valueOf(given[3]))
                .setProperty("transaction.timeout.ms", "60000")
                .build();
        flink.fromSource(numbers, WatermarkStrategy.noWatermarks(), "numbers")
                .map(new FailOnce())
                .sinkTo(sink);
        flink.execute("exactly once");
        System.out.println("done, failed once: " + FAILED.get());
    }
}
