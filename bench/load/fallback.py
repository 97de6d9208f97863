"""The load generators in Python, for machines without a C compiler: same arguments, same output, slower.

python -m bench.load.fallback raw_load|rdkafka_load ...      (arguments as in the C sources)
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time
from pathlib import Path

import confluent_kafka
from confluent_kafka import Consumer, Producer, TopicPartition

_RECORDS_A_TRANSACTION = 10


def _wait_for_start() -> None:
    print("ready", flush=True)
    if not sys.stdin.readline():
        raise SystemExit(1)


def _percentiles(took_ms: list[float]) -> dict[str, float]:
    took_ms.sort()
    last = len(took_ms) - 1
    shares = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999, "max_ms": 1.0}
    return {name: took_ms[int(share * last)] if took_ms else 0.0 for name, share in shares.items()}


class _Connection:
    """One socket with `in_flight` requests on their way."""

    def __init__(self, address: tuple[str, int], frame: bytes, in_flight: int) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head, self.tail = frame[:8], frame[12:]
        self.sent_at: dict[int, float] = {}
        self.next = 0
        self.buffer = bytearray()
        self.due_at: float | None = None
        self.send(in_flight)

    def send(self, count: int) -> None:
        now = time.perf_counter()
        parts = []
        for _ in range(count):
            parts += [self.head, struct.pack(">I", self.next), self.tail]
            self.sent_at[self.next] = now
            self.next = (self.next + 1) & 0xFFFFFFFF
        self.sock.sendall(b"".join(parts))
        self.due_at = None

    def answers(self) -> list[bytes]:
        data = self.sock.recv(65536)
        if not data:
            raise SystemExit("closed by the broker")
        self.buffer += data
        found = []
        while len(self.buffer) >= 4:
            size = 4 + int.from_bytes(self.buffer[:4], "big")
            if len(self.buffer) < size:
                break
            found.append(bytes(self.buffer[:size]))
            del self.buffer[:size]
        return found


def _raw_load(arguments: list[str]) -> None:
    host, port = arguments[0], int(arguments[1])
    count, in_flight = int(arguments[2]), int(arguments[3])
    seconds, warmup, interval = float(arguments[4]), float(arguments[5]), int(arguments[6]) / 1e6
    error_offset, frame = int(arguments[7]), Path(arguments[8]).read_bytes()
    poll = select.epoll()
    connections = {}
    for _ in range(count):
        made = _Connection((host, port), frame, in_flight)
        connections[made.sock.fileno()] = made
        poll.register(made.sock, select.EPOLLIN)
    took_ms: list[float] = []
    failed = 0

    def run_until(end: float) -> None:
        nonlocal failed
        while (now := time.perf_counter()) < end:
            wake = end
            if interval:
                for each in connections.values():
                    if each.due_at is not None and each.due_at <= now:
                        each.send(in_flight)
                    elif each.due_at is not None:
                        wake = min(wake, each.due_at)
            for descriptor, _ in poll.poll(wake - now):
                connection = connections[descriptor]
                answers = connection.answers()
                now = time.perf_counter()
                for answer in answers:
                    sent_at = connection.sent_at.pop(int.from_bytes(answer[4:8], "big"))
                    took_ms.append((now - sent_at) * 1e3)
                    if error_offset >= 0 and answer[error_offset : error_offset + 2] != b"\0\0":
                        failed += 1
                if answers and interval:
                    connection.due_at = now + interval
                elif answers:
                    connection.send(len(answers))

    run_until(time.perf_counter() + warmup)
    _wait_for_start()
    run_until(time.perf_counter() + 0.05)
    took_ms.clear()
    failed = 0
    began = time.perf_counter()
    run_until(began + seconds)
    took = time.perf_counter() - began
    rate = {"requests": len(took_ms), "failed": failed, "seconds": took, "per_second": len(took_ms) / took}
    print(json.dumps({**rate, **_percentiles(took_ms)}), flush=True)


class _Rdkafka:
    """The modes of rdkafka_load on confluent-kafka."""

    def __init__(self, arguments: list[str]) -> None:
        self.mode, self.topic, self.partitions = arguments[1], arguments[2], int(arguments[3])
        self.count, self.warmup, self.size = int(arguments[4]), int(arguments[5]), int(arguments[7])
        data = Path(arguments[6]).read_bytes()
        self.values = [data[at : at + self.size] for at in range(0, len(data) - self.size + 1, self.size)]
        self.settings = dict(each.split("=", 1) for each in arguments[8:])
        self.delivered = self.failed = 0
        if self.mode != "consume":
            self.producer = Producer(self._settings("producer."))
        if self.mode in ("consume", "through"):
            self.consumer = Consumer({**self._settings("consumer."), "group.id": "bench"})
            start = confluent_kafka.OFFSET_BEGINNING
            self.consumer.assign([TopicPartition(self.topic, i, start) for i in range(self.partitions)])

    def _settings(self, side: str) -> dict[str, str | int | float | bool]:
        other = "consumer." if side == "producer." else "producer."
        return {key.removeprefix(side): value for key, value in self.settings.items() if not key.startswith(other)}

    def _on_delivery(self, error: object, _message: object) -> None:
        self.delivered += 1
        self.failed += error is not None

    def produce(self, count: int, until_closed: bool = False) -> int:
        sent, values = 0, self.values
        partition = 0 if self.partitions == 1 else -1
        while sent < count or (until_closed and not select.select([sys.stdin], [], [], 0)[0]):
            for _ in range(1000):
                try:
                    self.producer.produce(
                        self.topic, values[sent % len(values)], partition=partition, on_delivery=self._on_delivery
                    )
                    sent += 1
                except BufferError:
                    self.producer.poll(0.001)
                if sent == count and not until_closed:
                    break
            self.producer.poll(0)
        self.producer.flush(60)
        return sent

    def consume(self, count: int) -> None:
        while count > 0:
            for message in self.consumer.consume(min(count, 1000), 0.2):
                if message.error() is None:
                    count -= 1

    def one_by_one(self, count: int) -> list[float]:
        took_ms = []
        for number in range(count):
            began = time.perf_counter()
            self.delivered = 0
            value = self.values[number % len(self.values)]
            self.producer.produce(self.topic, value, partition=0, on_delivery=self._on_delivery)
            if self.mode == "through":
                self.consume(1)
                took_ms.append((time.perf_counter() - began) * 1e3)
            while not self.delivered:
                self.producer.poll(1)
            if self.mode == "one":
                took_ms.append((time.perf_counter() - began) * 1e3)
        return took_ms

    def transactions(self, count: int) -> list[float]:
        took_ms = []
        for _ in range(count):
            self.producer.begin_transaction()
            for number in range(_RECORDS_A_TRANSACTION):
                value = self.values[number % len(self.values)]
                self.producer.produce(
                    self.topic, value, partition=number % self.partitions, on_delivery=self._on_delivery
                )
            began = time.perf_counter()
            self.producer.commit_transaction(60)
            took_ms.append((time.perf_counter() - began) * 1e3)
        return took_ms

    def run(self) -> None:
        if self.mode == "txn":
            self.producer.init_transactions(60)
            self.transactions(self.warmup)
            _wait_for_start()
            began = time.perf_counter()
            took_ms = self.transactions(self.count)
            rate = self.count / (time.perf_counter() - began)
            figures = {"transactions": self.count, "failed": self.failed, "per_second": rate}
            print(json.dumps({**figures, **_percentiles(took_ms)}), flush=True)
            return
        if self.mode in ("one", "through"):
            self.one_by_one(self.warmup)
            _wait_for_start()
            took_ms = self.one_by_one(self.count)
            print(json.dumps({"records": self.count, "failed": self.failed, **_percentiles(took_ms)}), flush=True)
            return
        work = self.consume if self.mode == "consume" else self.produce
        work(self.warmup)
        _wait_for_start()
        began = time.perf_counter()
        if self.mode == "flood":
            self.count = self.produce(0, until_closed=True)
        else:
            work(self.count)
        seconds = time.perf_counter() - began
        rate = {"records_per_second": self.count / seconds, "mb_per_second": self.count * self.size / seconds / 1e6}
        totals = {"records": self.count, "bytes": self.count * self.size, "failed": self.failed, "seconds": seconds}
        print(json.dumps({**totals, **rate}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "raw_load":
        _raw_load(sys.argv[2:])
    else:
        _Rdkafka(sys.argv[2:]).run()
