package orders

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestWhatIsSentIsRead(t *testing.T) {
	kafka := NewCluster(t, map[string]any{"topics": map[string]any{"orders": 1}})
	send(t, kafka, "first", "second")
	if values := read(t, kafka, 2); !reflect.DeepEqual(values, []string{"first", "second"}) {
		t.Fatalf("read %q", values)
	}
}

func TestARecordWhoseAnswerIsLostIsSentAgainAndIsThereOnce(t *testing.T) {
	kafka := NewCluster(t, map[string]any{"topics": map[string]any{"orders": 1}})
	kafka.Request(t, "POST", "/faults", map[string]any{
		"name": "lost", "api": "Produce", "when": "after", "drop_connection": true, "times": 1,
	}, nil)
	send(t, kafka, "first", "second")
	if values := read(t, kafka, 2); !reflect.DeepEqual(values, []string{"first", "second"}) {
		t.Fatalf("read %q", values)
	}
	var rule struct{ Fired int }
	kafka.Request(t, "GET", "/faults/lost", nil, &rule)
	if rule.Fired != 1 {
		t.Fatalf("the rule has acted %d times", rule.Fired)
	}
}

func newClient(t *testing.T, kafka *Cluster, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	// By default franz-go waits seconds before it looks for a leader again.
	options = append(options, kgo.SeedBrokers(kafka.Brokers()...), kgo.MetadataMinAge(20*time.Millisecond))
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func send(t *testing.T, kafka *Cluster, values ...string) {
	t.Helper()
	client := newClient(t, kafka, kgo.DefaultProduceTopic("orders"))
	for _, value := range values {
		if err := client.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, kafka *Cluster, count int) []string {
	t.Helper()
	client := newClient(t, kafka, kgo.ConsumeTopics("orders"), kgo.ConsumerGroup("billing"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var values []string
	for len(values) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%v after %q", err, values)
		}
		fetches.EachRecord(func(record *kgo.Record) { values = append(values, string(record.Value)) })
	}
	return values
}
