"""Scores over time: peaks, latencies and clusters."""

from brainalign.statistics.time.clusters import Cluster, ClusterTest, cluster_permutation
from brainalign.statistics.time.first_peak import HumpLatency, first_hump, hump_latency
from brainalign.statistics.time.latency import Latency, score_latency
from brainalign.statistics.time.sensors import sensor_adjacency

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
