package example;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * JUnit 5: one broker for the whole run, a fresh cluster for each test that has a {@link Cluster} parameter.
 *
 * <p>Copy this file. The broker is started with the command {@code kwire} (or what the variable KWIRE says), or is one
 * that runs already, when KWIRE_URL says where: {@code http://127.0.0.1:9380}.
 */
public final class Kwire implements ParameterResolver, AfterEachCallback {
    private static final Namespace NAMESPACE = Namespace.create(Kwire.class);
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext test) {
        return parameter.getParameter().getType() == Cluster.class;
    }

    @Override
    public Cluster resolveParameter(ParameterContext parameter, ExtensionContext test) {
        Broker broker = test.getRoot().getStore(NAMESPACE).getOrComputeIfAbsent(Broker.class, key -> new Broker(), Broker.class);
        Cluster cluster = new Cluster(broker.url, "{}");
        test.getStore(NAMESPACE).put(Cluster.class, cluster);
        return cluster;
    }

    @Override
    public void afterEach(ExtensionContext test) {
        Cluster cluster = test.getStore(NAMESPACE).remove(Cluster.class, Cluster.class);
        if (cluster != null) {
            if (test.getExecutionException().isPresent()) {
                System.err.println("last requests of " + cluster.name + ": " + cluster.request("GET", "/transcript", null));
            }
            cluster.request("DELETE", "", null);
        }
    }

    /** A cluster of one test: its address, and requests to its part of the control plane. */
    public static final class Cluster {
        public final String name;
        public final String bootstrapServers;
        private final String url;

        Cluster(String brokerUrl, String body) {
            String answer = send("POST", brokerUrl + "/v1/clusters", body);
            name = field(answer, "name");
            bootstrapServers = field(answer, "bootstrap_servers");
            url = brokerUrl + "/v1/clusters/" + name;
        }

        /** A request below {@code /v1/clusters/NAME}; the answer's JSON. body: JSON, or null for none. */
        public String request(String method, String path, String body) {
            return send(method, url + path, body);
        }
    }

    /** A broker in a process of its own. It stops when this JVM ends, in whatever way: its standard input ends then. */
    private static final class Broker implements AutoCloseable {
        final String url;
        private Process process;

        Broker() {
            String running = System.getenv("KWIRE_URL");
            url = running != null ? running : start();
        }

        private String start() {
            try {
                Path directory = Files.createTempDirectory("kwire-junit");
                Path ready = directory.resolve("ready");
                List<String> command = new ArrayList<>(List.of(System.getenv().getOrDefault("KWIRE", "kwire").split(" ")));
                command.addAll(List.of("serve", "--ephemeral", "--stop-with-stdin", "--port", "0", "--http", "0"));
                command.addAll(List.of("--ready-file", ready.toString()));
                process = new ProcessBuilder(command)
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .redirectError(ProcessBuilder.Redirect.INHERIT)
                        .start();
                while (!Files.exists(ready)) {
                    if (process.waitFor(5, TimeUnit.MILLISECONDS)) {
                        throw new IllegalStateException("kwire ended with exit code " + process.exitValue());
                    }
                }
                String url = Files.readAllLines(ready).get(1);
                Files.delete(ready);
                Files.delete(directory);
                return url;
            } catch (IOException | InterruptedException error) {
                throw new IllegalStateException("kwire cannot be started: is it installed (pip install kwire)?", error);
            }
        }

        @Override
        public void close() throws Exception {
            if (process != null) {
                process.getOutputStream().close();
                process.waitFor();
            }
        }
    }

    private static String send(String method, String url, String body) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url));
        if (body == null) {
            request.method(method, HttpRequest.BodyPublishers.noBody());
        } else {
            request.method(method, HttpRequest.BodyPublishers.ofString(body)).header("Content-Type", "application/json");
        }
        try {
            HttpResponse<String> response = HTTP.send(request.build(), HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() >= 300) {
                throw new IllegalStateException(method + " " + url + ": " + response.statusCode() + " " + response.body());
            }
            return response.body();
        } catch (IOException | InterruptedException error) {
            throw new IllegalStateException(method + " " + url, error);
        }
    }

    /** A text field of a JSON object. Use your own JSON library where you have one. */
    public static String field(String json, String name) {
        Matcher matcher = Pattern.compile("\"" + name + "\":\\s*\"([^\"]*)\"").matcher(json);
        if (!matcher.find()) {
            throw new IllegalStateException("no " + name + " in " + json);
        }
        return matcher.group(1);
    }
}
