"""Guards of the first batch of a transaction in a partition  (KIP-890; Kafka: VerificationStateEntry).

Before the first transactional batch of a producer is appended, the transaction coordinator is asked whether the
partition belongs to the transaction. A guard is taken before the question and shown with the append: anything
transactional of that producer written in between (a marker, another batch) makes it void, so an answer that came too
late never begins a transaction that nobody would end.
"""

from typing import Final

from attrs import define


@define(slots=True, eq=False)
class VerificationGuard:
    """One verification under way; compared by identity.

    lowest_sequence: of the batches of `epoch` that asked. A higher one is refused until this one was written, else the
    lower one would find itself out of order for ever. must_begin_at_zero: the producer raises its epoch with every
    transaction (transaction.version 2), so the first sequence that a partition without a trace of it sees is 0.
    """

    created_ms: int
    lowest_sequence: int
    epoch: int
    must_begin_at_zero: bool

    def note(self, sequence: int, epoch: int) -> None:
        """Another batch asks under the same guard."""
        if epoch == self.epoch and sequence < self.lowest_sequence:
            self.lowest_sequence = sequence
        elif epoch > self.epoch:
            self.epoch = epoch
            self.lowest_sequence = sequence


UNCHECKED: Final = VerificationGuard(0, 0, 0, False)
"""Shown where nothing is to be verified: replication, tools, `transaction.partition.verification.enable=false`."""
