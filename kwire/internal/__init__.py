"""Records Kafka stores: in internal topics, in the metadata log, in control batches. One module per family."""
