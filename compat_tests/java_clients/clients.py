"""The driver's clients as Python objects, one fixture per test: what a test opened is closed after it."""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from attrs import frozen

from compat_tests.java_clients.jvm import Jvm, java_command

Partition = tuple[str, int]
EVENTUALLY_S = 20.0


def eventually(ask: Callable[[], Any], expected: Any, patience_s: float = EVENTUALLY_S) -> None:
    """Ask until the answer is `expected`; what a broker does in its own time has no other end to wait for."""
    deadline = time.monotonic() + patience_s
    while (answer := ask()) != expected:
        assert time.monotonic() < deadline, f"after {patience_s} s it is {answer}, not {expected}"
        time.sleep(0.02)


@frozen
class ToolResult:
    """What a command line tool printed, and its exit status."""

    status: int
    out: str
    err: str


class Producer:
    """A KafkaProducer with byte array serializers; texts are UTF-8."""

    def __init__(self, jvm: Jvm, lane: str, config: dict[str, str]) -> None:
        self._jvm, self._lane = jvm, lane
        jvm.call("producer.new", lane=lane, config=config)

    def send(self, *records: dict[str, Any]) -> list[dict[str, Any]]:
        """Send all, flush, wait: per record partition, offset and timestamp, or error."""
        answers: list[dict[str, Any]] = self._jvm.call("producer.send", lane=self._lane, records=list(records))
        return answers

    def send_values(self, topic: str, *values: str | None, partition: int | None = None) -> list[dict[str, Any]]:
        return self.send(*({"topic": topic, "value": value, "partition": partition} for value in values))

    def send_many(self, topic: str, prefix: str, count: int, **more: Any) -> "Future[dict[str, Any]]":
        """Values prefix0, prefix1, ...: how many were acknowledged, and the first error."""
        return self._jvm.submit("producer.send_many", lane=self._lane, topic=topic, prefix=prefix, count=count, **more)

    def partitions(self, topic: str) -> int:
        count: int = self._jvm.call("producer.partitions", lane=self._lane, topic=topic)
        return count

    def do(self, name: str, **arguments: Any) -> Any:
        """Any operation of Producers.java."""
        return self._jvm.call(f"producer.{name}", lane=self._lane, **arguments)

    def init_transactions(self) -> None:
        self.do("init_transactions")

    def begin(self, topic: str | None = None, *values: str, partition: int | None = 0) -> None:
        """Open a transaction, with these records in it."""
        self.do("begin")
        if topic is not None:
            answers = self.send_values(topic, *values, partition=partition)
            assert all("error" not in answer for answer in answers), answers

    def commit(self) -> None:
        self.do("commit")

    def abort(self) -> None:
        self.do("abort")

    def metric(self, name: str) -> Any:
        return self._jvm.call("producer.metric", lane=self._lane, name=name)

    def close(self) -> None:
        self._jvm.call("producer.close", lane=self._lane)


class Consumer:
    """A KafkaConsumer. `do(name, ...)` calls any operation of Consumers.java in its lane."""

    def __init__(self, jvm: Jvm, lane: str, config: dict[str, str]) -> None:
        self._jvm, self.lane = jvm, lane
        jvm.call("consumer.new", lane=lane, config=config)

    def do(self, name: str, **arguments: Any) -> Any:
        return self._jvm.call(f"consumer.{name}", lane=self.lane, **arguments)

    def start(self, name: str, **arguments: Any) -> "Future[Any]":
        return self._jvm.submit(f"consumer.{name}", lane=self.lane, **arguments)

    def subscribe(self, *topics: str) -> None:
        self.do("subscribe", topics=topics)

    def assign(self, *partitions: Partition) -> None:
        self.do("assign", partitions=partitions)

    def poll(self, count: int, timeout_ms: int = 15000) -> list[dict[str, Any]]:
        """Records until `count` are there or the time is over."""
        records: list[dict[str, Any]] = self.do("poll", count=count, timeout_ms=timeout_ms)
        return records

    def values(self, count: int, timeout_ms: int = 15000) -> list[str | None]:
        return [record["value"] for record in self.poll(count, timeout_ms)]

    def wait_for_assignment(self, count: int) -> None:
        """Poll until exactly `count` partitions are assigned."""
        self.do("poll", assigned=count, timeout_ms=20000)
        assigned = self.do("assignment")
        assert len(assigned) == count, f"{count} partitions expected, assigned are {assigned}"

    def wakeup(self) -> None:
        """From outside the consumer's own thread."""
        self._jvm.call("consumer.wakeup", name=self.lane)

    def assigned_now(self) -> int:
        """How many partitions it has, while `start("poll_until_stopped")` runs."""
        count: int = self._jvm.call("consumer.assigned_now", name=self.lane)
        return count

    def stop_polling(self) -> None:
        """Ends `start("poll_until_stopped")`."""
        self._jvm.call("consumer.stop_polling", name=self.lane)

    def close(self) -> None:
        self.do("close")


class Java:
    """What a test uses: clients of one broker, its tools, and the names it made up."""

    def __init__(self, jvm: Jvm, bootstrap: str, fresh_name: Callable[[str], str]) -> None:
        self.jvm, self.bootstrap = jvm, bootstrap
        self.fresh_name = fresh_name
        self._opened: list[Producer | Consumer] = []
        self._streams: list[str] = []
        self.security: dict[str, str] = {}

    def _config(self, more: dict[str, str]) -> dict[str, str]:
        return {"bootstrap.servers": self.bootstrap, **self.security, **more}

    def producer(self, **config: str) -> Producer:
        """A producer; settings with underscores for dots."""
        made = Producer(self.jvm, self.fresh_name("producer"), self._config(_dotted(config)))
        self._opened.append(made)
        return made

    def consumer(self, group: str | None = None, **config: str) -> Consumer:
        """A consumer that reads from the beginning, in `group` when given."""
        settings = {"auto.offset.reset": "earliest", "enable.auto.commit": "false", **_dotted(config)}
        if group is not None:
            settings["group.id"] = group
        made = Consumer(self.jvm, self.fresh_name("consumer"), self._config(settings))
        self._opened.append(made)
        return made

    def admin(self, op: str, **arguments: Any) -> Any:
        """An operation of the Admin client (see Admin*.java)."""
        return self.jvm.call(f"admin.{op}", config=self._config({}), **arguments)

    def create_topic(self, stem: str = "topic", partitions: int = 1, **configs: str) -> str:
        """A new topic; configs with underscores for dots.

        Returns once every partition has its leader: on Kafka an idempotent producer that is earlier than that may
        have its first batch refused and its second taken, and never recovers.
        """
        name = self.fresh_name(stem)
        topic = {"name": name, "partitions": partitions, "configs": _dotted(configs)}
        answer = self.admin("create_topics", topics=[topic])[name]
        assert "class" not in answer, answer
        self.admin("list_offsets", specs=[(name, partition, "latest") for partition in range(partitions)])
        return name

    def tool(self, main: str, *arguments: str, stdin: str = "", check: bool = True) -> ToolResult:
        """Run `main` of a tool; with `check` its status must be 0."""
        if "." not in main:
            main = f"org.apache.kafka.tools.{main}"
        result = ToolResult(**self.jvm.call("tool", main=main, args=arguments, stdin=stdin))
        assert not check or result.status == 0, f"{main} ended with {result.status}:\n{result.out}\n{result.err}"
        return result

    def tool_process(self, main: str, *arguments: str) -> ToolResult:
        """The same in a JVM of its own, for tools that finish their work only when their JVM ends."""
        done = subprocess.run(
            java_command(f"org.apache.kafka.tools.{main}", *arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{main} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return ToolResult(done.returncode, done.stdout, done.stderr)

    def start_streams(self, input_topic: str, output_topic: str, *, fail_on: str = "", **config: str) -> str:
        """Start the word count; its handle for `close_streams`. fail_on: the word at which a thread dies once."""
        lane = self.fresh_name("streams")
        self._streams.append(lane)
        state = self.jvm.call(
            "streams.start",
            lane=lane,
            input=input_topic,
            output=output_topic,
            fail_on=fail_on,
            config=self._config(_dotted(config)),
        )
        assert state == "RUNNING", f"the Streams application is {state}"
        return lane

    def close_streams(self, lane: str) -> bool:
        self._streams.remove(lane)
        closed: bool = self.jvm.call("streams.close", lane=lane)
        return closed

    def close(self) -> None:
        for lane in list(self._streams):
            self.close_streams(lane)
        for client in reversed(self._opened):
            client.close()


def _dotted(config: dict[str, str]) -> dict[str, str]:
    return {key.replace("_", "."): value for key, value in config.items()}
