/* librdkafka under load: the library that the confluent-kafka wheel carries, opened at run time.
 *
 *   rdkafka_load LIBRARY MODE TOPIC PARTITIONS COUNT WARMUP VALUES_FILE VALUE_SIZE [key=value]...
 *
 * MODE: produce   COUNT records as fast as they go, batches of the library's own making
 *       consume   COUNT records from the beginning of all partitions
 *       one       COUNT records, each produced when the previous one was acknowledged
 *       through   COUNT records, each produced when the previous one came out of a consumer
 *       flood     produce until standard input is closed
 *       txn       COUNT transactions, one after the other, of RECORDS_A_TRANSACTION records each over all partitions;
 *                 the latency is that of commit_transaction, which first delivers what is still on its way
 * VALUES_FILE holds values of VALUE_SIZE bytes one after the other, taken in turn. Every mode begins with WARMUP records
 * that are not measured, prints "ready", waits for a line on standard input, and ends with one line of JSON.
 * key=value are the library's settings. Only public functions are declared here, so no header is needed to compile it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef struct {
    int err;
    void *topic;
    int32_t partition;
    void *payload;
    size_t len;
    void *key;
    size_t key_len;
    int64_t offset;
    void *private_;
} message_t;

#define FUNCTIONS(X)                                                                                                \
    X(void *, conf_new, (void))                                                                                     \
    X(int, conf_set, (void *, const char *, const char *, char *, size_t))                                          \
    X(void, conf_set_dr_msg_cb, (void *, void (*)(void *, const message_t *, void *)))                              \
    X(void *, new, (int, void *, char *, size_t))                                                                   \
    X(void *, topic_new, (void *, const char *, void *))                                                            \
    X(int, produce_batch, (void *, int32_t, int, message_t *, int))                                                 \
    X(int, produce, (void *, int32_t, int, void *, size_t, const void *, size_t, void *))                           \
    X(int, poll, (void *, int))                                                                                     \
    X(int, flush, (void *, int))                                                                                    \
    X(int, outq_len, (void *))                                                                                      \
    X(void *, topic_partition_list_new, (int))                                                                      \
    X(void *, topic_partition_list_add, (void *, const char *, int32_t))                                            \
    X(int, topic_partition_list_set_offset, (void *, const char *, int32_t, int64_t))                               \
    X(int, assign, (void *, void *))                                                                                \
    X(void *, queue_get_consumer, (void *))                                                                         \
    X(int, poll_set_consumer, (void *))                                                                             \
    X(ssize_t, consume_batch_queue, (void *, int, message_t **, size_t))                                            \
    X(void, message_destroy, (message_t *))                                                                         \
    X(void *, init_transactions, (void *, int))                                                                     \
    X(void *, begin_transaction, (void *))                                                                          \
    X(void *, commit_transaction, (void *, int))                                                                    \
    X(const char *, error_string, (void *))                                                                         \
    X(const char *, err2str, (int))

#define DECLARE(result, name, arguments) static result(*kafka_##name) arguments;
FUNCTIONS(DECLARE)

enum { RECORDS_A_TRANSACTION = 10, PRODUCER = 0, CONSUMER = 1, BATCH = 1000, ANY_PARTITION = -1, QUEUE_FULL = -184, PARTITION_EOF = -191 };

static char *topic_name, *values, **settings;
static int partitions, setting_count;
static size_t value_size, value_count, next_value;
static long delivered, failed;

static void die(const char *what, const char *why) {
    fprintf(stderr, "rdkafka_load: %s: %s\n", what, why);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void *value(void) { return values + (next_value++ % value_count) * value_size; }

static void on_delivery(void *client, const message_t *message, void *opaque) {
    (void)client, (void)opaque;
    if (message->err && !failed++) fprintf(stderr, "rdkafka_load: delivery: %s\n", kafka_err2str(message->err));
    delivered++;
}

/* Settings that start with "producer." or "consumer." are for that side only. */
static void *client(int type) {
    char error[512];
    void *conf = kafka_conf_new();
    for (int i = 0; i < setting_count; i++) {
        char key[128], *equals = strchr(settings[i], '='), *name = key;
        snprintf(key, sizeof key, "%.*s", (int)(equals - settings[i]), settings[i]);
        if (!strncmp(key, type == PRODUCER ? "consumer." : "producer.", 9)) continue;
        if (!strncmp(key, type == PRODUCER ? "producer." : "consumer.", 9)) name = key + 9;
        if (kafka_conf_set(conf, name, equals + 1, error, sizeof error)) die(settings[i], error);
    }
    if (type == PRODUCER) kafka_conf_set_dr_msg_cb(conf, on_delivery);
    else if (kafka_conf_set(conf, "group.id", "bench", error, sizeof error)) die("group.id", error);
    void *made = kafka_new(type, conf, error, sizeof error);
    if (!made) die("new client", error);
    return made;
}

static void *consumer_queue(int64_t offset) {
    void *consumer = client(CONSUMER);
    kafka_poll_set_consumer(consumer);
    void *list = kafka_topic_partition_list_new(partitions);
    for (int i = 0; i < partitions; i++) {
        kafka_topic_partition_list_add(list, topic_name, i);
        kafka_topic_partition_list_set_offset(list, topic_name, i, offset);
    }
    int error = kafka_assign(consumer, list);
    if (error) die("assign", kafka_err2str(error));
    return kafka_queue_get_consumer(consumer);
}

static void wait_for_start(void) {
    printf("ready\n");
    fflush(stdout);
    if (getchar() == EOF) exit(1);
}

static int input_closed(void) {
    struct pollfd in = {.fd = 0, .events = POLLIN};
    return poll(&in, 1, 0) > 0;
}

/* With one partition whole batches of records enter the library at once; with many it chooses the partition. */
static long produce_many(void *producer, void *topic, long count, int until_closed) {
    static message_t batch[BATCH];
    long sent = 0;
    delivered = 0;
    while (until_closed ? !input_closed() : sent < count) {
        int want = !until_closed && count - sent < BATCH ? count - sent : BATCH, taken = 0;
        for (int i = 0; i < want; i++)
            batch[i] = (message_t){.payload = value(), .len = value_size, .partition = i % partitions};
        if (partitions == 1)
            taken = kafka_produce_batch(topic, 0, 0, batch, want);
        else
            while (taken < want && !kafka_produce(topic, ANY_PARTITION, 0, batch[taken].payload, value_size, 0, 0, 0))
                taken++;
        sent += taken;
        kafka_poll(producer, taken < want ? 1 : 0);
    }
    kafka_flush(producer, 60000);
    if (delivered != sent) die("flush", "not all records were delivered");
    return sent;
}

static void consume_many(void *queue, long count, int64_t *bytes) {
    static message_t *got[BATCH];
    double give_up = now() + 60;
    while (count > 0) {
        ssize_t n = kafka_consume_batch_queue(queue, 200, got, count < BATCH ? count : BATCH);
        for (ssize_t i = 0; i < n; i++) {
            if (got[i]->err && got[i]->err != PARTITION_EOF) die("consume", kafka_err2str(got[i]->err));
            if (!got[i]->err) count--, *bytes += got[i]->len;
            kafka_message_destroy(got[i]);
        }
        if (now() > give_up) die("consume", "not all records came within 60 s");
    }
}

static void one_by_one(void *producer, void *topic, void *queue, long count, double *took) {
    for (long i = 0; i < count; i++) {
        double began = now();
        int64_t bytes = 0;
        delivered = 0;
        if (kafka_produce(topic, 0, 0, value(), value_size, NULL, 0, NULL)) die("produce", "refused");
        if (queue) consume_many(queue, 1, &bytes);
        while (!queue && !delivered) kafka_poll(producer, 1000);
        if (took) took[i] = (now() - began) * 1e3;
        while (!delivered) kafka_poll(producer, 1000);
    }
}

static void check(const char *what, void *error) {
    if (error) die(what, kafka_error_string(error));
}

static void transactions(void *producer, void *topic, long count, double *took) {
    for (long i = 0; i < count; i++) {
        check("begin", kafka_begin_transaction(producer));
        for (int n = 0; n < RECORDS_A_TRANSACTION; n++)
            if (kafka_produce(topic, n % partitions, 0, value(), value_size, NULL, 0, NULL)) die("produce", "refused");
        double began = now();
        check("commit", kafka_commit_transaction(producer, 60000));
        if (took) took[i] = (now() - began) * 1e3;
    }
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print_rate(long count, double seconds) {
    printf("{\"records\": %ld, \"bytes\": %.0f, \"failed\": %ld, \"seconds\": %.4f, \"records_per_second\": %.1f, "
           "\"mb_per_second\": %.3f}\n",
           count, (double)count * value_size, failed, seconds, count / seconds, count * value_size / seconds / 1e6);
}

int main(int argc, char **argv) {
    if (argc < 9) die("usage", "LIBRARY MODE TOPIC PARTITIONS COUNT WARMUP VALUES_FILE VALUE_SIZE [key=value]...");
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) die("dlopen", dlerror());
#define LOAD(result, name, arguments)                                                                               \
    if (!(kafka_##name = (result(*) arguments)dlsym(library, "rd_kafka_" #name))) die("dlsym", #name);
    FUNCTIONS(LOAD)
    char *mode = argv[2];
    topic_name = argv[3];
    partitions = atoi(argv[4]);
    long count = atol(argv[5]), warmup = atol(argv[6]);
    value_size = atol(argv[8]);
    settings = argv + 9;
    setting_count = argc - 9;
    FILE *file = fopen(argv[7], "rb");
    if (!file) die("values", argv[7]);
    values = malloc(64 << 20);
    value_count = fread(values, 1, 64 << 20, file) / value_size;
    fclose(file);
    if (!value_count) die("values", "fewer bytes than one value");

    if (!strcmp(mode, "consume")) {
        int64_t bytes = 0, ignored = 0;
        void *queue = consumer_queue(-2);
        consume_many(queue, warmup, &ignored);
        wait_for_start();
        double began = now();
        consume_many(queue, count, &bytes);
        print_rate(count, now() - began);
        fflush(stdout);
        _exit(0);
    }
    void *producer = client(PRODUCER), *topic = kafka_topic_new(producer, topic_name, NULL);
    if (!strcmp(mode, "produce") || !strcmp(mode, "flood")) {
        produce_many(producer, topic, warmup, 0);
        wait_for_start();
        double began = now();
        long sent = produce_many(producer, topic, count, !strcmp(mode, "flood"));
        print_rate(sent, now() - began);
    } else if (!strcmp(mode, "txn")) {
        double *took = malloc(sizeof *took * count);
        check("init", kafka_init_transactions(producer, 60000));
        transactions(producer, topic, warmup, NULL);
        wait_for_start();
        double began = now();
        transactions(producer, topic, count, took);
        double seconds = now() - began;
        qsort(took, count, sizeof *took, by_value);
        printf("{\"transactions\": %ld, \"failed\": %ld, \"per_second\": %.2f, \"p50_ms\": %.4f, \"p99_ms\": %.4f}\n", count,
               failed, count / seconds, took[count / 2], took[(long)(0.99 * (count - 1))]);
    } else {
        double *took = malloc(sizeof *took * count);
        void *queue = strcmp(mode, "through") ? NULL : consumer_queue(-2);
        one_by_one(producer, topic, queue, warmup, NULL);
        wait_for_start();
        one_by_one(producer, topic, queue, count, took);
        qsort(took, count, sizeof *took, by_value);
        printf("{\"records\": %ld, \"failed\": %ld, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"p999_ms\": %.4f}\n", count,
               failed, took[count / 2], took[(long)(0.99 * (count - 1))], took[(long)(0.999 * (count - 1))]);
    }
    fflush(stdout);
    _exit(failed != 0);
}
