"""The controller: the cluster's image, the decisions that change it, and the log they are written to."""
