"""`kwire serve`: settings from every source, a broker run until it is told to stop, signals, the ready file."""

from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from attrs import frozen

from broker.cli.logs import configure_logging
from broker.config.broker_config import BASE_SETTINGS
from broker.config.environment import settings_from_environment
from broker.config.sources import ResolvedSettings, SettingsError, explained, read_properties, resolve
from broker.config.values import InvalidConfigError
from broker.start_error import StartError

if TYPE_CHECKING:
    import trio

    from broker.cluster import Cluster
    from broker.config.broker_config import BrokerConfig
    from broker.config.listeners import Address
    from broker.contents.model import Contents
    from broker.deferred import Deferred
    from broker.http.door import HttpSettings

log = logging.getLogger("kwire")

EXIT_CANNOT_START: Final = 1
EXIT_BAD_SETTINGS: Final = 2
EXIT_LEFT: Final = 3
# How long an ephemeral broker whose owner is gone may take to stop.
_PATIENCE_MS: Final = 10_000
_EVERY_INTERFACE: Final = ("", "0.0.0.0", "::")


@frozen
class ServeOptions:
    """The command line of `kwire serve`; None where an option was not given."""

    port: int | None = None
    host: str | None = None
    data_dir: Path | None = None
    ephemeral: bool = False
    properties: Path | None = None
    settings: Mapping[str, str] = {}
    ready_file: Path | None = None
    log_level: str = "INFO"
    stop_with_stdin: bool = False
    http: str | None = None
    http_token: str | None = None
    topics: Sequence[str] = ()
    contents: Sequence[Path] = ()


def flag_settings(options: ServeOptions, given: Mapping[str, str]) -> dict[str, str | None]:
    """The settings the options stand for, None for those they put out of force. given: those of weaker sources.

    --host and --port move the first listener for clients and keep the others. What a weaker source advertises for it
    then holds no more, or clients would be sent to where nobody listens.
    """
    flags: dict[str, str | None] = dict(options.settings)
    if options.data_dir is not None:
        flags["log.dirs"] = str(options.data_dir)
    if options.port is None and options.host is None:
        return flags

    def current(key: str) -> str:
        return options.settings.get(key) or given.get(key) or BASE_SETTINGS.get(key, "")

    of_controller = {name.strip().upper() for name in current("controller.listener.names").split(",")}
    entries = [entry.strip() for entry in current("listeners").split(",")]
    index = next((i for i, entry in enumerate(entries) if _name(entry) not in of_controller), 0)
    moved = _name(entries[index])
    entries[index] = _moved(entries[index], options.host, options.port)
    flags["listeners"] = ",".join(entries)
    advertised = given.get("advertised.listeners", "")
    if advertised and "advertised.listeners" not in options.settings:
        kept = [entry for entry in advertised.split(",") if _name(entry) != moved]
        flags["advertised.listeners"] = ",".join(kept) or None
    return flags


def _name(entry: str) -> str:
    return entry.partition("://")[0].strip().upper()


def _moved(entry: str, host: str | None, port: int | None) -> str:
    name, _, address = entry.partition("://")
    old_host, _, old_port = address.rpartition(":")
    new_host = old_host if host is None else f"[{host}]" if ":" in host else host
    return f"{name}://{new_host}:{old_port if port is None else port}"


def resolve_options(options: ServeOptions, environment: Mapping[str, str]) -> ResolvedSettings:
    """All settings of a start. Raises SettingsError."""
    properties = read_properties(options.properties) if options.properties is not None else {}
    given = {**properties, **settings_from_environment(environment)}
    return resolve(properties, environment, flag_settings(options, given))


def run(options: ServeOptions, environment: Mapping[str, str] = os.environ) -> int:
    """Run a broker until it is told to stop; the process's exit code."""
    configure_logging(options.log_level)
    raise_open_file_limit()
    with _data_directory(options) as placed:
        try:
            resolved = resolve_options(placed, environment)
            http = _http_settings(placed)
            contents = _contents(placed, environment)
        except SettingsError as error:
            print(f"kwire: {error}", file=sys.stderr)
            return EXIT_BAD_SETTINGS
        for warning in resolved.warnings:
            log.warning(warning)
        try:
            _run_until_stopped(resolved.config, placed, http, contents)
        except BaseException as error:
            found = _reason(error)
            if found is None:
                raise
            code, reason = found
            print(f"kwire: {reason}", file=sys.stderr)
            return code
    return 0


def _http_settings(options: ServeOptions) -> HttpSettings | None:
    if options.http is None:
        return None
    from broker.cli.http_option import http_settings

    return http_settings(options.http, options.http_token)


def _contents(options: ServeOptions, environment: Mapping[str, str]) -> Contents | None:
    if not (options.topics or options.contents or environment.get("KAFKA_CREATE_TOPICS")):
        return None
    from broker.cli.contents_option import declared

    return declared(options.topics, options.contents, environment)


def _preparation(contents: Contents | None) -> Callable[[Cluster], Deferred[None]] | None:
    if contents is None:
        return None
    from broker.cli.contents_option import make
    from broker.deferred import start

    return lambda cluster: start(make(cluster, contents))


@contextmanager
def _data_directory(options: ServeOptions) -> Iterator[ServeOptions]:
    if not options.ephemeral:
        yield options
        return
    import shutil
    import tempfile

    from attrs import evolve

    # Whoever kills this process with SIGKILL finds by its id what it left.
    directory = Path(tempfile.mkdtemp(prefix=f"kwire-{os.getpid()}-"))
    try:
        yield evolve(options, data_dir=directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def raise_open_file_limit() -> None:
    """Take all the descriptors the system allows: the soft limit of a shell is made for smaller programs."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _run_until_stopped(
    config: BrokerConfig, options: ServeOptions, http: HttpSettings | None, contents: Contents | None
) -> None:
    import trio

    from broker.server import serve

    def on_ready(addresses: Sequence[Address], http_url: str | None) -> None:
        # What was loaded to get here stays: it need not be looked at by every collection.
        gc.freeze()
        gc.enable()
        if options.ready_file is not None:
            write_ready_file(options.ready_file, addresses, http_url)
        log.info("listening on %s", ", ".join(map(str, addresses)))
        if http_url is not None:
            log.info("control plane at %s", http_url)
        for line in start_lines(config.node_id):
            log.info(line)

    async def main() -> None:
        if options.ready_file is not None:
            prepare_ready_file(options.ready_file)
        stop = trio.Event()
        token = trio.lowlevel.current_trio_token()
        if options.stop_with_stdin:
            _stop_with_owner(stop, token, options)
        with _stop_on_signals(stop, token, options):
            await serve(config, on_ready=on_ready, stop=stop, http=http, prepare=_preparation(contents))
        if options.ready_file is not None:
            options.ready_file.unlink(missing_ok=True)

    trio.run(main)


@contextmanager
def _stop_on_signals(stop: trio.Event, token: trio.lowlevel.TrioToken, options: ServeOptions) -> Iterator[None]:
    """The first SIGTERM or SIGINT sets `stop`, a second one ends the process, whatever it is doing just then."""
    told = False

    def begin_stop(number: int) -> None:
        log.info("%s: stopping; once more leaves at once", signal.Signals(number).name)
        stop.set()

    def on_signal(number: int, _frame: object) -> None:
        nonlocal told
        if not told:
            told = True
            token.run_sync_soon(begin_stop, number)
            return
        # The interrupted code may hold the log's lock or be in the midst of a line: write past it.
        os.write(2, b"kwire: left without a clean shutdown, the next start recovers\n")
        _leave_at_once(options, 128 + number)

    before = [(number, signal.signal(number, on_signal)) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _leave_at_once(options: ServeOptions, code: int) -> NoReturn:
    if options.ephemeral and options.data_dir is not None:
        import shutil

        shutil.rmtree(options.data_dir, ignore_errors=True)
    os._exit(code)


def _stop_with_owner(stop: trio.Event, token: trio.lowlevel.TrioToken, options: ServeOptions) -> None:
    from trio import RunFinishedError

    from broker.cli.owner import watch_owner

    def gone() -> None:
        with suppress(RunFinishedError):
            token.run_sync_soon(stop.set)

    # Nobody is left to wait for what an ephemeral broker still has to do; data that is kept has all the time it needs.
    watch_owner(
        gone,
        patience_ms=_PATIENCE_MS if options.ephemeral else None,
        give_up=lambda: _leave_at_once(options, EXIT_LEFT),
    )


def prepare_ready_file(path: Path) -> None:
    """Remove one that a killed broker left: it would say that this one is ready.

    Raises StartError when no file can be written there: who waits for it would wait for ever.
    """
    partial = _partial(path)
    try:
        path.unlink(missing_ok=True)
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise StartError(f"cannot write the ready file {path}: {error.strerror}") from None


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def write_ready_file(path: Path, addresses: Sequence[Address], http_url: str | None = None) -> None:
    """Write `host:port` of the first listener, and on a second line the control plane's URL where there is one.

    Whoever reads sees all of it or no file.

    Of a listener on every interface the loopback address is told: who reads the file wants to connect.
    """
    first = addresses[0]
    host = "127.0.0.1" if first.host in _EVERY_INTERFACE else f"[{first.host}]" if ":" in first.host else first.host
    partial = _partial(path)
    more = "" if http_url is None else f"{http_url}\n"
    partial.write_text(f"{host}:{first.port}\n{more}", encoding="ascii")
    os.replace(partial, path)


def start_lines(node_id: int) -> list[str]:
    """What Kafka logs, in its order, when a broker is ready; the last line is that of older versions."""
    return [
        f"[BrokerLifecycleManager id={node_id}] The broker has been unfenced. Transitioning from RECOVERY to RUNNING.",
        f"[BrokerServer id={node_id}] Transition from STARTING to STARTED",
        f"[KafkaRaftServer nodeId={node_id}] Kafka Server started",
        f"[KafkaServer id={node_id}] started",
    ]


def _reason(error: BaseException) -> tuple[int, str] | None:
    """Exit code and what to tell the person who started the broker; None for what is a bug."""
    if isinstance(error, BaseExceptionGroup):
        reasons = [_reason(each) for each in error.exceptions]
        return reasons[0] if reasons and None not in reasons else None
    if isinstance(error, StartError):
        return EXIT_CANNOT_START, str(error)
    if isinstance(error, SettingsError):
        return EXIT_BAD_SETTINGS, str(error)
    if isinstance(error, InvalidConfigError):
        return EXIT_BAD_SETTINGS, explained(error)
    if isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES):
        return EXIT_CANNOT_START, str(error)
    return None
