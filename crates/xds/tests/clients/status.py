"""How clients stand, asked by the published client status discovery service."""
import sys

import grpc
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

from puppet import PATIENCE, Server, url

server = Server()
stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(grpc.insecure_channel(server.address))


def ask(**matcher):
    request = csds_pb2.ClientStatusRequest()
    if matcher:
        request.node_matchers.add().node_id.MergeFrom(type(request.node_matchers.add().node_id)(**matcher))
        del request.node_matchers[1:]
    return request


def nodes(request):
    return [config.node.id for config in stub.FetchClientStatus(request, timeout=PATIENCE).config]


assert nodes(ask()) == ["envoy-1", "envoy-2"]
assert nodes(ask(exact="envoy-2")) == ["envoy-2"]
assert nodes(ask(prefix="ENVOY", ignore_case=True)) == ["envoy-1", "envoy-2"]
assert nodes(ask(suffix="-9")) == []
print("ok clients are found by their ids", file=sys.stderr)

(client,) = stub.FetchClientStatus(ask(exact="envoy-1"), timeout=PATIENCE).config
assert client.node.cluster == "edge"
told = {it.name: (csds_pb2.ConfigStatus.Name(it.config_status), it.version_info) for it in client.generic_xds_configs}
assert told == {
    "synced": ("SYNCED", "1.7-synced"), "stale": ("STALE", "1.7-stale"),
    "refused": ("ERROR", "1.7-refused"), "unsent": ("NOT_SENT", "1.7-unsent"),
}, told
for it in client.generic_xds_configs:
    assert it.type_url == url("cluster") and not it.HasField("xds_config"), "a body is never told"
    assert it.HasField("error_state") == (it.name == "refused")
    assert it.error_state.details == ("no such port" if it.name == "refused" else "")
print("ok each resource has its condition", file=sys.stderr)

several = stub.StreamClientStatus(iter([ask(exact="envoy-1"), ask(exact="envoy-2")]), timeout=PATIENCE)
assert [answer.config[0].node.id for answer in several] == ["envoy-1", "envoy-2"]
print("ok a stream is asked again", file=sys.stderr)

request = csds_pb2.ClientStatusRequest()
request.node_matchers.add().node_id.safe_regex.regex = "envoy-.*"
try:
    stub.FetchClientStatus(request, timeout=PATIENCE)
    raise AssertionError("a regular expression was served")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
print("ok what is not served is refused", file=sys.stderr)
