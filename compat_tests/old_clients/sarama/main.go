// What an application does with an old sarama: produce, consume by partition, commit and fetch offsets, consume in a
// group, each at the Kafka version its Config is set to (its default is 0.8.2.0).
//
//	sarama BOOTSTRAP VERSION TOPIC GROUP CODEC      VERSION: "" for the default
//
// Prints a line of JSON.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/Shopify/sarama"
)

type result struct {
	Produced []int64  `json:"produced"`
	Read     []string `json:"read"`
	Newest   int64    `json:"newest"`
	Oldest   int64    `json:"oldest"`
	Managed  int64    `json:"managed"`
	Grouped  []string `json:"grouped"`
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type handler struct {
	want int
	got  *[]string
	done context.CancelFunc
}

func (handler) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (handler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h handler) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		*h.got = append(*h.got, string(message.Value))
		session.MarkMessage(message, "")
		if len(*h.got) == h.want {
			h.done()
			return nil
		}
	}
	return nil
}

func main() {
	bootstrap, version, topic, group, codec := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	config := sarama.NewConfig()
	if version != "" {
		parsed, err := sarama.ParseKafkaVersion(version)
		must(err)
		config.Version = parsed
	}
	config.Producer.Return.Successes = true
	config.Producer.Flush.Messages = 5
	config.Producer.Flush.Frequency = 20 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.CommitInterval = 20 * time.Millisecond
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	switch codec {
	case "gzip":
		config.Producer.Compression = sarama.CompressionGZIP
	case "snappy":
		config.Producer.Compression = sarama.CompressionSnappy
	case "lz4":
		config.Producer.Compression = sarama.CompressionLZ4
	}
	client, err := sarama.NewClient([]string{bootstrap}, config)
	must(err)
	var told result

	producer, err := sarama.NewSyncProducerFromClient(client)
	must(err)
	var messages []*sarama.ProducerMessage
	for number := 0; number < 10; number++ {
		messages = append(messages, &sarama.ProducerMessage{
			Topic: topic, Key: sarama.StringEncoder("k"), Value: sarama.StringEncoder(fmt.Sprintf("v%d", number)),
		})
	}
	must(producer.SendMessages(messages))
	for _, message := range messages {
		told.Produced = append(told.Produced, message.Offset)
	}
	partition := messages[0].Partition

	told.Newest, err = client.GetOffset(topic, partition, sarama.OffsetNewest)
	must(err)
	told.Oldest, err = client.GetOffset(topic, partition, sarama.OffsetOldest)
	must(err)

	consumer, err := sarama.NewConsumerFromClient(client)
	must(err)
	reader, err := consumer.ConsumePartition(topic, partition, sarama.OffsetOldest)
	must(err)
	for len(told.Read) < 10 {
		select {
		case message := <-reader.Messages():
			told.Read = append(told.Read, string(message.Value))
		case <-time.After(20 * time.Second):
			must(fmt.Errorf("%d of 10 messages came", len(told.Read)))
		}
	}
	must(reader.Close())

	offsets, err := sarama.NewOffsetManagerFromClient(group+"-managed", client)
	must(err)
	managed, err := offsets.ManagePartition(topic, partition)
	must(err)
	managed.MarkOffset(7, "seven")
	time.Sleep(200 * time.Millisecond)
	must(managed.Close())
	must(offsets.Close())
	offsets, err = sarama.NewOffsetManagerFromClient(group+"-managed", client)
	must(err)
	managed, err = offsets.ManagePartition(topic, partition)
	must(err)
	told.Managed, _ = managed.NextOffset()
	must(managed.Close())
	must(offsets.Close())

	if config.Version.IsAtLeast(sarama.V0_10_2_0) {
		members, err := sarama.NewConsumerGroupFromClient(group, client)
		must(err)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		must(members.Consume(ctx, []string{topic}, handler{10, &told.Grouped, cancel}))
		cancel()
		must(members.Close())
	}
	must(json.NewEncoder(os.Stdout).Encode(told))
}
