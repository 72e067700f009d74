"""The checklist of a discovery server, in delta."""
import grpc
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import any_pb2, wrappers_pb2
from google.rpc import status_pb2

from puppet import Delta, make, run, url

REFUSED = status_pb2.Status(code=13, message="refused")


def legacy_wildcard(server):
    """A first request that names nothing is for all clusters; then only what changes comes."""
    server.set("a", [make("cluster", "1", 1), make("cluster", "2", 1)])
    client = Delta(server)
    client.ask("cluster")
    client.got("cluster", "1", "2")
    server.set("a", [make("cluster", "1", 1), make("cluster", "2", 2)])
    client.got("cluster", "2")
    server.set("a", remove=[("cluster", "1")])
    client.got("cluster", "-1")
    client.quiet()


def explicit_wildcard(server):
    """A star is for all; it can be left, and what is named beside it stays."""
    server.set("a", [make("listener", "1", 1), make("listener", "2", 1)])
    client = Delta(server)
    client.ask("listener", "*", "1")
    client.got("listener", "1", "2")
    client.ask("listener", leave=["*"])
    client.quiet()
    server.set("a", [make("listener", "1", 2), make("listener", "2", 2)])
    client.got("listener", "1")
    client.quiet()


def beside_the_star(server):
    """A name that is left under a star is answered: with itself, or as removed."""
    server.set("a", [make("cluster", "1", 1)])
    client = Delta(server)
    client.ask("cluster", "*")
    client.got("cluster", "1")
    client.ask("cluster", "1", "no")
    found = {n for r in client.rest() for n in [x.name for x in r.resources] + ["-" + x for x in r.removed_resources]}
    assert found == {"1", "-no"}, found
    client.ask("cluster", leave=["1", "no"])
    found = {n for r in client.rest() for n in [x.name for x in r.resources] + ["-" + x for x in r.removed_resources]}
    assert found == {"1", "-no"}, found


def silence_of_named_types(server):
    """Endpoints, route configurations and secrets are never asked for by silence."""
    server.set("a", [make("endpoint", "1", 1), make("route", "1", 1), make("secret", "1", 1)])
    client = Delta(server)
    for kind in ("endpoint", "route", "secret"):
        client.ask(kind)
    client.quiet()


def negative_answers(server):
    """A name that does not exist is told at once, and again when it comes and goes."""
    client = Delta(server)
    for kind in ("cluster", "endpoint", "listener", "scope", "runtime"):
        client.ask(kind, "no")
        (error,) = client.got(kind, "-no").resource_errors
        assert (error.resource_name.name, error.error_detail.code) == ("no", 5), error
        server.set(kind, [make(kind, "no", 1)])
        client.got(kind, "no")
        server.set(kind, remove=[(kind, "no")])
        client.got(kind, "-no")
    client.ask("route", "no")
    blank = client.got("route", "no").resources[0]
    assert not client.read(blank.resource, url("route"))[1].virtual_hosts
    client.quiet()


def secrets_in_clear(server):
    """Who has not shown who it is gets no secret: it is answered as one that does not exist."""
    server.set("a", [make("secret", "1", 1), make("secret", "2", 1)])
    client = Delta(server)
    client.ask("secret", "1")
    client.got("secret", "-1")
    client.ask("secret", "*", "2")
    client.got("secret", "-*", "-2")
    server.set("a", [make("secret", "1", 2)])
    client.quiet()


def asked_again(server):
    """What is named again is sent again; what is left and never was named is no mistake."""
    server.set("a", [make("endpoint", "1", 1), make("endpoint", "2", 1)])
    client = Delta(server)
    client.ask("endpoint", "1")
    client.got("endpoint", "1")
    client.ask("endpoint", "1")
    client.got("endpoint", "1")
    client.ask("endpoint", leave=["1", "phantom"])
    client.quiet()
    server.set("a", [make("endpoint", "1", 2), make("endpoint", "2", 2)])
    client.quiet()
    client.ask("endpoint", "1")
    client.got("endpoint", "1")


def stale_nonces(server):
    """A nonce that is not known says nothing, but what is asked beside it counts."""
    server.set("a", [make("endpoint", "1", 1), make("cluster", "c", 1)])
    client = Delta(server)
    client.ask("cluster")
    first = client.got("cluster", "c")
    client.ask("endpoint", "1", nonce="never-given")
    client.got("endpoint", "1")
    client.ask("endpoint", nonce=first.nonce, error=REFUSED)
    client.ask("cluster", nonce=first.nonce, error=REFUSED)
    client.ask("cluster", nonce="", error=REFUSED)
    client.quiet()


def coming_back(server):
    """Who comes back and says what it has gets what changed, and no more."""
    server.set("a", [make("cluster", "same", 1), make("cluster", "other", 1), make("cluster", "gone", 1)])
    server.set("b", [make("endpoint", "same", 1)])
    client = Delta(server)
    client.ask("cluster")
    held = {r.name: r.version for r in client.got("cluster", "same", "other", "gone").resources}
    client.ask("endpoint", "same")
    endpoints = {r.name: r.version for r in client.got("endpoint", "same").resources}
    client.close()
    again = Delta(server)
    again.ask("cluster", held=held)
    again.ask("endpoint", "same", held=endpoints)
    again.quiet()
    again.close()
    server.set("a", [make("cluster", "other", 2)], remove=[("cluster", "gone")])
    third = Delta(server)
    third.ask("cluster", held=held)
    heard = [third.hears("cluster", "other")]
    third.answer(heard[0])
    third.got("cluster", "-gone")
    third.quiet()


def forms_of_refusal(server):
    """What is refused is not sent again until it changes, in whatever words it is refused."""
    detail = any_pb2.Any()
    detail.Pack(wrappers_pb2.StringValue(value="line 3"))
    client = Delta(server)
    client.ask("cluster")
    client.got("cluster")
    for at, words in enumerate([
            REFUSED, status_pb2.Status(), status_pb2.Status(code=3),
            status_pb2.Status(code=999, message="ü" * 5000), status_pb2.Status(code=13, message="x", details=[detail])]):
        server.set("a", [make("cluster", "bad", 10 + at)])
        client.answer(client.hears("cluster", "bad"), words)
        told = server.wait("rejected", "a")
        assert told["name"] == "bad" and words.message.startswith(told["message"]), told
        client.quiet()
    server.set("a", [make("cluster", "bad", 99)])
    client.got("cluster", "bad")
    server.wait("settled", "a")


def refused_together(server):
    """A refused response is taken apart: the good ones come again, each alone."""
    server.set("good", [make("cluster", "good", 1)])
    server.set("bad", [make("cluster", "bad", 1)])
    client = Delta(server)
    client.ask("cluster")
    client.answer(client.hears("cluster", "good", "bad"), REFUSED)
    alone = {}
    for _ in range(2):
        response = client.next()
        assert len(response.resources) == 1, response
        name = response.resources[0].name
        alone[name] = response
        client.answer(response, REFUSED if name == "bad" else None)
    assert set(alone) == {"good", "bad"}
    assert server.wait("rejected", "bad")["message"] == "refused"
    client.quiet()


def types_are_apart(server):
    """What is not answered of one type holds up no answers of another."""
    server.set("a", [make("cluster", "1", 1), make("listener", "1", 1)])
    client = Delta(server)
    client.ask("cluster")
    client.hears("cluster", "1")
    client.ask("listener")
    client.got("listener", "1")


def make_before_break(server):
    """A new cluster is there before the route that names it; the old one goes after."""
    server.set("a", [make("cluster", "old", 1), make("endpoint", "old", 1), make("route", "r", 1), make("scope", "s", 1)])
    client = Delta(server)
    client.ask("cluster")
    client.got("cluster", "old")
    client.ask("endpoint", "old")
    client.got("endpoint", "old")
    client.ask("scope")
    client.got("scope", "s")
    client.ask("route", "r")
    client.got("route", "r")
    client.ask("listener")
    client.got("listener")
    server.wait("synced")
    server.set("a", [make("cluster", "new", 1), make("endpoint", "new", 1), make("route", "r", 2)],
               remove=[("cluster", "old"), ("endpoint", "old")])
    coming = client.hears("cluster", "new")
    client.ask("endpoint", "new")
    followed = client.hears("endpoint", "new")
    client.quiet()
    client.answer(coming)
    client.answer(followed)
    changed = client.hears("route", "r")
    client.quiet()
    client.answer(changed)
    gone = client.hears("cluster", "-old")
    client.ask("endpoint", leave=["old"])
    client.answer(gone)
    client.quiet()
    server.wait("settled", "a")


def endpoints_follow(server):
    """A changed cluster is followed by its endpoints, though they are the same."""
    server.set("a", [make("cluster", "1", 1), make("endpoint", "1", 1)])
    client = Delta(server)
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
    client = Delta(server)
    client.send(discovery_pb2.DeltaDiscoveryRequest())
    assert client.ended() == grpc.StatusCode.INVALID_ARGUMENT


run([legacy_wildcard, explicit_wildcard, beside_the_star, silence_of_named_types, negative_answers, secrets_in_clear, asked_again,
     stale_nonces, coming_back, forms_of_refusal, refused_together, types_are_apart, make_before_break,
     endpoints_follow, without_a_type])
