"""Scores over time: peaks, latencies and clusters."""

from brainalign.statistics.time.clusters import Cluster, ClusterTest, cluster_permutation, sensor_adjacency
from brainalign.statistics.time.latency import HumpLatency, Latency, first_hump, hump_latency, score_latency

__all__ = [
    "Cluster",
    "ClusterTest",
    "HumpLatency",
    "Latency",
    "cluster_permutation",
    "first_hump",
    "hump_latency",
    "score_latency",
    "sensor_adjacency",
]
