"""gRPC's own xDS client: a channel to `xds:///svc.test` finds its backend by listener, route configuration, cluster and
endpoints, follows them to another backend, and is told when there is nothing.
"""
import json
import os
import sys
import time
from concurrent import futures

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as manager_pb2

from puppet import PATIENCE, Server


def backend(name):
    """A server with one method, which answers with its name; and its port."""
    answer = grpc.unary_unary_rpc_method_handler(lambda request, context: name.encode())
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Backend", {"Name": answer})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def listener():
    manager = manager_pb2.HttpConnectionManager(stat_prefix="svc")
    manager.rds.route_config_name = "routes"
    manager.rds.config_source.ads.SetInParent()
    manager.rds.config_source.resource_api_version = 2
    manager.http_filters.add(name="router").typed_config.Pack(router_pb2.Router())
    message = listener_pb2.Listener(name="svc.test")
    message.api_listener.api_listener.Pack(manager)
    return message


def routes(cluster):
    message = route_pb2.RouteConfiguration(name="routes")
    host = message.virtual_hosts.add(name="all", domains=["*"])
    route = host.routes.add()
    route.match.prefix = ""
    route.route.cluster = cluster
    return message


def cluster(name):
    message = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS)
    message.eds_cluster_config.eds_config.ads.SetInParent()
    message.eds_cluster_config.eds_config.resource_api_version = 2
    return message


def endpoints(name, port):
    message = endpoint_pb2.ClusterLoadAssignment(cluster_name=name)
    place = message.endpoints.add()
    place.load_balancing_weight.value = 1
    place.locality.region = "here"
    address = place.lb_endpoints.add().endpoint.address.socket_address
    address.address, address.port_value = "127.0.0.1", port
    return message


def until(call, expected):
    """Calls until the answer is this; meanwhile no call fails."""
    end = time.monotonic() + PATIENCE
    while (answer := call(b"", timeout=PATIENCE, wait_for_ready=True).decode()) != expected:
        assert time.monotonic() < end, f"{answer} instead of {expected}"


server = Server()
# So that it takes notice of `resource_errors`, and of a listener that goes.
os.environ["GRPC_EXPERIMENTAL_XDS_DATA_ERROR_HANDLING"] = "true"
os.environ["GRPC_XDS_BOOTSTRAP_CONFIG"] = json.dumps({
    "xds_servers": [{"server_uri": server.address, "channel_creds": [{"type": "insecure"}], 
                     "server_features": ["xds_v3", "fail_on_data_errors"]}],
    "node": {"id": "grpc-1", "cluster": "edge"},
})
(one, one_port), (two, two_port) = backend("one"), backend("two")
server.set("svc", [listener(), routes("first"), cluster("first"), endpoints("first", one_port)])

channel = grpc.insecure_channel("xds:///svc.test")
call = channel.unary_unary("/test.Backend/Name")
until(call, "one")
server.wait("synced")
print("ok it finds its backend", file=sys.stderr)

server.set("svc", [endpoints("first", two_port)])
server.wait("settled", "svc")
until(call, "two")
print("ok it follows the endpoints", file=sys.stderr)

server.set("svc", [routes("second"), cluster("second"), endpoints("second", one_port)],
           remove=[("cluster", "first"), ("endpoint", "first")])
until(call, "one")
print("ok it follows the route to another cluster", file=sys.stderr)

server.set("svc", remove=[("listener", "svc.test")])
end = time.monotonic() + PATIENCE
while True:
    try:
        call(b"", timeout=PATIENCE)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        break
    assert time.monotonic() < end, "the listener is gone"
print("ok it is told when there is nothing", file=sys.stderr)
# A listener that never was: the client is told, and need not wait until it gives up by itself.
try:
    grpc.insecure_channel("xds:///none.test").unary_unary("/test.Backend/Name")(b"", timeout=PATIENCE)
    raise AssertionError("it was answered")
except grpc.RpcError as error:
    assert "there is no such resource" in error.details(), error
print("ok it is told what there never was", file=sys.stderr)
channel.close()
one.stop(None)
two.stop(None)
