"""The checklist of a discovery server, in state of the world."""
import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.rpc import status_pb2

from puppet import State, make, run

REFUSED = status_pb2.Status(code=13, message="refused")


def wildcards(server):
    """Nothing named is all; then a star, a name, and nothing, which is nothing now."""
    server.set("a", [make("cluster", "1", 1), make("cluster", "2", 1)])
    client = State(server)
    client.ask("cluster")
    client.got("cluster", "1", "2")
    client.ask("cluster", "*", "1")
    client.got("cluster", "1", "2")
    client.ask("cluster", "1")
    client.quiet()
    server.set("a", [make("cluster", "1", 2), make("cluster", "2", 2)])
    client.got("cluster", "1")
    client.ask("cluster")
    client.quiet()
    server.set("a", [make("cluster", "1", 3), make("cluster", "2", 3)])
    client.quiet()


def full_state(server):
    """Clusters and listeners come whole: what is not there is gone, and nothing is nothing."""
    for kind in ("cluster", "listener"):
        server.set(kind, [make(kind, "1", 1), make(kind, "2", 1)])
        client = State(server)
        client.ask(kind)
        client.got(kind, "1", "2")
        server.set(kind, [make(kind, "2", 2)])
        client.got(kind, "1", "2")
        server.set(kind, remove=[(kind, "1")])
        client.got(kind, "2")
        server.set(kind, remove=[(kind, "2")])
        client.got(kind)
        client.quiet()
        client.close()


def what_changed(server):
    """Of other types what changed is enough, and a name named anew is always answered."""
    server.set("a", [make("endpoint", "1", 1), make("endpoint", "2", 1)])
    client = State(server)
    client.ask("endpoint", "1")
    client.got("endpoint", "1")
    client.ask("endpoint", "1", "2")
    client.got("endpoint", "2")
    client.ask("endpoint", "2")
    client.got("endpoint")
    client.ask("endpoint", "1", "2")
    client.got("endpoint", "1")
    server.set("a", [make("endpoint", "2", 2)])
    client.got("endpoint", "2")
    client.quiet()


def stale_nonces(server):
    """A request with an older nonce says nothing, whatever it names or refuses."""
    server.set("a", [make("cluster", "1", 1), make("cluster", "2", 1)])
    client = State(server)
    client.ask("cluster")
    first = client.got("cluster", "1", "2")
    server.set("a", [make("cluster", "1", 2)])
    second = client.hears("cluster", "1", "2")
    client.ask("cluster", "1", nonce=first.nonce)
    client.ask("cluster", nonce=first.nonce, error=REFUSED)
    client.known[first.type_url][0] = ()
    client.answer(second)
    client.quiet()
    server.set("a", [make("cluster", "2", 2)])
    client.got("cluster", "1", "2")


def missing_then_made(server):
    """A name that does not exist is remembered, and a layer that does not exist is empty."""
    client = State(server)
    client.ask("extension", "e")
    client.quiet()
    server.set("a", [make("extension", "e", 1)])
    client.got("extension", "e")
    client.ask("runtime", "r")
    client.got("runtime", "r")
    server.set("a", [make("runtime", "r", 1)])
    client.got("runtime", "r")


def coming_back(server):
    """Who comes back with the version that is here gets nothing of what it asks for whole."""
    server.set("a", [make("cluster", "1", 1)])
    client = State(server)
    client.ask("cluster")
    version = client.got("cluster", "1").version_info
    client.close()
    again = State(server)
    again.ask("cluster", version=version)
    again.quiet()
    server.set("a", [make("cluster", "1", 2)])
    again.got("cluster", "1")
    again.close()
    third = State(server)
    third.ask("cluster", version=version)
    third.got("cluster", "1")


def refusals(server):
    """What is refused is kept back from then on; others go on, and what is mended comes."""
    server.set("good", [make("cluster", "good", 1)])
    client = State(server)
    client.ask("cluster")
    client.got("cluster", "good")
    client.ask("listener")
    client.got("listener")
    server.wait("synced")
    for at, words in enumerate([REFUSED, status_pb2.Status(), status_pb2.Status(code=3)]):
        server.set("bad", [make("cluster", "bad", 10 + at)])
        client.answer(client.hears("cluster", "good", "bad"), words)
        assert server.wait("rejected", "bad") == {"name": "bad", "message": words.message}
        # It may be told once what it has; never what it refused.
        for response in client.rest():
            assert all(client.read(r, response.type_url)[0] == "good" for r in response.resources), (at, response)
            client.answer(response)
        client.quiet()
    server.set("bad", [make("cluster", "bad", 99)])
    client.got("cluster", "good", "bad")
    server.wait("settled", "bad")


def types_are_apart(server):
    """What is not answered of one type holds up no answers of another."""
    server.set("a", [make("cluster", "1", 1), make("listener", "1", 1)])
    client = State(server)
    client.ask("cluster")
    client.hears("cluster", "1")
    client.ask("listener")
    client.got("listener", "1")


def make_before_break(server):
    """A new cluster is there before the route that names it; the old one goes after."""
    server.set("a", [make("cluster", "old", 1), make("route", "r", 1), make("scope", "s", 1)])
    client = State(server)
    client.ask("cluster")
    client.got("cluster", "old")
    client.ask("scope")
    client.got("scope", "s")
    client.ask("route", "r")
    client.got("route", "r")
    client.ask("listener")
    client.got("listener")
    server.wait("synced")
    server.set("a", [make("cluster", "new", 1), make("route", "r", 2)], remove=[("cluster", "old")])
    both = client.hears("cluster", "old", "new")
    client.quiet()
    client.answer(both)
    changed = client.hears("route", "r")
    client.quiet()
    client.answer(changed)
    client.got("cluster", "new")
    client.quiet()


def endpoints_follow(server):
    """A changed cluster is followed by its endpoints, though they are the same."""
    server.set("a", [make("cluster", "1", 1), make("endpoint", "1", 1)])
    client = State(server)
    client.ask("cluster")
    client.got("cluster", "1")
    client.ask("endpoint", "1")
    client.got("endpoint", "1")
    server.wait("synced")
    server.set("a", [make("cluster", "1", 2)])
    held_up = client.hears("cluster", "1")
    client.got("endpoint", "1")
    client.answer(held_up)
    client.quiet()


def without_a_type(server):
    """A request on the aggregated stream tells its type."""
    client = State(server)
    client.send(discovery_pb2.DiscoveryRequest())
    assert client.ended() == grpc.StatusCode.INVALID_ARGUMENT


run([wildcards, full_state, what_changed, stale_nonces, missing_then_made, coming_back, refusals, types_are_apart,
     make_before_break, endpoints_follow, without_a_type])
