"""Virtual clusters: many isolated clusters in one process, their storage, snapshots, forks and exports."""
