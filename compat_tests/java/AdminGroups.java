package compat;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberToRemove;
import org.apache.kafka.clients.admin.RemoveMembersFromConsumerGroupOptions;

/** Groups, their members and offsets. */
final class AdminGroups {
    private final Admins admins;

    AdminGroups(Admins admins) {
        this.admins = admins;
    }

    void register(Map<String, Driver.Operation> operations) {
        operations.put("admin.list_groups", a -> {
            Map<String, Object> answer = new LinkedHashMap<>();
            for (var group : admins.get(a).listGroups(new ListGroupsOptions()).all().get()) {
                answer.put(group.groupId(), Map.of(
                        "type", group.type().map(Object::toString).orElse(""),
                        "protocol", group.protocol(),
                        "state", group.groupState().map(Object::toString).orElse(""),
                        "simple", group.isSimpleConsumerGroup()));
            }
            return answer;
        });
        operations.put("admin.describe_groups", this::describe);
        operations.put("admin.group_offsets", a -> {
            Map<String, Object> answer = new LinkedHashMap<>();
            admins.get(a).listConsumerGroupOffsets(a.get("group").asText())
                    .partitionsToOffsetAndMetadata().get()
                    .forEach((partition, offset) -> answer.put(Values.key(partition), Values.offset(offset)));
            return answer;
        });
        operations.put("admin.alter_group_offsets", a -> {
            admins.get(a).alterConsumerGroupOffsets(a.get("group").asText(), Values.offsets(a.get("offsets")))
                    .all().get();
            return null;
        });
        operations.put("admin.delete_group_offsets", a -> {
            admins.get(a).deleteConsumerGroupOffsets(a.get("group").asText(), Values.partitions(a.get("partitions")))
                    .all().get();
            return null;
        });
        operations.put("admin.delete_groups", a -> Admins.outcomes(
                admins.get(a).deleteConsumerGroups(Values.strings(a.get("groups"))).deletedGroups()));
        operations.put("admin.remove_members", a -> {
            Set<MemberToRemove> members = Values.strings(a.get("instances")).stream()
                    .map(MemberToRemove::new).collect(Collectors.toSet());
            var options = members.isEmpty()
                    ? new RemoveMembersFromConsumerGroupOptions()
                    : new RemoveMembersFromConsumerGroupOptions(members);
            admins.get(a).removeMembersFromConsumerGroup(a.get("group").asText(), options).all().get();
            return null;
        });
    }

    private Object describe(JsonNode a) throws Exception {
        Map<String, Object> answer = new LinkedHashMap<>();
        var futures = admins.get(a).describeConsumerGroups(Values.strings(a.get("groups"))).describedGroups();
        for (var each : futures.entrySet()) {
            try {
                var group = each.getValue().get();
                List<Object> members = new ArrayList<>();
                for (var member : group.members()) {
                    Map<String, Object> one = new LinkedHashMap<>();
                    one.put("client_id", member.clientId());
                    one.put("host", member.host());
                    one.put("instance_id", member.groupInstanceId().orElse(null));
                    one.put("assignment", Values.json(member.assignment().topicPartitions()));
                    members.add(one);
                }
                Map<String, Object> one = new LinkedHashMap<>();
                one.put("state", group.groupState().toString());
                one.put("assignor", group.partitionAssignor());
                one.put("coordinator", group.coordinator().id());
                one.put("members", members);
                answer.put(each.getKey(), one);
            } catch (Exception e) {
                answer.put(each.getKey(), Map.of("error", Driver.describe(e)));
            }
        }
        return answer;
    }
}
