/* Sends one precomputed request frame over and over, on many connections, several in flight on each, and measures.
 *
 *   raw_load HOST PORT CONNECTIONS IN_FLIGHT SECONDS WARMUP_SECONDS INTERVAL_US ERROR_OFFSET FRAME_FILE
 *
 * Only the correlation id (bytes 8-11 of the frame) changes. Every answer's correlation id is checked, and the int16 at
 * ERROR_OFFSET (from the length field on) must be 0; -1 checks nothing. INTERVAL_US > 0 paces: the next request of a
 * connection leaves that long after the previous one was answered. Protocol with the harness: "ready" is printed after
 * the warm-up, a line on standard input starts the measured part, one line of JSON ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_SAMPLES (8 * 1000 * 1000)
#define IN_BUFFER 65536

struct connection {
    int fd;
    uint32_t next_sent, next_answered;
    uint8_t *out;      /* in_flight frames one after the other */
    uint64_t *sent_at; /* ring of in_flight times, ns */
    uint64_t due_at;   /* paced: when the next request leaves; 0 when one is in flight */
    uint8_t in[IN_BUFFER];
    size_t have;
};

static uint8_t *frame;
static size_t frame_size;
static int in_flight, error_offset;
static uint64_t interval_ns;
static uint64_t answered, failed;
static uint32_t *samples;
static size_t sample_count;

static void die(const char *what) {
    fprintf(stderr, "raw_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static uint32_t get32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

static void put32(uint8_t *p, uint32_t v) {
    p[0] = v >> 24;
    p[1] = v >> 16;
    p[2] = v >> 8;
    p[3] = v;
}

static void send_requests(struct connection *c, int count) {
    uint64_t now = now_ns();
    for (int i = 0; i < count; i++) {
        put32(c->out + i * frame_size + 8, c->next_sent);
        c->sent_at[c->next_sent % in_flight] = now;
        c->next_sent++;
    }
    const uint8_t *p = c->out;
    size_t left = frame_size * count;
    while (left) { /* blocking: a frame is small, and a broker that does not read it ends the measurement */
        ssize_t n = send(c->fd, p, left, 0);
        if (n < 0) die("send");
        p += n;
        left -= n;
    }
    c->due_at = 0;
}

static void read_answers(struct connection *c) {
    ssize_t n = recv(c->fd, c->in + c->have, IN_BUFFER - c->have, 0);
    if (n < 0) die("recv");
    if (n == 0) {
        errno = ECONNRESET;
        die("closed by the broker");
    }
    c->have += n;
    size_t at = 0;
    int done = 0;
    uint64_t now = now_ns();
    while (c->have - at >= 8) {
        size_t size = 4 + (size_t)get32(c->in + at);
        if (size > IN_BUFFER) {
            errno = EMSGSIZE;
            die("answer");
        }
        if (c->have - at < size) break;
        const uint8_t *answer = c->in + at;
        if (get32(answer + 4) != c->next_answered) {
            errno = EPROTO;
            die("correlation id");
        }
        if (error_offset >= 0 && (answer[error_offset] | answer[error_offset + 1])) failed++;
        uint64_t took = now - c->sent_at[c->next_answered % in_flight];
        if (sample_count < MAX_SAMPLES) samples[sample_count++] = took > UINT32_MAX ? UINT32_MAX : took;
        c->next_answered++;
        answered++;
        done++;
        at += size;
    }
    memmove(c->in, c->in + at, c->have - at);
    c->have -= at;
    if (!done) return;
    if (interval_ns)
        c->due_at = now + interval_ns;
    else
        send_requests(c, done);
}

static void run_until(int epoll, struct connection *all, int count, uint64_t end) {
    struct epoll_event events[256];
    for (;;) {
        uint64_t now = now_ns();
        if (now >= end) return;
        uint64_t wake = end;
        if (interval_ns)
            for (int i = 0; i < count; i++) {
                if (all[i].due_at && all[i].due_at <= now) send_requests(&all[i], in_flight);
                if (all[i].due_at && all[i].due_at < wake) wake = all[i].due_at;
            }
        struct timespec wait = {(wake - now) / 1000000000u, (wake - now) % 1000000000u};
        int n = epoll_pwait2(epoll, events, 256, &wait, NULL);
        if (n < 0 && errno != EINTR) die("epoll_pwait2");
        for (int i = 0; i < n; i++) read_answers(events[i].data.ptr);
    }
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double percentile_ms(double share) {
    return sample_count ? samples[(size_t)(share * (sample_count - 1))] / 1e6 : 0.0;
}

int main(int argc, char **argv) {
    if (argc != 10) {
        fprintf(stderr, "raw_load HOST PORT CONNECTIONS IN_FLIGHT SECONDS WARMUP INTERVAL_US ERROR_OFFSET FRAME\n");
        return 2;
    }
    int count = atoi(argv[3]);
    in_flight = atoi(argv[4]);
    double seconds = atof(argv[5]), warmup = atof(argv[6]);
    interval_ns = (uint64_t)atoll(argv[7]) * 1000;
    error_offset = atoi(argv[8]);
    FILE *file = fopen(argv[9], "rb");
    if (!file) die(argv[9]);
    frame = malloc(1 << 20);
    frame_size = fread(frame, 1, 1 << 20, file);
    fclose(file);
    samples = malloc(sizeof *samples * MAX_SAMPLES);

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) die("address");
    int epoll = epoll_create1(0);
    struct connection *all = calloc(count, sizeof *all);
    for (int i = 0; i < count; i++) {
        struct connection *c = &all[i];
        c->fd = socket(AF_INET, SOCK_STREAM, 0);
        int one = 1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) die("connect");
        c->out = malloc(frame_size * in_flight);
        for (int k = 0; k < in_flight; k++) memcpy(c->out + k * frame_size, frame, frame_size);
        c->sent_at = calloc(in_flight, sizeof *c->sent_at);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
        send_requests(c, in_flight);
    }
    run_until(epoll, all, count, now_ns() + (uint64_t)(warmup * 1e9));
    printf("ready\n");
    fflush(stdout);
    if (getchar() == EOF) return 1;
    run_until(epoll, all, count, now_ns() + 50 * 1000 * 1000); /* what lay in the sockets meanwhile is not measured */
    answered = failed = sample_count = 0;
    uint64_t began = now_ns();
    run_until(epoll, all, count, began + (uint64_t)(seconds * 1e9));
    double took = (now_ns() - began) / 1e9;
    qsort(samples, sample_count, sizeof *samples, by_value);
    printf("{\"requests\": %llu, \"failed\": %llu, \"seconds\": %.4f, \"per_second\": %.1f, \"p50_ms\": %.4f, "
           "\"p99_ms\": %.4f, \"p999_ms\": %.4f, \"max_ms\": %.4f}\n",
           (unsigned long long)answered, (unsigned long long)failed, took, answered / took, percentile_ms(0.5),
           percentile_ms(0.99), percentile_ms(0.999), percentile_ms(1.0));
    return 0;
}
