//! Frames that follow one like them pass without being asked again: never otherwise than if they had been asked.
//!
//! In: runs of TCP and UDP frames with a byte changed here and there. Out: two shards that agree, one of which forgets
//! after each frame. Never: a frame that only one of them takes.

use zt_engine::shard::{Offload, Path, Policy, Update, Verdict};
use zt_wire::Address;

use crate::harness::{Host, at, network};
use crate::malformed::Hostile;

const MANY: u32 = 200_000;

/// A victim whose network gives addresses and lets through TCP to a few ports and UDP from one.
fn victim() -> (Host, Hostile) {
    let mut victim = Host::new(2, false);
    let mut evil = Host::new(1, false);
    victim.network_up(false, 1_500);
    let hostile = Hostile::meet(&mut evil, &mut victim);
    let theirs = evil.policy(1);
    victim.admit_as(&evil, &theirs);
    let text =
        "drop if tcp-flags syn/syn; drop if size 0-200 and udp; accept if tcp and port-to 80-90;
        accept if udp and port-from 7; drop;";
    let rules = zt_rules::compile(text).expect("rules");
    let mine = Policy {
        rules,
        ..victim.policy(2)
    };
    victim.impose(mine);
    (victim, hostile)
}

/// A frame from its type on: TCP or UDP that the rules let in.
fn behind_macs(members: [Address; 2], v6: bool, tcp: bool, payload: usize) -> Vec<u8> {
    let transport = if tcp { 20 } else { 8 } + payload;
    let len = |n: usize| u16::try_from(n).expect("short").to_be_bytes();
    let mut frame = if v6 { vec![0x86, 0xdd] } else { vec![8, 0] };
    let protocol = if tcp { 6 } else { 17 };
    if v6 {
        frame.extend([0x60, 0, 0, 0]);
        frame.extend(len(transport));
        frame.extend([protocol, 64]);
        for member in members {
            frame.extend(network().ipv6_of(member).octets());
        }
    } else {
        frame.extend([0x45, 0]);
        frame.extend(len(20 + transport));
        frame.extend([0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    }
    frame.extend([0, 7, 0, 80]);
    if tcp {
        frame.extend([0, 0, 0, 1, 0, 0, 0, 9, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    } else {
        frame.extend(len(8 + payload));
        frame.extend([0, 0]);
    }
    frame.resize(frame.len() + payload, 0x5a);
    frame
}

/// A FRAME message, MACs elided or not, checksum left open or not.
fn message(macs: &[u8], bare: &[u8], elided: bool, open: bool) -> Vec<u8> {
    let frame = if elided {
        bare.to_vec()
    } else {
        [macs, bare].concat()
    };
    let v6 = bare[0] == 0x86;
    let tcp = bare[if v6 { 8 } else { 11 }] == 6;
    let place = [0, if v6 { 54 } else { 34 }, 0, if tcp { 16 } else { 6 }];
    let (flags, place) = if open { (2, &place[..]) } else { (0, &[][..]) };
    Hostile::frame(&frame, flags | u8::from(elided), place)
}

/// What became of a datagram.
fn judged(victim: &mut Host, datagram: &[u8], millis: u64) -> Result<(Vec<u8>, Offload), String> {
    let mut bytes = datagram.to_vec();
    let from = Path::Direct(victim.at);
    match victim
        .shard
        .rx(at(millis), from, &mut bytes, &mut victim.notes)
    {
        Verdict::Deliver { frame, .. } => Ok((frame.bytes.to_vec(), frame.offload)),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn a_frame_like_the_one_before_is_judged_as_if_it_were_the_first() {
    let ((mut follows, mut hostile), (mut forgets, _)) = (victim(), victim());
    let stranger = Host::new(9, false).address();
    let ends = [Host::new(1, false), Host::new(2, false)];
    let members = ends.each_ref().map(Host::address);
    let macs = [ends[1].mac().to_bytes(), ends[0].mac().to_bytes()].concat();
    let (mut last, mut taken, mut refused) = (Vec::new(), 0, 0);
    for n in 0..MANY {
        if last.is_empty() || hostile.below(6) == 0 {
            let [v6, tcp, elided, open] = [0; 4].map(|_| hostile.below(2) == 0);
            let payload = 60 + hostile.below(8) * 25;
            let bare = behind_macs(members, v6, tcp, payload);
            last = message(&macs, &bare, elided, open);
        }
        let mut body = last.clone();
        match hostile.below(4) {
            // A byte of the headers is another.
            0 => {
                let place = hostile.below(100);
                body[place] ^= 1 << hostile.below(8);
            }
            // The same, and those behind are like it.
            1 => {
                let place = hostile.below(100);
                body[place] = hostile.byte();
                last.clone_from(&body);
            }
            _ => {}
        }
        let datagram = hostile.sealed(&body);
        let millis = u64::from(n / 1_000);
        let one = judged(&mut follows, &datagram, millis);
        forgets.shard.apply(Update::Unlearn {
            network: network(),
            address: stranger,
        });
        let two = judged(&mut forgets, &datagram, millis);
        assert_eq!(one, two, "frame {n}: {body:02x?}");
        match one {
            Ok(_) => taken += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        taken > MANY / 10 && refused > MANY / 10,
        "{taken} {refused}"
    );
    assert_eq!(
        follows.shard.counters().groups(),
        forgets.shard.counters().groups()
    );
}
