"""The same children on the nodes of a Ray cluster."""

from relex.cluster.address import VARIABLE, cluster_address
from relex.cluster.check import check_cluster
from relex.cluster.cluster import Cluster, Node, Slot, open_cluster
from relex.cluster.look import Found, Wanted
