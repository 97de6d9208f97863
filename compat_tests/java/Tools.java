package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.apache.kafka.common.utils.Exit;

/**
 * tool: runs the main method of one of Kafka's command line tools in this JVM, with its standard streams captured.
 *
 * <p>The tools end through Kafka's Exit class, whose procedure is replaced by an exception here. One at a time.
 */
final class Tools {
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1L;
        final int status;

        Ended(int status, String message) {
            super(message, null, false, false);
            this.status = status;
        }
    }

    private final List<Runnable> hooks = new CopyOnWriteArrayList<>();
    private volatile Ended ended;

    Tools() {
        Exit.Procedure procedure = (status, message) -> {
            // Some tools catch what their own exit throws here and exit once more: the first status is theirs.
            if (ended == null) {
                ended = new Ended(status, message);
            }
            throw ended;
        };
        Exit.setExitProcedure(procedure);
        Exit.setHaltProcedure(procedure);
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
    }

    void register(Map<String, Driver.Operation> operations) {
        operations.put("tool", this::run);
    }

    /** What the tool wanted to happen when its JVM ends: some close their clients only there. */
    private void runHooks() throws InterruptedException {
        Thread thread = new Thread(() -> hooks.forEach(Runnable::run));
        thread.setDaemon(true);
        thread.start();
        thread.join(5000);
        hooks.clear();
    }

    private synchronized Object run(JsonNode a) throws Exception {
        String[] arguments = Values.strings(a.get("args")).toArray(new String[0]);
        String input = a.hasNonNull("stdin") ? a.get("stdin").asText() : "";
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream err = new ByteArrayOutputStream();
        InputStream oldIn = System.in;
        PrintStream oldOut = System.out;
        PrintStream oldErr = System.err;
        int status = 0;
        ended = null;
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        System.setOut(new PrintStream(out, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(err, true, StandardCharsets.UTF_8));
        try {
            Class.forName(a.get("main").asText()).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Ended)) {
                status = 1;
                thrown.getCause().printStackTrace(System.err);
            }
        } finally {
            runHooks();
            System.out.flush();
            System.err.flush();
            System.setIn(oldIn);
            System.setOut(oldOut);
            System.setErr(oldErr);
        }
        Map<String, Object> answer = new LinkedHashMap<>();
        answer.put("status", ended == null ? status : ended.status);
        answer.put("out", out.toString(StandardCharsets.UTF_8));
        answer.put("err", err.toString(StandardCharsets.UTF_8));
        return answer;
    }
}
