package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionState;

/** Transactions as the Admin client sees them, and the producers that partitions know. */
final class AdminTransactions {
    private final Admins admins;

    AdminTransactions(Admins admins) {
        this.admins = admins;
    }

    void register(Map<String, Driver.Operation> operations) {
        operations.put("admin.describe_producers", a -> {
            Map<String, Object> answer = new LinkedHashMap<>();
            var all = admins.get(a).describeProducers(Values.partitions(a.get("partitions"))).all().get();
            all.forEach((partition, state) -> answer.put(
                    Values.key(partition),
                    state.activeProducers().stream().map(AdminTransactions::json).collect(Collectors.toList())));
            return answer;
        });
        operations.put("admin.describe_transactions", a -> {
            var result = admins.get(a).describeTransactions(Values.strings(a.get("ids")));
            Map<String, Object> answer = new TreeMap<>();
            for (String id : Values.strings(a.get("ids"))) {
                try {
                    answer.put(id, json(result.description(id).get()));
                } catch (Exception e) {
                    answer.put(id, Map.of("error", Driver.describe(e)));
                }
            }
            return answer;
        });
        operations.put("admin.list_transactions", this::listTransactions);
        operations.put("admin.abort_transaction", a -> {
            var spec = new AbortTransactionSpec(
                    Values.partition(a.get("partition")),
                    a.get("producer_id").asLong(),
                    (short) a.get("epoch").asInt(),
                    a.get("coordinator_epoch").asInt());
            admins.get(a).abortTransaction(spec).all().get();
            return null;
        });
        operations.put(
                "admin.fence_producers",
                a -> Admins.outcomes(admins.get(a).fenceProducers(Values.strings(a.get("ids"))).fencedProducers()));
    }

    private static Map<String, Object> json(ProducerState producer) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("id", producer.producerId());
        map.put("epoch", producer.producerEpoch());
        map.put("sequence", producer.lastSequence());
        map.put("coordinator_epoch", producer.coordinatorEpoch().isPresent()
                ? producer.coordinatorEpoch().getAsInt() : null);
        map.put("transaction_start", producer.currentTransactionStartOffset().isPresent()
                ? producer.currentTransactionStartOffset().getAsLong() : null);
        return map;
    }

    private static Map<String, Object> json(TransactionDescription transaction) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("coordinator", transaction.coordinatorId());
        map.put("state", transaction.state().toString());
        map.put("producer_id", transaction.producerId());
        map.put("epoch", transaction.producerEpoch());
        map.put("timeout_ms", transaction.transactionTimeoutMs());
        map.put("started", transaction.transactionStartTimeMs().isPresent());
        map.put("partitions", Values.json(transaction.topicPartitions()));
        return map;
    }

    private Object listTransactions(JsonNode a) throws Exception {
        ListTransactionsOptions options = new ListTransactionsOptions();
        if (a.hasNonNull("states")) {
            options.filterStates(Values.strings(a.get("states")).stream()
                    .map(TransactionState::parse).collect(Collectors.toList()));
        }
        if (a.hasNonNull("producer_ids")) {
            List<Long> ids = new ArrayList<>();
            a.get("producer_ids").forEach(each -> ids.add(each.asLong()));
            options.filterProducerIds(ids);
        }
        if (a.hasNonNull("duration_ms")) {
            options.filterOnDuration(a.get("duration_ms").asLong());
        }
        if (a.hasNonNull("pattern")) {
            options.filterOnTransactionalIdPattern(a.get("pattern").asText());
        }
        Map<String, Object> answer = new TreeMap<>();
        admins.get(a).listTransactions(options).all().get()
                .forEach(each -> answer.put(each.transactionalId(), each.state().toString()));
        return answer;
    }
}
