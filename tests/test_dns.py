"""
DNS over HTTPS over real sockets (gateway.md sections 14 and 18, A170 to A184), against dnsmasq
and against name servers that do what they should not. The messages are dnspython's.
"""

from __future__ import annotations

import base64
import os
import tempfile
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.reversename
from twisted.trial.unittest import SynchronousTestCase

from .support.curl import curl
from .support.dnsrig import FAULTS, FIRST, MESSAGE, SECOND, DNSRigged, fresh, scripted
from .support.http import request, sessionCookie
from .support.rigs import USUAL
from .support.server import Aero, edgeOptions, gatewayOptions


class _DNSTests(DNSRigged):
    """
    Both endpoints.
    """

    # -- a real name server

    def test_real(self) -> None:
        """
        What dnsmasq knows comes through, by either method.
        """
        for kind, data in (("A", "192.0.2.11"), ("AAAA", "2001:db8::11")):
            answer = self.ask("dual.example.", kind, self.real())
            self.assertEqual(self.addresses(answer), [data], str(answer))
            query = dns.message.make_query("dual.example.", kind, id=0)
            got = dns.message.from_wire(self.get(query.to_wire(), self.real()).body)
            self.assertEqual((got.id, self.addresses(got)), (0, [data]))
        answer = self.ask("alias.example.", "A", self.real())
        self.assertEqual(self.addresses(answer), ["dual.example.", "192.0.2.11"])
        self.assertEqual(
            self.addresses(self.ask("mail.example.", "MX", self.real())), ["10 mx.example."]
        )
        self.assertEqual(
            self.addresses(self.ask("8.8.8.8.in-addr.arpa.", "PTR", self.real())), ["dns.example."]
        )

    def test_realNegative(self) -> None:
        """
        So does what it knows not to be there.
        """
        self.assertEqual(self.ask("no.example.", "A", self.real()).rcode(), dns.rcode.NXDOMAIN)
        answer = self.ask("mail.example.", "A", self.real())
        self.assertEqual((answer.rcode(), answer.answer), (dns.rcode.NOERROR, []))

    def test_realOverTCP(self) -> None:
        """
        An answer too long for a datagram is fetched over TCP, and is whole.
        """
        answer = self.ask("long.example.", "TXT", self.real())
        self.assertEqual(len(self.addresses(answer)), 12)
        self.assertFalse(answer.flags & dns.flags.TC)

    def test_realJSON(self) -> None:
        """
        Addresses and aliases in JSON (A172, A177).
        """
        status, value = self.json(self.real(), name="Alias.Example.", type="a")
        self.assertEqual(status, 200)
        records = value.pop("Answer")
        self.assertEqual(
            {key: value[key] for key in ("Status", "TC", "RD", "RA", "CD", "Question")},
            {
                "Status": 0,
                "TC": False,
                "RD": True,
                "RA": True,
                "CD": False,
                "Question": [{"name": "alias.example", "type": 1}],
            },
        )
        self.assertEqual(
            [(one["name"], one["type"], one["data"]) for one in records],
            [("alias.example", 5, "dual.example"), ("dual.example", 1, "192.0.2.11")],
        )
        self.assertTrue(all(0 <= one["TTL"] <= 300 for one in records))
        status, value = self.json(self.real(), name="dual.example", type="028")
        self.assertEqual(value["Answer"][0]["data"], "2001:db8::11")
        status, value = self.json(self.real(), name="mail.example", type="AAAA")
        self.assertEqual((status, value["Status"], "Answer" in value), (200, 0, False))
        status, value = self.json(self.real(), name="no.example", type="CNAME")
        self.assertEqual((status, value["Status"]), (200, 3))

    # -- the cache

    def test_cache(self) -> None:
        """
        The second to ask is answered from the cache of both endpoints, with their own id and
        spelling, and may keep it no longer than the first (A171, A172).
        """
        name = fresh("plain")
        self.assertEqual(self.addresses(self.ask(name + ".")), [FIRST])
        answer = self.ask(name.upper() + ".")
        self.assertEqual(self.addresses(answer), [FIRST])
        self.assertLessEqual(answer.answer[0].ttl, 100)
        self.assertEqual(self.json(name=name, type="A")[1]["Answer"][0]["data"], FIRST)
        self.assertEqual(scripted()[0].times(name), 1)
        response = self.post(dns.message.make_query(name, "A").to_wire())
        kept, _, seconds = response.one("Cache-Control").rpartition("=")
        self.assertEqual(kept, "private, max-age")
        self.assertIn(int(seconds), range(1, 101))

    def test_cacheNegative(self) -> None:
        """
        What is not there is remembered as well, what could not be found out is not, nor what
        is not to be kept.
        """
        for label, times in (("nxdomain", 1), ("nodata", 1), ("servfail--both", 2), ("zero", 2)):
            name = fresh(label)
            self.ask(name), self.ask(name)
            self.assertEqual(scripted()[0].times(name), times, label)

    def test_merged(self) -> None:
        """
        Many who ask the same at the same time cause one question.
        """
        name = fresh("slow")
        answers = self.together(self.ask, [name] * 8)
        found = [self.addresses(answer) for answer in answers]
        self.assertEqual(found, [[FIRST]] * 8)
        self.assertEqual(scripted()[0].times(name), 1)

    def test_poisoning(self) -> None:
        """
        A name whose one label has a dot in it is not the name with two labels, and a blank or
        a byte beyond ASCII makes a difference (C4).
        """
        name = fresh("plain")
        host, _, rest = name.partition(".")
        for labels in ([name.encode(), b""], [f"{host}.{rest}"[:-8].encode(), b"example", b""]):
            odd = self.ask(dns.name.Name(labels))
            self.assertNotEqual(self.addresses(odd), [FIRST])
        spaced = self.ask(dns.name.Name([b" " + host.encode(), *rest.encode().split(b"."), b""]))
        self.assertNotEqual(self.addresses(spaced), [FIRST])
        self.assertEqual(self.addresses(self.ask(name)), [FIRST])
        low, high = (
            dns.name.Name([letter, *rest.encode().split(b"."), b""])
            for letter in (b"\xe9", b"\xe8")
        )
        before = len(scripted()[0].asked)
        self.ask(low), self.ask(high)
        self.assertEqual(len(scripted()[0].asked) - before, 2)

    # -- hostile upstreams

    def test_forgeries(self) -> None:
        """
        An answer that does not fit is dropped, and the right one that comes behind it is taken
        (C5).
        """
        for fault in ("wrong-id", "wrong-name", "wrong-type", "wrong-class", "wrong-port"):
            answer = self.ask(fresh(f"{fault}--then"))
            self.assertEqual(self.addresses(answer), [FIRST], fault)
        self.assertAlive(self.server(self.settings()))

    def test_failover(self) -> None:
        """
        Where the first upstream has no acceptable answer, the second one is asked (C5).
        """
        labels = [*FAULTS, "servfail", "refused"]
        answers = self.together(lambda label: self.ask(fresh(label)), labels)
        found = {
            label: self.addresses(answer) for label, answer in zip(labels, answers, strict=True)
        }
        self.assertEqual(found, {label: [SECOND] for label in labels})
        self.assertAlive(self.server(self.settings()))

    def test_failoverFromTCP(self) -> None:
        """
        Nor is anything believed because it came over TCP.
        """
        faults = ("wrong-id", "wrong-name", "wrong-type", "a-query", "garbage", "cut", "loop")
        answers = self.together(lambda fault: self.ask(fresh(f"tcp-{fault}")), faults)
        self.assertEqual([self.addresses(answer) for answer in answers], [[SECOND]] * len(faults))
        self.assertAlive(self.server(self.settings()))

    def test_flood(self) -> None:
        """
        When somebody guesses, the question is asked over TCP, where guessing is in vain.
        """
        name = fresh("flood")
        self.assertEqual(self.addresses(self.ask(name)), [FIRST])
        self.assertEqual(scripted()[0].times(name), 2)

    def test_allFail(self) -> None:
        """
        When nobody has an answer the client hears SERVFAIL (A174).
        """
        names = [fresh(f"{fault}--both") for fault in ("nothing", "huge", "servfail")]
        queries = [
            dns.message.make_query(name, "A", id=0x1234, use_edns=False).to_wire() for name in names
        ]
        for wire, response in zip(queries, self.together(self.post, queries), strict=True):
            expected = b"\x12\x34\x81\x82" + wire[4:]
            self.assertMessage(response, 200, expected)

    def test_allFailJSON(self) -> None:
        """
        In JSON that is a 502; and nothing of it is remembered.
        """
        name = fresh("nothing--both")
        for _ in range(2):
            status, value = self.json(name=name, type="A")
            self.assertEqual(status, 502)
            self.assertEqual(value, {"error": "bad_gateway", "message": "DNS resolution failed"})
        self.assertEqual(scripted()[0].times(name), 2)

    def test_truncated(self) -> None:
        """
        A truncated answer is not believed but asked for over TCP.
        """
        name = fresh("truncated")
        self.assertEqual(self.addresses(self.ask(name)), [FIRST])
        self.assertEqual(scripted()[0].times(name), 2)

    def test_caseLost(self) -> None:
        """
        An upstream that writes names in lower case can still be used.
        """
        self.assertEqual(self.addresses(self.ask(fresh("lower"))), [FIRST])

    def test_unpredictable(self) -> None:
        """
        Id, port and the case of letters are new for every question, and nothing of the client's
        own message goes on (C5).
        """
        label = f"letters-{self.kind}"
        names = [fresh(label) for _ in range(12)]
        for name in names:
            query = dns.message.make_query(name, "A", id=0x1234)
            query.use_edns(0, options=[dns.edns.ECSOption("198.51.100.0", 24)])
            self.assertEqual(self.post(query.to_wire()).status, 200)
        asked = [one for one in scripted()[0].asked if one.labels[0] == label.encode()]
        self.assertEqual(len(asked), len(names))
        self.assertGreater(len({one.query.id for one in asked}), 9)
        self.assertGreater(len({one.port for one in asked}), 9)
        self.assertGreater(len({one.query.question[0].name.labels[0] for one in asked}), 9)
        self.assertFalse(any(one.query.options for one in asked))

    # -- policy

    def test_policy(self) -> None:
        """
        ANY, other classes, and names of private addresses are refused without asking anybody
        (A173, A179).
        """
        before = len(scripted()[0].asked)
        private = ("10.0.0.1", "192.168.1.1", "127.0.0.1", "169.254.0.1", "100.64.0.1", "fe80::1")
        questions: list[tuple[Any, str, str]] = [(fresh("plain"), "ANY", "IN")]
        questions.append((fresh("plain"), "A", "CH"))
        questions += [(dns.reversename.from_address(one), "PTR", "IN") for one in private]
        questions.append(("1.0.0.10.IN-Addr.ARPA.", "PTR", "IN"))
        for name, kind, rdclass in questions:
            query = dns.message.make_query(name, kind, rdclass)
            response = self.post(query.to_wire())
            answer = dns.message.from_wire(response.body)
            self.assertEqual((response.status, answer.id), (200, query.id))
            self.assertEqual(answer.rcode(), dns.rcode.REFUSED, str(query))
            self.assertEqual(answer.question, query.question)
        self.assertEqual(len(scripted()[0].asked), before)
        public = self.ask(dns.reversename.from_address("8.8.4.4"), "PTR")
        self.assertEqual(self.addresses(public), ["dns.example."])

    def test_localhost(self) -> None:
        """
        C{localhost} is loopback, whatever an upstream would say.
        """
        before = len(scripted()[0].asked)
        self.assertEqual(self.addresses(self.ask("localhost.")), ["127.0.0.1"])
        self.assertEqual(self.addresses(self.ask("x.LocalHost.", "AAAA")), ["::1"])
        self.assertEqual(len(scripted()[0].asked), before)

    # -- what is refused before it is asked

    def test_noSession(self) -> None:
        """
        Without a session there is no answer (A170).
        """
        server = self.server(self.settings())
        for target in ("/dns-query?dns=AAAA", "/dns-json?name=a.example&type=A"):
            response = request(server, "GET", target)
            self.assertEqual(response.status, 401)
            self.assertEqual(
                response.json(),
                {"error": "unauthorized", "message": "Missing or invalid session"},
            )
            self.assertEqual(response.one("Cache-Control"), "no-store")
        wire = dns.message.make_query(fresh("plain"), "A").to_wire()
        response = request(server, "POST", "/dns-query", ("Content-Type", MESSAGE), body=wire)
        self.assertEqual((response.status, response.json()["error"]), (401, "unauthorized"))

    def test_badParameter(self) -> None:
        """
        A C{dns} parameter that is missing, repeated or not base64url is FORMERR.
        """
        formerr = bytes.fromhex("000080810000000000000000")
        for query in ("", "?", "?dns=", "?DNS=AAAA", "?dns=AAA=", "?dns=AAAAA", "?dns=AA+A",
                      "?dns=AA%2FA", "?dns=AAAA&dns=AAAA", "?dns=%00AAA", "?dns=A%20AA"):  # fmt: skip
            self.assertMessage(self.send("GET", f"/dns-query{query}"), 400, formerr)

    def test_tooLong(self) -> None:
        """
        A query over the limit is a 413 that keeps its id, one at the limit is not (A175).
        """
        wire = b"\x12\x34\x01\x10" + os.urandom(600)
        formerr = bytes.fromhex("1234819100000000" + "00000000")
        for size in (513, 514, 515, 600):
            self.assertMessage(self.get(wire[:size]), 413, formerr)
            self.assertMessage(self.post(wire[:size]), 413, formerr)
        query = dns.message.make_query(fresh("plain"), "A", use_edns=0, pad=512)
        self.assertEqual(len(query.to_wire()), 512)
        self.assertEqual(self.get(query.to_wire()).status, 200)

    def test_contentTypes(self) -> None:
        """
        Only DNS messages are queries.
        """
        wire = dns.message.make_query(fresh("plain"), "A").to_wire()
        formerr = bytes.fromhex("000080810000000000000000")
        for kind in (f"{MESSAGE}; x=1", "Application/DNS-Message", f" {MESSAGE} ;"):
            response = self.send("POST", "/dns-query", ("Content-Type", kind), body=wire)
            self.assertEqual(response.status, 200, kind)
        for kind, body in (
            ("text/plain", wire),
            ("application/json", b'{"a":1}'),
            (MESSAGE + ";" + "x" * 256, wire),
        ):
            response = self.send("POST", "/dns-query", ("Content-Type", kind), body=body)
            self.assertMessage(response, 415, formerr)
        self.assertMessage(self.send("POST", "/dns-query"), 415, formerr)
        empty = self.send("POST", "/dns-query", ("Content-Type", MESSAGE), body=b"")
        self.assertMessage(empty, 400, formerr)
        for kind, body, status in (
            ("application/octet-stream", wire, 415),
            ("application/json", b"{", 400),
            (MESSAGE, bytes((1 << 20) + 1), 413),
        ):
            response = self.send("POST", "/dns-query", ("Content-Type", kind), body=body)
            self.assertEqual(response.status, status, kind)
            self.assertEqual(response.one("Content-Type"), "application/json; charset=utf-8")

    def test_malformed(self) -> None:
        """
        A message that is no query is FORMERR with as much of its header as there is.
        """
        before = len(scripted()[0].asked)
        good = dns.message.make_query(fresh("plain"), "A", id=0x1234, use_edns=False).to_wire()
        two = good[:4] + b"\0\2" + good[6:] + good[12:]
        pointer = good[:12] + b"\xc0\x0c\0\1\0\1"
        long = good[:12] + b"".join(b"\x3f" + b"x" * 63 for _ in range(4)) + b"\0\0\1\0\1"
        for wire, start in (
            (good[:1], "00008081"),
            (good[:2], "12348081"),
            (good[:3], "12348081"),
            (good[:4], "12348181"),
            (good[:12], "12348181"),
            (good[:-1], "12348181"),
            (good[:4] + b"\0\0" + good[6:], "12348181"),
            (two, "12348181"),
            (pointer, "12348181"),
            (long, "12348181"),
            (good[:12] + b"\x40" + good[13:], "12348181"),
        ):
            expected = bytes.fromhex(start + "0000000000000000")
            self.assertMessage(self.post(wire), 400, expected)
            self.assertMessage(self.get(wire), 400, expected)
        self.assertEqual(len(scripted()[0].asked), before)

    def test_jsonParameters(self) -> None:
        """
        C{name} and C{type} are asked for with what is wrong with them (A176).
        """
        rows = [
            ("", "Missing 'name' query parameter"),
            ("name=&type=A", "Missing 'name' query parameter"),
            ("name=%20..&type=A", "Missing 'name' query parameter"),
            ("name=a.example", "Missing 'type' query parameter"),
            ("name=a.example&type=", "Missing 'type' query parameter"),
        ]
        for kind in ("TXT", "16", "ANY", "255", "-1", "1.0", "0x1", "A,AAAA", "2"):
            rows.append((f"name=a.example&type={kind}", "Invalid DNS record type"))
        for query, message in rows:
            response = self.send("GET", f"/dns-json?{query}")
            self.assertEqual(response.status, 400, query)
            self.assertEqual(response.json(), {"error": "bad_request", "message": message}, query)
        for query in (
            f"name={'x' * 64}.example&type=A",
            f"name={'.'.join(['x' * 50] * 6)}&type=A",
            "name=a.example&name=b.example&type=A",
            "name=a.example&type=A&type=A",
            "name=%ff.example&type=A",
        ):
            response = self.send("GET", f"/dns-json?{query}")
            self.assertEqual((response.status, response.json()["error"]), (400, "bad_request"))
        name = fresh("plain")
        for kind in ("a", "%20A%20", "001"):
            response = self.send("GET", f"/dns-json?name=%20{name.upper()}...&type={kind}")
            self.assertEqual(response.one("Content-Type"), "application/dns-json; charset=utf-8")
            self.assertEqual(response.json()["Question"], [{"name": name, "type": 1}])

    # -- other settings

    def test_rate(self) -> None:
        """
        Beyond its share an address is refused, in the format of each endpoint, and told when to
        come again; both endpoints count together.
        """
        settings = USUAL | {
            "DNS_UPSTREAMS": "",
            "DNS_QPS_PER_IP": "0.01",
            "DNS_BURST_PER_IP": "3",
        }
        server = Aero(*self._options(), state=None, runDir=None, **settings)
        self.addCleanup(server.kill)
        cookie = ("Cookie", sessionCookie(server))
        found = [
            request(server, "GET", target, cookie)
            for target in ("/dns-query?dns=AAAA", "/dns-json?name=a&type=A", "/dns-query") * 2
        ]
        self.assertEqual([one.status for one in found], [400, 502, 400, 429, 429, 429])
        self.assertMessage(found[3], 429, bytes.fromhex("000080820000000000000000"))
        self.assertEqual(found[4].json()["error"], "too_many_requests")
        self.assertIn(int(found[3].one("Retry-After")), range(1, 101))
        # Nobody without a session spends anybody's share, nor learns of it.
        self.assertEqual(request(server, "GET", "/dns-query?dns=AAAA").status, 401)

    def _options(self) -> list[str]:
        return gatewayOptions() if self.kind == "gateway" else edgeOptions()

    def test_noUpstreams(self) -> None:
        """
        Without upstreams there are replies all the same, and a small limit holds for JSON too
        (A170).
        """
        settings = USUAL | {
            "DNS_UPSTREAMS": "",
            "DNS_QPS_PER_IP": "0",
            "DNS_MAX_QUERY_BYTES": "40",
        }
        query = dns.message.make_query("a.example", "A", use_edns=False)
        response = self.post(query.to_wire(), settings)
        answer = dns.message.from_wire(response.body)
        self.assertEqual((response.status, answer.rcode()), (200, dns.rcode.SERVFAIL))
        self.assertTrue(query.is_response(answer))
        self.assertEqual(self.json(settings, name="a.example", type="A")[0], 502)
        status, value = self.json(settings, name="abcdefghijklmnopqrstuvw", type="A")
        self.assertEqual(
            (status, value), (413, {"error": "payload_too_large", "message": "DNS query too large"})
        )
        self.assertEqual(self.json(settings, name="abcdefghijklmnopqrstuv", type="A")[0], 502)


class GatewayDNSTests(_DNSTests, SynchronousTestCase):
    """
    Over plain HTTP.
    """

    kind = "gateway"


class EdgeDNSTests(_DNSTests, SynchronousTestCase):
    """
    Over TLS.
    """

    kind = "edge"

    def test_http2(self) -> None:
        """
        RFC 8484 as it is meant: HTTP/2, by curl, both methods.
        """
        server = self.server(self.real())
        cookie = self.cookie(server)
        query = dns.message.make_query("dual.example", "AAAA", id=0)
        with tempfile.NamedTemporaryFile() as file:
            file.write(query.to_wire())
            file.flush()
            posted = curl(
                server,
                "/dns-query",
                *("--http2", "--data-binary", f"@{file.name}"),
                *("-H", f"Content-Type: {MESSAGE}", "-H", f"Accept: {MESSAGE}"),
                *("-H", f"Cookie: {cookie}"),
            )
        text = base64.urlsafe_b64encode(query.to_wire()).rstrip(b"=").decode()
        got = curl(server, f"/dns-query?dns={text}", "-H", f"Cookie: {cookie}")
        for response in (posted, got):
            self.assertEqual((response.status, response.reason), (200, "2"))
            self.assertEqual(response.one("content-type"), MESSAGE)
            answer = dns.message.from_wire(response.body)
            self.assertTrue(query.is_response(answer))
            self.assertEqual(self.addresses(answer), ["2001:db8::11"])
        refused = curl(server, f"/dns-query?dns={text}")
        self.assertEqual((refused.status, refused.json()["error"]), (401, "unauthorized"))
