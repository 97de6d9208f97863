"""Transactions: what a coordinator knows of a transactional id, and how requests change it. Pure.

The rules are Kafka 4.3's TransactionCoordinator and TransactionMetadata (KIP-98, KIP-360, KIP-890), in both
generations: the classic one, and transaction.version 2, in which every end of a transaction raises the epoch.
"""
