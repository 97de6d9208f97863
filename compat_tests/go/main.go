// Transactions of franz-go: one scenario a run, its result as JSON on standard output, what the client warns of on
// standard error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var bootstrap string

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAILED", err)
		os.Exit(1)
	}
}

func client(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.FetchMaxWait(200 * time.Millisecond),
	}, options...)...)
	check(err)
	return made
}

func send(ctx context.Context, c *kgo.Client, topic string, values ...string) error {
	var records []*kgo.Record
	for _, value := range values {
		records = append(records, &kgo.Record{Topic: topic, Value: []byte(value)})
	}
	return c.ProduceSync(ctx, records...).FirstErr()
}

// name is the broker's error code by name, or the error's text.
func name(err error) string {
	var coded *kerr.Error
	if errors.As(err, &coded) {
		return coded.Message
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func read(ctx context.Context, topic string, level kgo.IsolationLevel, count int) []string {
	start := map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}
	c := client(kgo.ConsumePartitions(start), kgo.FetchIsolationLevel(level))
	defer c.Close()
	values := []string{}
	for len(values) < count {
		fetches := c.PollFetches(ctx)
		check(fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// commitAndAbort: topic, transactional id.
func commitAndAbort(ctx context.Context, a []string) any {
	c := client(kgo.TransactionalID(a[1]))
	defer c.Close()
	for number := 0; number < 12; number++ {
		check(c.BeginTransaction())
		check(send(ctx, c, a[0], strconv.Itoa(number), strconv.Itoa(number)))
		end := kgo.TryCommit
		if number%3 == 2 {
			end = kgo.TryAbort
		}
		check(c.EndTransaction(ctx, end))
	}
	return map[string]any{
		"committed": read(ctx, a[0], kgo.ReadCommitted(), 16),
		"all":       read(ctx, a[0], kgo.ReadUncommitted(), 24),
	}
}

// exactlyOnce: source, target, group, transactional id, last offset, transactions before the crash (0: none).
func exactlyOnce(ctx context.Context, a []string) any {
	last, err := strconv.ParseInt(a[4], 10, 64)
	check(err)
	crash, err := strconv.Atoi(a[5])
	check(err)
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(bootstrap),
		kgo.WithLogger(kgo.BasicLogger(os.Stderr, kgo.LogLevelWarn, nil)),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID(a[3]),
		kgo.ConsumerGroup(a[2]),
		kgo.InstanceID("worker"), // who comes after a crash takes its place at once
		kgo.ConsumeTopics(a[0]),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.RequireStableFetchOffsets(),
		kgo.FetchMaxWait(200*time.Millisecond),
		kgo.HeartbeatInterval(200*time.Millisecond),
	)
	check(err)
	defer session.Close()
	for number := 1; ; number++ {
		fetches := session.PollRecords(ctx, 5)
		check(fetches.Err())
		check(session.Begin())
		position := int64(-1)
		var records []*kgo.Record
		fetches.EachRecord(func(r *kgo.Record) {
			position = r.Offset
			records = append(records, &kgo.Record{Topic: a[1], Value: append(r.Value, '!')})
		})
		check(session.ProduceSync(ctx, records...).FirstErr())
		if number == crash {
			// As a killed process: nothing is ended, nobody leaves the group.
			os.Stdout.WriteString("{\"crashed\": true}\n")
			os.Exit(0)
		}
		committed, err := session.End(ctx, kgo.TryCommit)
		check(err)
		if !committed {
			check(errors.New("a transaction was not committed"))
		}
		if position == last {
			return map[string]any{"transactions": number}
		}
	}
}

// fencing: topic, transactional id.
func fencing(ctx context.Context, a []string) any {
	zombie := client(kgo.TransactionalID(a[1]))
	defer zombie.Close()
	check(zombie.BeginTransaction())
	check(send(ctx, zombie, a[0], "lost"))
	heir := client(kgo.TransactionalID(a[1]))
	defer heir.Close()
	check(heir.BeginTransaction())
	check(send(ctx, heir, a[0], "kept"))
	late := zombie.EndTransaction(ctx, kgo.TryCommit)
	check(heir.EndTransaction(ctx, kgo.TryCommit))
	return map[string]any{"late": name(late), "committed": read(ctx, a[0], kgo.ReadCommitted(), 1)}
}

// timeout: topic, transactional id.
func timeout(ctx context.Context, a []string) any {
	late := client(kgo.TransactionalID(a[1]), kgo.TransactionTimeout(200*time.Millisecond))
	defer late.Close()
	check(late.BeginTransaction())
	check(send(ctx, late, a[0], "lost"))
	admin := kadm.NewClient(late)
	for {
		described, err := admin.DescribeTransactions(ctx, a[1])
		check(err)
		if described[a[1]].State == "CompleteAbort" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	failed := late.EndTransaction(ctx, kgo.TryCommit)
	heir := client(kgo.TransactionalID(a[1]))
	defer heir.Close()
	check(heir.BeginTransaction())
	check(send(ctx, heir, a[0], "kept"))
	check(heir.EndTransaction(ctx, kgo.TryCommit))
	return map[string]any{"late": name(failed), "committed": read(ctx, a[0], kgo.ReadCommitted(), 1)}
}

// admin: topic, transactional id.
func admin(ctx context.Context, a []string) any {
	c := client(kgo.TransactionalID(a[1]))
	defer c.Close()
	check(c.BeginTransaction())
	check(send(ctx, c, a[0], "open"))
	admin := kadm.NewClient(c)
	listed, err := admin.ListTransactions(ctx, nil, []string{"Ongoing"})
	check(err)
	described, err := admin.DescribeTransactions(ctx, a[1])
	check(err)
	producers, err := admin.DescribeProducers(ctx, kadm.TopicsSet{a[0]: {0: {}}})
	check(err)
	starts := []int64{}
	for _, producer := range producers[a[0]].Partitions[0].ActiveProducers {
		starts = append(starts, producer.CurrentTxnStartOffset)
	}
	check(c.EndTransaction(ctx, kgo.TryAbort))
	return map[string]any{
		"listed":    listed[a[1]].State,
		"described": described[a[1]].State,
		"starts":    starts,
	}
}

func main() {
	scenarios := map[string]func(context.Context, []string) any{
		"commit-and-abort": commitAndAbort,
		"exactly-once":     exactlyOnce,
		"fencing":          fencing,
		"timeout":          timeout,
		"admin":            admin,
	}
	bootstrap = os.Args[2]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	check(json.NewEncoder(os.Stdout).Encode(scenarios[os.Args[1]](ctx, os.Args[3:])))
}
