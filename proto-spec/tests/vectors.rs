//! The codec against `vectors/*.json`, which were written from SPEC.md and not by this codec.
//!
//! In: the files. Out: assertions: bytes to meaning, meaning to bytes, and the rule that bad bytes break.
//! Never: an expectation of its own.

mod common;

use serde_json::{Value, json};
use zt_wire::json::{world_from_json, world_to_json};
use zt_wire::message::{DirectoryDelta, NetconfPart, SelftestStep};
use zt_wire::{
    Address, Certificate, Datagram, Endpoints, Invite, Mac, Malformed, Message, NetworkId,
    ProbeFrame, Record, Revocation, SharedConfig, Signed, World, signing_input,
};

use common::{bytes_of, hex_of};

fn cases(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).unwrap();
    assert!(file["about"].is_string());
    let cases = file["cases"].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

fn text<'a>(case: &'a Value, field: &str) -> &'a str {
    case[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {case}"))
}

/// The rule that the case says is broken, compared by its name.
fn assert_refused<T: core::fmt::Debug>(case: &Value, found: Result<T, Malformed>) {
    let found = found.expect_err(text(case, "name"));
    let name = format!("{found:?}");
    let name = name.split('(').next().unwrap();
    assert_eq!(name, text(case, "refused"), "{}", text(case, "name"));
}

#[test]
fn names() {
    for case in cases(include_str!("../vectors/names.json")) {
        if let Some(refused) = case["refused"].as_str() {
            let read = match text(&case, "kind") {
                "address" => refused.parse::<Address>().is_ok(),
                "network" => refused.parse::<NetworkId>().is_ok(),
                "mac" => refused.parse::<Mac>().is_ok(),
                other => panic!("no names of kind {other}"),
            };
            assert!(!read, "{refused} was read as a name");
            continue;
        }
        let address: Address = text(&case, "address").parse().unwrap();
        let network: NetworkId = text(&case, "network").parse().unwrap();
        assert_eq!(address.to_string(), text(&case, "address"));
        assert_eq!(network.to_string(), text(&case, "network"));
        assert_eq!(network.controller().to_string(), text(&case, "controller"));
        assert_eq!(json!(network.number()), case["number"]);
        let mac = Mac::of(address, network);
        assert_eq!(mac.to_string(), text(&case, "mac"));
        assert_eq!(mac.address_on(network), Some(address));
        let ip = network.ipv6_of(address);
        assert_eq!(ip.to_string(), text(&case, "ipv6"));
        assert_eq!(network.member_of_ipv6(ip), Some(address));
    }
}

#[test]
fn datagrams() {
    for case in cases(include_str!("../vectors/datagrams.json")) {
        let bytes = bytes_of(text(&case, "hex"));
        if case["refused"].is_string() {
            assert_refused(&case, Datagram::parse(&bytes));
            continue;
        }
        let datagram = Datagram::parse(&bytes).unwrap();
        let (fields, again) = match datagram {
            Datagram::Init(init) => {
                let mut again = [0xff; zt_wire::datagram::INIT_LEN];
                init.write(&mut again);
                let fields = json!({
                    "type": "init", "part": init.part, "sender": init.sender,
                    "cookie": hex_of(&init.cookie), "ephemeral": hex_of(init.ephemeral),
                    "bytes": hex_of(init.bytes),
                });
                (fields, again.to_vec())
            }
            Datagram::Cookie(cookie) => {
                let fields = json!({
                    "type": "cookie", "receiver": cookie.receiver,
                    "echo": hex_of(&cookie.echo), "cookie": hex_of(&cookie.cookie),
                });
                (fields, cookie.to_bytes().to_vec())
            }
            Datagram::Response(response) => {
                let mut again = Vec::new();
                response.write(&mut again);
                let fields = json!({
                    "type": "response", "receiver": response.receiver,
                    "sender": response.sender, "message": hex_of(response.message),
                });
                (fields, again)
            }
            Datagram::Transport(header) => {
                let fields = json!({
                    "type": "transport", "receiver": header.receiver, "counter": header.counter,
                });
                (fields, [&header.to_bytes(), &bytes[16..]].concat())
            }
        };
        assert_eq!(fields, case["fields"], "{}", text(&case, "name"));
        assert_eq!(again, bytes, "{}", text(&case, "name"));
    }
}

#[test]
fn messages() {
    for case in cases(include_str!("../vectors/messages.json")) {
        let bytes = bytes_of(text(&case, "hex"));
        if case["refused"].is_string() {
            assert_refused(&case, Message::parse(&bytes));
            continue;
        }
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            describe(&message),
            case["fields"],
            "{}",
            text(&case, "name")
        );
        assert_eq!(message.to_vec(), bytes, "{}", text(&case, "name"));
    }
}

fn describe(message: &Message<'_>) -> Value {
    match message {
        Message::Fragment(m) => json!({
            "type": "fragment", "id": m.id, "index": m.index, "count": m.count, "bytes": hex_of(m.bytes),
        }),
        Message::Relay(m) => json!({
            "type": "relay", "destination": m.destination.to_string(), "hops": m.hops,
            "datagram": hex_of(m.datagram),
        }),
        Message::Relayed(m) => json!({
            "type": "relayed", "source": m.source.to_string(), "hops": m.hops,
            "datagram": hex_of(m.datagram),
        }),
        Message::Whois(address) => json!({"type": "whois", "address": address.to_string()}),
        Message::Identity(m) => json!({
            "type": "identity", "address": m.address.to_string(),
            "identity": m.identity.map(|identity| identity.to_string()),
        }),
        Message::Rendezvous(m) => json!({
            "type": "rendezvous", "peer": m.peer.to_string(), "endpoints": endpoints(m.endpoints),
        }),
        Message::Paths(list) => json!({"type": "paths", "endpoints": endpoints(*list)}),
        Message::Probe(m) => {
            json!({"type": "probe", "token": m.token, "mtu": m.mtu, "padding": m.padding})
        }
        Message::ProbeAnswer(m) => json!({
            "type": "probe answer", "token": m.token, "size": m.size, "observed": m.observed,
        }),
        Message::Ping(token) => json!({"type": "ping", "token": token}),
        Message::Pong(m) => json!({"type": "pong", "token": m.token, "observed": m.observed}),
        Message::Error(m) => json!({
            "type": "error", "code": m.code as u16, "about": m.about, "detail": hex_of(&m.detail),
        }),
        Message::Goodbye(reason) => json!({"type": "goodbye", "reason": *reason as u8}),
        Message::Claim(m) => json!({
            "type": "claim", "passed_on": m.passed_on.map(|identity| identity.to_string()),
        }),
        Message::ClaimAnswer(m) => json!({
            "type": "claim answer", "address": m.address.to_string(), "result": m.result as u8,
        }),
        Message::WorldOffer(m) => {
            json!({"type": "world offer", "serial": m.serial, "hash": hex_of(&m.hash)})
        }
        Message::WorldGet(serial) => json!({"type": "world get", "serial": serial}),
        Message::World(m) => json!({"type": "world", "signed": hex_of(&m.to_vec())}),
        Message::RekeyInit(bytes) => json!({"type": "rekey init", "bytes": hex_of(bytes)}),
        Message::RekeyResponse(bytes) => json!({"type": "rekey response", "bytes": hex_of(bytes)}),
        Message::Selftest(m) => json!({
            "type": "selftest", "network": m.network.to_string(), "run": hex_of(&m.run),
            "step": describe_step(&m.step),
        }),
        Message::SelftestResult(m) => json!({
            "type": "selftest result", "network": m.network.to_string(), "run": hex_of(&m.run),
            "status": m.status as u8,
            "heard": m.heard.iter().map(|one| json!({
                "times": one.times, "place": one.place, "changed": one.changed, "reason": one.reason,
            })).collect::<Vec<_>>(),
        }),
        Message::NetconfRequest(_)
        | Message::NetconfAnswer(_)
        | Message::Credential(_)
        | Message::Revocation(_)
        | Message::Subscribe(_)
        | Message::Subscribed(_)
        | Message::Replicate(_)
        | Message::Frame(_)
        | Message::Vouch(_)
        | Message::Hint(_)
        | Message::LoopProbe(_) => describe_network(message),
    }
}

fn describe_step(step: &SelftestStep<'_>) -> Value {
    match step {
        SelftestStep::Begin(frames) => {
            let frames = frames.iter().map(|one| {
                json!({
                    "fingerprint": hex_of(&one.fingerprint), "length": one.length, "name": one.name,
                })
            });
            json!({"begin": frames.collect::<Vec<_>>()})
        }
        SelftestStep::End(stopped) => {
            let stopped = stopped
                .iter()
                .map(|one| json!({"index": one.index, "reason": one.reason}));
            json!({"end": stopped.collect::<Vec<_>>()})
        }
        SelftestStep::Return => json!("return"),
    }
}

fn describe_network(message: &Message<'_>) -> Value {
    match message {
        Message::NetconfRequest(m) => json!({
            "type": "netconf request", "request": m.request, "network": m.network.to_string(),
            "token": hex_of(&m.token), "shared_hash": hex_of(&m.shared_hash),
            "serial": m.serial, "directory": m.directory,
        }),
        Message::NetconfAnswer(m) => json!({
            "type": "netconf answer", "request": m.request, "network": m.network.to_string(),
            "status": m.status as u8, "retry_after": m.retry_after,
            "parts": m.parts.iter().map(|part| describe_part(&part)).collect::<Vec<_>>(),
        }),
        Message::Credential(m) => json!({"type": "credential", "signed": hex_of(&m.to_vec())}),
        Message::Revocation(m) => json!({"type": "revocation", "signed": hex_of(&m.to_vec())}),
        Message::Subscribe(m) => json!({
            "type": "subscribe", "network": m.network.to_string(), "all": m.all, "serial": m.serial,
            "groups": m.macs().map(|mac| mac.to_string()).collect::<Vec<_>>(),
        }),
        Message::Subscribed(m) => json!({
            "type": "subscribed", "network": m.network.to_string(), "serial": m.serial,
        }),
        Message::Replicate(m) => json!({
            "type": "replicate", "network": m.network.to_string(), "checksum": m.checksum,
            "members": m.addresses().map(|member| member.to_string()).collect::<Vec<_>>(),
            "bytes": hex_of(m.bytes),
        }),
        Message::Frame(m) => json!({
            "type": "frame", "network": m.network.to_string(), "elided": m.elided,
            "checksum": m.checksum, "origin": m.origin.map(|origin| origin.to_string()),
            "bytes": hex_of(m.bytes),
        }),
        Message::Vouch(m) => json!({
            "type": "vouch", "network": m.network.to_string(), "member": m.member.to_string(),
        }),
        Message::Hint(m) => json!({
            "type": "hint", "network": m.network.to_string(), "revision": m.revision,
        }),
        Message::LoopProbe(m) => json!({
            "type": "loop probe", "network": m.network.to_string(),
            "word": format!("{:?}", m.word).to_lowercase(), "token": m.token,
        }),
        other => panic!("{other:?} has its description elsewhere"),
    }
}

fn describe_part(part: &NetconfPart<'_>) -> Value {
    match part {
        NetconfPart::Shared(signed) => json!({"shared": hex_of(&signed.to_vec())}),
        NetconfPart::Certificate(signed) => json!({"certificate": hex_of(&signed.to_vec())}),
        NetconfPart::Revocation(signed) => json!({"revocation": hex_of(&signed.to_vec())}),
        NetconfPart::Directory(bytes) => {
            let delta = DirectoryDelta::decode(bytes).unwrap();
            let entries: Vec<_> = delta
                .entries
                .iter()
                .map(|entry| {
                    json!({
                        "address": entry.address.to_string(), "removed": entry.removed,
                        "bridge": entry.bridge, "replicator": entry.replicator, "ips": entry.ips,
                    })
                })
                .collect();
            json!({"directory": {
                "from": delta.from, "to": delta.to, "more": delta.more, "entries": entries,
            }})
        }
    }
}

fn endpoints(list: Endpoints<'_>) -> Vec<Value> {
    list.iter()
        .map(|endpoint| {
            let kind = format!("{:?}", endpoint.kind).to_lowercase();
            json!({"kind": kind, "socket": endpoint.socket})
        })
        .collect()
}

#[test]
fn frames() {
    for case in cases(include_str!("../vectors/frames.json")) {
        if let Some(refused) = case["refused"].as_str() {
            assert_eq!(ProbeFrame::parse(&bytes_of(refused)), None, "{case}");
            continue;
        }
        let probe = ProbeFrame {
            network: text(&case, "network").parse().unwrap(),
            member: text(&case, "member").parse().unwrap(),
            token: case["token"].as_u64().unwrap(),
        };
        if let Some(read) = case["read"].as_str() {
            assert_eq!(ProbeFrame::parse(&bytes_of(read)), Some(probe));
            continue;
        }
        assert_eq!(hex_of(&probe.to_bytes()), text(&case, "hex"));
        assert_eq!(ProbeFrame::parse(&probe.to_bytes()), Some(probe));
    }
}

#[test]
fn records() {
    for case in cases(include_str!("../vectors/records.json")) {
        let body = bytes_of(text(&case, "hex"));
        let kind = case["fields"]["type"].as_str().or(case["type"].as_str());
        match kind.unwrap() {
            "certificate" => record(&case, &body, |c: &Certificate| {
                json!({
                    "type": "certificate", "network": c.network.to_string(),
                    "key": c.key.to_string(), "address": c.address.to_string(),
                    "mac": c.mac.to_string(), "rights": c.rights.bits(), "serial": c.serial,
                    "epoch": c.epoch,
                    "ips": c.ips.iter().map(ToString::to_string).collect::<Vec<_>>(),
                    "tags": c.tags.iter().map(|tag| [tag.id, tag.value]).collect::<Vec<_>>(),
                })
            }),
            "shared" => record(&case, &body, describe_shared),
            "revocation" => record(&case, &body, |r: &Revocation| {
                json!({
                    "type": "revocation", "network": r.network.to_string(),
                    "key": r.key.to_string(), "minimum": r.minimum, "epoch": r.epoch,
                })
            }),
            other => panic!("no records of type {other}"),
        }
    }
}

fn record<R: Record + core::fmt::Debug>(case: &Value, body: &[u8], fields: impl Fn(&R) -> Value) {
    if case["refused"].is_string() {
        return assert_refused(case, R::decode(body));
    }
    let record = R::decode(body).unwrap();
    assert_eq!(fields(&record), case["fields"], "{}", text(case, "name"));
    assert_eq!(record.encode(), body, "{}", text(case, "name"));
    assert_eq!(R::DOMAIN, text(case, "domain"));
    assert!(signing_input(R::DOMAIN, body).ends_with(body));
}

fn describe_shared(s: &SharedConfig) -> Value {
    let routes: Vec<_> = s
        .routes
        .iter()
        .map(|r| json!([r.target.to_string(), r.via]))
        .collect();
    json!({
        "type": "shared", "network": s.network.to_string(), "revision": s.revision,
        "epoch": s.epoch, "window": s.window, "name": s.name, "mtu": s.mtu,
        "rfc4193": s.rfc4193, "link_local_groups": s.link_local_groups,
        "multicast_limit": s.multicast_limit, "controller": s.controller.to_string(),
        "routes": routes, "dns_domain": s.dns_domain, "dns_servers": s.dns_servers,
        "pools": s.pools.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "rules": hex_of(&s.rules),
    })
}

#[test]
fn worlds() {
    for case in cases(include_str!("../vectors/world.json")) {
        let bytes = bytes_of(text(&case, "hex"));
        let signed = Signed::parse(&bytes).unwrap();
        if case["refused"].is_string() {
            assert_refused(&case, signed.decode::<World>());
            continue;
        }
        let world: World = signed.decode().unwrap();
        assert_eq!(world.encode(), signed.body);
        assert_eq!(world_from_json(&case["file"].to_string()).unwrap(), bytes);
        let file: Value = serde_json::from_str(&world_to_json(&bytes).unwrap()).unwrap();
        assert_eq!(file, case["file"]);
    }
}

#[test]
fn invites() {
    for case in cases(include_str!("../vectors/invites.json")) {
        if let Some(refused) = case["refused"].as_str() {
            assert!(
                refused.parse::<Invite>().is_err(),
                "{}",
                text(&case, "name")
            );
            continue;
        }
        let invite: Invite = text(&case, "text").parse().unwrap();
        let fields = json!({
            "network": invite.network.to_string(),
            "controller_key": invite.controller_key.to_string(),
            "controller": invite.controller.to_string(),
            "token": hex_of(&invite.token), "world": hex_of(&invite.world),
        });
        assert_eq!(fields, case["fields"]);
        assert_eq!(invite.to_string(), text(&case, "text"));
    }
}
