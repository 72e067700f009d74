"""How a proxy stands, by the published client of the client status discovery service: each resource's condition."""
import json
import sys

import grpc
from envoy.service.status.v3 import csds_pb2, csds_pb2_grpc

address, node = sys.argv[1:]
request = csds_pb2.ClientStatusRequest()
request.node_matchers.add().node_id.exact = node
stub = csds_pb2_grpc.ClientStatusDiscoveryServiceStub(grpc.insecure_channel(address))
told = {}
for client in stub.FetchClientStatus(request, timeout=20).config:
    assert client.node.id == node, client.node
    for it in client.generic_xds_configs:
        state = csds_pb2.ConfigStatus.Name(it.config_status)
        told[f"{it.type_url.rsplit('.', 1)[1]} {it.name}"] = [state, it.error_state.details]
print(json.dumps(told))
