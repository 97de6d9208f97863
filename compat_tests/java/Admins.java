package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.KafkaFuture;

/** admin.*: one Admin client for each configuration; operations of the four parts. */
final class Admins {
    private final Map<String, Admin> clients = new ConcurrentHashMap<>();

    Admin get(JsonNode a) {
        return clients.computeIfAbsent(
                a.get("config").toString(), k -> Admin.create(Values.properties(a.get("config"))));
    }

    void register(Map<String, Driver.Operation> operations) {
        new AdminTopics(this).register(operations);
        new AdminGroups(this).register(operations);
        new AdminCluster(this).register(operations);
        new AdminTransactions(this).register(operations);
    }

    /** Per key null, or the error of its future. */
    static <K> Map<String, Object> outcomes(Map<K, ? extends KafkaFuture<?>> futures) {
        Map<String, Object> answer = new LinkedHashMap<>();
        futures.forEach((key, future) -> {
            try {
                future.get();
                answer.put(String.valueOf(key), null);
            } catch (Exception e) {
                answer.put(String.valueOf(key), Driver.describe(e));
            }
        });
        return answer;
    }
}
