package compat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.apache.kafka.common.errors.RetriableException;

/**
 * Kafka's Java clients and tools behind a pipe: one JSON object a line comes in, one goes out.
 *
 * <p>In: {"id": 1, "op": "consumer.poll", "lane": "c1", ...}. Out: {"id": 1, "result": ...} or {"id": 1, "error":
 * {"class", "message", "retriable"}}. Operations of one lane run in order; lanes run beside each other.
 */
public final class Driver {
    interface Operation {
        Object run(JsonNode arguments) throws Exception;
    }

    static final ObjectMapper JSON = new ObjectMapper();

    private final Map<String, Operation> operations = new HashMap<>();
    private final Map<String, ExecutorService> lanes = new ConcurrentHashMap<>();
    private final ExecutorService anyLane = Executors.newCachedThreadPool(Driver::daemon);
    private final PrintStream out = System.out;

    private static Thread daemon(Runnable work) {
        Thread thread = new Thread(work);
        thread.setDaemon(true);
        return thread;
    }

    private void answer(JsonNode id, String key, Object value) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("id", id);
        line.put(key, value);
        String text;
        try {
            text = JSON.writeValueAsString(line);
        } catch (Exception e) {
            text = "{\"id\": " + id + ", \"error\": {\"class\": \"Driver\", \"message\": \"answer is no JSON\"}}";
        }
        synchronized (out) {
            out.println(text);
            out.flush();
        }
    }

    private void run(JsonNode command) {
        try {
            Operation operation = operations.get(command.get("op").asText());
            if (operation == null) {
                throw new IllegalArgumentException("no operation " + command.get("op"));
            }
            answer(command.get("id"), "result", operation.run(command));
        } catch (Throwable thrown) {
            answer(command.get("id"), "error", describe(thrown));
        }
    }

    /** The cause behind wrappers of futures, as class name, message and whether clients retry it. */
    static Map<String, Object> describe(Throwable thrown) {
        while ((thrown instanceof ExecutionException || thrown instanceof CompletionException)
                && thrown.getCause() != null) {
            thrown = thrown.getCause();
        }
        Map<String, Object> error = new LinkedHashMap<>();
        error.put("class", thrown.getClass().getSimpleName());
        error.put("message", String.valueOf(thrown.getMessage()));
        error.put("retriable", thrown instanceof RetriableException);
        if (thrown.getCause() != null) {
            error.put("cause", describe(thrown.getCause()));
        }
        return error;
    }

    private void serve() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            JsonNode command = JSON.readTree(line);
            ExecutorService lane = command.hasNonNull("lane")
                    ? lanes.computeIfAbsent(
                            command.get("lane").asText(), k -> Executors.newSingleThreadExecutor(Driver::daemon))
                    : anyLane;
            lane.execute(() -> run(command));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Driver driver = new Driver();
        LogCapture log = LogCapture.install();
        driver.operations.put("log.take", a -> log.take());
        driver.operations.put("log.mark", a -> log.mark(a.get("text").asText()));
        new Producers().register(driver.operations);
        new Consumers().register(driver.operations);
        new Admins().register(driver.operations);
        new Tools().register(driver.operations);
        new Streams().register(driver.operations);
        driver.serve();
        Runtime.getRuntime().halt(0);
    }
}
