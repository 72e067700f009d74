"""The strings of the server under test, and streams of both protocols on the published types."""
import json
import queue
import sys
import threading
import time

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2, scoped_route_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from envoy.service.runtime.v3 import rtds_pb2

# Long enough for a busy machine; nothing waits this long when all is well.
PATIENCE = 30

KINDS = {
    "cluster": cluster_pb2.Cluster,
    "endpoint": endpoint_pb2.ClusterLoadAssignment,
    "listener": listener_pb2.Listener,
    "route": route_pb2.RouteConfiguration,
    "scope": scoped_route_pb2.ScopedRouteConfiguration,
    "secret": secret_pb2.Secret,
    "extension": extension_pb2.TypedExtensionConfig,
    "runtime": rtds_pb2.Runtime,
}


def url(kind):
    message = KINDS.get(kind)
    return "type.googleapis.com/" + (message.DESCRIPTOR.full_name if message else kind)


def name_of(message):
    return message.cluster_name if isinstance(message, endpoint_pb2.ClusterLoadAssignment) else message.name


def make(kind, name, mark):
    """A small message of a kind, in which `mark` can be read again."""
    message = KINDS[kind]()
    if kind == "endpoint":
        message.cluster_name = name
        message.policy.overprovisioning_factor.value = 100 + mark
    else:
        message.name = name
    if kind == "cluster":
        message.connect_timeout.seconds = 1 + mark
    if kind == "listener":
        message.stat_prefix = str(mark)
    if kind == "route":
        message.max_direct_response_body_size_bytes.value = 1 + mark
    if kind == "scope":
        message.route_configuration_name = str(mark)
    if kind == "extension":
        message.typed_config.type_url = str(mark)
    if kind == "runtime":
        message.layer["mark"] = mark
    if kind == "secret":
        message.generic_secret.secret.inline_string = str(mark)
    return message


class Server:
    """The server under test, by lines to and from whoever started this process."""

    def __init__(self):
        self.address = self._ask({"fresh": True})["address"]

    def _ask(self, line):
        print(json.dumps(line), flush=True)
        answer = sys.stdin.readline()
        assert answer, "the server is gone"
        return json.loads(answer)

    def set(self, owner, set=(), remove=()):
        """In one change, an owner's messages come or change, and `(kind, name)`s go."""
        kinds = {message: kind for kind, message in KINDS.items()}
        resources = [[url(kinds[type(m)]), name_of(m), m.SerializeToString().hex()] for m in set]
        return self._ask({"set": owner, "resources": resources, "remove": [[url(k), n] for k, n in remove]})["seq"]

    def wait(self, what, owner=""):
        return self._ask({"await": what, "owner": owner})


class Stream:
    """A stream of either protocol that does what a script says, and holds every response to what must always be true."""

    method = request = None

    def __init__(self, server, node="python-1", cluster="edge"):
        self.channel = grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(self.channel)
        self.out, self.heard = queue.SimpleQueue(), queue.SimpleQueue()
        self.node, self.nonces, self.pings = (node, cluster), set(), 0
        self.call = getattr(stub, self.method)(iter(self.out.get, None))
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for response in self.call:
                self.heard.put(response)
            self.heard.put(None)
        except grpc.RpcError as error:
            self.heard.put(error)

    def send(self, request):
        if self.node:
            # Only the first request is sure to tell the node.
            request.node.id, request.node.cluster = self.node
            self.node = None
        self.out.put(request)

    def next(self):
        response = self.heard.get(timeout=PATIENCE)
        assert not isinstance(response, grpc.RpcError), response
        assert response is not None, "the stream ended"
        assert response.nonce and response.nonce not in self.nonces, "a nonce is new"
        self.nonces.add(response.nonce)
        self.check(response)
        return response

    def ended(self):
        """How the stream ends, whatever is said before."""
        while True:
            end = self.heard.get(timeout=PATIENCE)
            if end is None or isinstance(end, grpc.RpcError):
                return end.code() if end else grpc.StatusCode.OK

    def quiet(self):
        """The server has nothing to say unasked."""
        rest = self.rest()
        assert not rest, f"unasked: {rest}"

    def close(self):
        self.out.put(None)
        self.call.cancel()
        self.channel.close()

    def read(self, resource, type_url):
        """A body's name, and the message; what it says it is, it is."""
        assert resource.type_url == type_url, (resource.type_url, type_url)
        message = next(m for k, m in KINDS.items() if url(k) == type_url)()
        message.ParseFromString(resource.value)
        return name_of(message), message


class Delta(Stream):
    method = "DeltaAggregatedResources"

    def check(self, response):
        names = [r.name for r in response.resources] + list(response.removed_resources)
        assert len(names) == len(set(names)), f"a name twice: {names}"
        for resource in response.resources:
            assert resource.version, "a version each"
            assert self.read(resource.resource, response.type_url)[0] == resource.name

    def ask(self, kind, *names, leave=(), held=None, nonce="", error=None):
        request = discovery_pb2.DeltaDiscoveryRequest(
            type_url=url(kind), resource_names_subscribe=names, resource_names_unsubscribe=leave,
            initial_resource_versions=held or {}, response_nonce=nonce)
        if error is not None:
            request.error_detail.CopyFrom(error)
        self.send(request)

    def answer(self, response, error=None):
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if error is not None:
            request.error_detail.CopyFrom(error)
        self.send(request)

    def got(self, kind, *items):
        """The next response, which is exactly this (`-name` when removed), acknowledged."""
        response = self.hears(kind, *items)
        self.answer(response)
        return response

    def hears(self, kind, *items):
        response = self.next()
        assert response.type_url == url(kind), response
        found = {r.name for r in response.resources} | {"-" + n for n in response.removed_resources}
        assert found == set(items), (found, items)
        return response

    def rest(self):
        self.pings += 1
        # A name that does not exist is answered at once.
        self.ask("test.Ping", f"ping-{self.pings}")
        rest = []
        while (response := self.next()).type_url != url("test.Ping"):
            rest.append(response)
        self.answer(response)
        return rest


class State(Stream):
    method = "StreamAggregatedResources"

    def __init__(self, server, **node):
        super().__init__(server, **node)
        self.known = {}

    def check(self, response):
        names = [self.read(r, response.type_url)[0] for r in response.resources]
        assert len(names) == len(set(names)), f"a name twice: {names}"
        assert response.version_info, "a version"

    def ask(self, kind, *names, version=None, nonce=None, error=None):
        """Exactly these names."""
        known = self.known.setdefault(url(kind), [(), "", ""])
        known[0] = names
        self._send(url(kind), known[1] if version is None else version, known[2] if nonce is None else nonce, error)

    def answer(self, response, error=None):
        known = self.known[response.type_url]
        known[1:] = [known[1] if error is not None else response.version_info, response.nonce]
        self._send(response.type_url, known[1], known[2], error)

    def _send(self, type_url, version, nonce, error):
        request = discovery_pb2.DiscoveryRequest(
            type_url=type_url, resource_names=self.known[type_url][0], version_info=version, response_nonce=nonce)
        if error is not None:
            request.error_detail.CopyFrom(error)
        self.send(request)

    def got(self, kind, *names):
        response = self.hears(kind, *names)
        self.answer(response)
        return response

    def hears(self, kind, *names):
        response = self.next()
        assert response.type_url == url(kind), response
        found = {self.read(r, response.type_url)[0] for r in response.resources}
        assert found == set(names), (found, names)
        return response

    def rest(self):
        self.pings += 1
        # Everything of a type that nobody knows is answered, with nothing.
        ping = f"test.Ping{self.pings}"
        self.ask(ping)
        rest = []
        while (response := self.next()).type_url != url(ping):
            rest.append(response)
        self.answer(response)
        return rest


def run(scenarios):
    """Each scenario with a server of its own; all are tried, and what fails is told."""
    failed = 0
    for scenario in scenarios:
        begun = time.monotonic()
        try:
            scenario(Server())
        except Exception:
            import traceback
            failed += 1
            print(f"FAILED {scenario.__name__}: {scenario.__doc__}", file=sys.stderr)
            traceback.print_exc()
        else:
            print(f"ok {scenario.__name__} ({time.monotonic() - begun:.2f} s)", file=sys.stderr)
    sys.exit(1 if failed else 0)
