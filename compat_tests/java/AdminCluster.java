package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.quota.ClientQuotaFilter;

/** Configs, the cluster, features, log directories, leaders, and what is off on a plain broker. */
final class AdminCluster {
    private final Admins admins;

    AdminCluster(Admins admins) {
        this.admins = admins;
    }

    void register(Map<String, Driver.Operation> operations) {
        operations.put("admin.describe_configs", this::describeConfigs);
        operations.put("admin.alter_configs", this::alterConfigs);
        operations.put("admin.list_config_resources", a -> admins.get(a).listConfigResources().all().get().stream()
                .map(r -> r.type() + ":" + r.name()).sorted().collect(Collectors.toList()));
        operations.put("admin.describe_cluster", a -> {
            var cluster = admins.get(a).describeCluster();
            Map<String, Object> answer = new LinkedHashMap<>();
            answer.put("cluster_id", cluster.clusterId().get());
            answer.put("controller", cluster.controller().get().id());
            answer.put("nodes", cluster.nodes().get().stream()
                    .map(n -> List.of(n.id(), n.host(), n.port())).collect(Collectors.toList()));
            return answer;
        });
        operations.put("admin.describe_features", a -> {
            var features = admins.get(a).describeFeatures().featureMetadata().get();
            Map<String, Object> finalized = new TreeMap<>();
            features.finalizedFeatures().forEach((name, range) ->
                    finalized.put(name, List.of(range.minVersionLevel(), range.maxVersionLevel())));
            Map<String, Object> supported = new TreeMap<>();
            features.supportedFeatures().forEach((name, range) ->
                    supported.put(name, List.of(range.minVersion(), range.maxVersion())));
            return Map.of("finalized", finalized, "supported", supported);
        });
        operations.put("admin.describe_log_dirs", this::describeLogDirs);
        operations.put("admin.describe_quorum", a -> {
            var quorum = admins.get(a).describeMetadataQuorum().quorumInfo().get();
            return Map.of(
                    "leader", quorum.leaderId(),
                    "epoch", quorum.leaderEpoch(),
                    "high_watermark", quorum.highWatermark(),
                    "voters", quorum.voters().stream().map(v -> v.replicaId()).collect(Collectors.toList()),
                    "observers", quorum.observers().size());
        });
        operations.put("admin.elect_leaders", a -> {
            ElectionType type = ElectionType.valueOf(a.get("type").asText());
            Map<String, Object> answer = new LinkedHashMap<>();
            admins.get(a).electLeaders(type, Values.partitions(a.get("partitions"))).partitions().get()
                    .forEach((partition, error) ->
                            answer.put(Values.key(partition), error.map(Driver::describe).orElse(null)));
            return answer;
        });
        operations.put("admin.reassign", a -> {
            Map<TopicPartition, Optional<NewPartitionReassignment>> wanted = new LinkedHashMap<>();
            a.get("partitions").forEach(each -> {
                List<Integer> replicas = new ArrayList<>();
                each.get(2).forEach(r -> replicas.add(r.asInt()));
                wanted.put(Values.partition(each), replicas.isEmpty()
                        ? Optional.empty() : Optional.of(new NewPartitionReassignment(replicas)));
            });
            return Admins.outcomes(admins.get(a).alterPartitionReassignments(wanted).values());
        });
        operations.put("admin.list_reassignments",
                a -> Values.json(admins.get(a).listPartitionReassignments().reassignments().get().keySet()));
        operations.put("admin.describe_acls",
                a -> admins.get(a).describeAcls(AclBindingFilter.ANY).values().get().size());
        operations.put("admin.describe_delegation_tokens",
                a -> admins.get(a).describeDelegationToken().delegationTokens().get().size());
        operations.put("admin.describe_quotas",
                a -> admins.get(a).describeClientQuotas(ClientQuotaFilter.all()).entities().get().size());
        operations.put("admin.describe_scram",
                a -> admins.get(a).describeUserScramCredentials().all().get().size());
    }

    /** "TOPIC:name", "BROKER:1", "GROUP:name". */
    private static ConfigResource resource(String text) {
        int colon = text.indexOf(':');
        return new ConfigResource(ConfigResource.Type.valueOf(text.substring(0, colon)), text.substring(colon + 1));
    }

    private Object describeConfigs(JsonNode a) throws Exception {
        ConfigResource resource = resource(a.get("resource").asText());
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        Config config = admins.get(a).describeConfigs(Set.of(resource), options).all().get().get(resource);
        Map<String, Object> answer = new TreeMap<>();
        for (ConfigEntry entry : config.entries()) {
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("value", entry.value());
            one.put("source", entry.source().toString());
            one.put("type", entry.type().toString());
            one.put("read_only", entry.isReadOnly());
            one.put("sensitive", entry.isSensitive());
            one.put("documented", entry.documentation() != null && !entry.documentation().isEmpty());
            one.put("synonyms", entry.synonyms().stream()
                    .map(s -> List.of(s.name(), String.valueOf(s.value()), s.source().toString()))
                    .collect(Collectors.toList()));
            answer.put(entry.name(), one);
        }
        return answer;
    }

    private Object alterConfigs(JsonNode a) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        a.get("changes").forEach(each -> changes.add(new AlterConfigOp(
                new ConfigEntry(each.get(1).asText(), each.size() > 2 ? each.get(2).asText() : null),
                AlterConfigOp.OpType.valueOf(each.get(0).asText()))));
        boolean validate = a.hasNonNull("validate_only") && a.get("validate_only").asBoolean();
        admins.get(a)
                .incrementalAlterConfigs(
                        Map.of(resource(a.get("resource").asText()), changes),
                        new AlterConfigsOptions().validateOnly(validate))
                .all().get();
        return null;
    }

    private Object describeLogDirs(JsonNode a) throws Exception {
        List<Object> answer = new ArrayList<>();
        for (var broker : admins.get(a).describeLogDirs(List.of(1)).allDescriptions().get().entrySet()) {
            for (var dir : broker.getValue().entrySet()) {
                Map<String, Object> sizes = new LinkedHashMap<>();
                dir.getValue().replicaInfos().forEach((partition, info) -> {
                    if (!a.hasNonNull("topic") || partition.topic().equals(a.get("topic").asText())) {
                        sizes.put(Values.key(partition), info.size());
                    }
                });
                Map<String, Object> one = new LinkedHashMap<>();
                one.put("broker", broker.getKey());
                one.put("path", dir.getKey());
                one.put("error", dir.getValue().error() == null ? null : dir.getValue().error().getMessage());
                one.put("total_known", dir.getValue().totalBytes().isPresent());
                one.put("sizes", sizes);
                answer.add(one);
            }
        }
        return answer;
    }
}
