//! Group frames shared with replicators: everybody once, nobody for whom it was not, and only from who may.

use core::net::SocketAddr;

use zt_crypto::Suites;
use zt_engine::counters::{Count, DropReason};
use zt_engine::shard::{Note, Path, PeerHandle, Policy, TapFrame, To, Verdict};
use zt_wire::message::{Message, Replicate};
use zt_wire::{Address, Mac, Rights};

use crate::harness::{Batch, Host, at, frame, network, shake};

/// A sender, a replicator and members, all with sessions and certificates.
struct Crowd {
    hosts: Vec<Host>,
    batch: Batch,
    second: Batch,
}

const SENDER: usize = 0;
const REPLICATOR: usize = 1;
const MEMBERS: usize = 9;

impl Crowd {
    fn new(limit: usize) -> Self {
        let mut crowd = Self {
            hosts: (1..=MEMBERS)
                .map(|number| Host::new(u8::try_from(number).unwrap(), false))
                .collect(),
            batch: Batch::new(),
            second: Batch::new(),
        };
        for host in &mut crowd.hosts {
            host.network_up(false, 1_500);
            let policy = Policy {
                multicast_limit: limit,
                ..host.policy(1)
            };
            host.impose(policy);
        }
        let policy = Policy {
            rights: Rights::REPLICATOR,
            ..crowd.hosts[REPLICATOR].policy(2)
        };
        crowd.hosts[REPLICATOR].impose(policy);
        for one in [SENDER, REPLICATOR] {
            for other in one + 1..MEMBERS {
                crowd.meet(one, other, at(0));
            }
        }
        // The first datagram each way makes a session one that both ends use.
        for one in [SENDER, REPLICATOR] {
            for other in one + 1..MEMBERS {
                let (to, from) = (crowd.hosts[other].mac(), crowd.hosts[one].mac());
                let hello = frame(to, from, b"hello");
                assert_eq!(crowd.send(one, &hello, at(0)), [(other, hello.clone())]);
            }
        }
        crowd
    }

    fn meet(&mut self, one: usize, other: usize, now: zt_engine::Now) {
        let handle = |at: usize| PeerHandle(u32::try_from(at).unwrap());
        let (left, right) = self.hosts.split_at_mut(other);
        let (one_host, other_host) = (&mut left[one], &mut right[0]);
        one_host.meet(handle(other), other_host, false);
        other_host.meet(handle(one), one_host, false);
        let rights = |at: usize| if at == REPLICATOR { 8 } else { 0 };
        one_host.admit(other_host, rights(other));
        other_host.admit(one_host, rights(one));
        shake(
            one_host,
            other_host,
            (handle(other), handle(one)),
            now,
            Suites::LEAST,
        );
    }

    fn place_of(&self, at: SocketAddr) -> usize {
        self.hosts.iter().position(|host| host.at == at).unwrap()
    }

    /// A frame of a host's device, and everything that it causes; what devices get, by host.
    fn send(&mut self, from: usize, frame: &[u8], now: zt_engine::Now) -> Vec<(usize, Vec<u8>)> {
        self.batch.clear();
        let host = &mut self.hosts[from];
        host.notes.clear();
        host.shard.tx(
            now,
            network(),
            TapFrame::plain(frame),
            &mut self.batch,
            &mut host.notes,
        );
        self.arrive(from, now)
    }

    /// The sender gives these members' share of any bytes to the replicator; what devices get, by host.
    fn hand(
        &mut self,
        members: &[[u8; Address::LEN]],
        bytes: &[u8],
        now: zt_engine::Now,
    ) -> Vec<(usize, Vec<u8>)> {
        let share = Message::Replicate(Replicate {
            network: network(),
            checksum: None,
            members,
            bytes,
        });
        let to = To {
            peer: PeerHandle(u32::try_from(REPLICATOR).unwrap()),
            path: None,
            whole: false,
        };
        self.batch.clear();
        let host = &mut self.hosts[SENDER];
        let (batch, notes) = (&mut self.batch, &mut host.notes);
        host.shard
            .send(now, to, &share.to_vec(), batch, notes)
            .unwrap();
        self.arrive(SENDER, now)
    }

    fn arrive(&mut self, from: usize, now: zt_engine::Now) -> Vec<(usize, Vec<u8>)> {
        let mut got = Vec::new();
        let mut batch = core::mem::replace(&mut self.batch, Batch::new());
        let from = self.hosts[from].at;
        self.second.clear();
        for index in 0..batch.len() {
            let (to, bytes) = batch.get(index);
            let place = self.place_of(to);
            let host = &mut self.hosts[place];
            match host
                .shard
                .rx(now, Path::Direct(from), bytes, &mut host.notes)
            {
                Verdict::Deliver { frame, .. } => got.push((place, frame.bytes.to_vec())),
                Verdict::Share(share) => {
                    host.shard
                        .replicate(now, &share, bytes, &mut self.second, &mut host.notes);
                }
                _ => {}
            }
        }
        let from = self.hosts[REPLICATOR].at;
        for index in 0..self.second.len() {
            let (to, bytes) = self.second.get(index);
            let place = self.hosts.iter().position(|host| host.at == to).unwrap();
            let host = &mut self.hosts[place];
            let verdict = host
                .shard
                .rx(now, Path::Direct(from), bytes, &mut host.notes);
            if let Verdict::Deliver { frame, .. } = verdict {
                got.push((place, frame.bytes.to_vec()));
            }
        }
        got.sort();
        got
    }

    fn broadcast(&self, from: usize, payload: &[u8]) -> Vec<u8> {
        frame(Mac::BROADCAST, self.hosts[from].mac(), payload)
    }

    fn everybody_but(&self, sender: usize, frame: &[u8]) -> Vec<(usize, Vec<u8>)> {
        let others = (0..self.hosts.len()).filter(|place| *place != sender);
        others.map(|place| (place, frame.to_vec())).collect()
    }

    fn dropped(&self, place: usize, reason: DropReason) -> u64 {
        self.hosts[place].shard.counters().dropped(reason)
    }
}

#[test]
fn above_the_limit_a_replicator_passes_on_and_everybody_gets_it_once() {
    for limit in [1, 3, 7] {
        let mut crowd = Crowd::new(limit);
        for payload in [&b"short"[..], &[7; 1_400]] {
            let sent = crowd.broadcast(SENDER, payload);
            let got = crowd.send(SENDER, &sent, at(1));
            // The members have met the sender, so its certificate is there.
            assert_eq!(got, crowd.everybody_but(SENDER, &sent), "limit {limit}");
        }
        let copies = crowd.hosts[REPLICATOR]
            .shard
            .counters()
            .count(Count::FramesReplicated);
        assert!(copies > 0, "limit {limit}: nothing was passed on");
    }
    let mut crowd = Crowd::new(MEMBERS - 1);
    let sent = crowd.broadcast(SENDER, b"few enough");
    assert_eq!(
        crowd.send(SENDER, &sent, at(1)),
        crowd.everybody_but(SENDER, &sent)
    );
    let counters = crowd.hosts[REPLICATOR].shard.counters();
    assert_eq!(counters.count(Count::FramesReplicated), 0);
}

#[test]
fn a_replicator_sends_its_own_frames_itself() {
    let mut crowd = Crowd::new(1);
    let sent = crowd.broadcast(REPLICATOR, b"mine");
    assert_eq!(
        crowd.send(REPLICATOR, &sent, at(1)),
        crowd.everybody_but(REPLICATOR, &sent)
    );
}

#[test]
fn one_that_has_gone_silent_gets_no_share() {
    let mut crowd = Crowd::new(1);
    let sent = crowd.broadcast(SENDER, b"into the void");
    crowd.batch.clear();
    let host = &mut crowd.hosts[SENDER];
    let lost = TapFrame::plain(&sent);
    host.shard
        .tx(at(1), network(), lost, &mut crowd.batch, &mut host.notes);
    crowd.batch.clear();
    let later = crowd.broadcast(SENDER, b"half a second later");
    assert_eq!(
        crowd.send(SENDER, &later, at(502)),
        crowd.everybody_but(SENDER, &later)
    );
    let counters = crowd.hosts[REPLICATOR].shard.counters();
    assert_eq!(counters.count(Count::FramesReplicated), 0);
}

#[test]
fn one_that_answers_goes_on_getting_its_share() {
    let mut crowd = Crowd::new(1);
    for step in 0..40 {
        let now = at(1 + step * 100);
        let sent = crowd.broadcast(SENDER, &step.to_be_bytes());
        assert_eq!(
            crowd.send(SENDER, &sent, now),
            crowd.everybody_but(SENDER, &sent),
            "step {step}"
        );
    }
    let counters = crowd.hosts[REPLICATOR].shard.counters();
    assert!(counters.count(Count::FramesReplicated) >= 40 * (MEMBERS as u64 - 3));
}

#[test]
fn a_share_for_who_may_not_replicate_is_dropped() {
    let mut crowd = Crowd::new(1);
    let policy = crowd.hosts[REPLICATOR].policy(2);
    crowd.hosts[REPLICATOR].impose(policy);
    let sent = crowd.broadcast(SENDER, b"please");
    let got = crowd.send(SENDER, &sent, at(1));
    assert!(got.len() < MEMBERS - 1);
    assert!(crowd.dropped(REPLICATOR, DropReason::NotAllowed) > 0);
}

#[test]
fn a_frame_passed_on_by_who_may_not_is_dropped() {
    let mut crowd = Crowd::new(1);
    for place in 2..MEMBERS {
        let (left, right) = crowd.hosts.split_at_mut(place);
        right[0].admit(&left[REPLICATOR], 0);
    }
    let sent = crowd.broadcast(SENDER, b"says who");
    let got = crowd.send(SENDER, &sent, at(1));
    let dropped: u64 = (2..MEMBERS)
        .map(|place| crowd.dropped(place, DropReason::NotAllowed))
        .sum();
    assert_eq!(dropped + got.len() as u64, MEMBERS as u64 - 1);
    assert!(dropped > 0);
}

#[test]
fn a_strangers_frame_waits_until_its_certificate_is_there() {
    let mut crowd = Crowd::new(1);
    // Somebody the last member has never met.
    let last = MEMBERS - 1;
    let address = crowd.hosts[SENDER].address();
    let update = zt_engine::shard::Update::MemberOut {
        network: network(),
        address,
    };
    crowd.hosts[last].shard.apply(update);
    let sent = crowd.broadcast(SENDER, b"who is that");
    let to: Address = crowd.hosts[last].address();
    let members = [to.to_bytes()];
    assert!(crowd.hand(&members, &sent, at(1)).is_empty());
    // The same datagram cannot come twice; it was kept as it came.
    let mut message = Message::Frame(zt_wire::message::Frame {
        network: network(),
        elided: false,
        checksum: None,
        origin: Some(address),
        bytes: &sent,
    })
    .to_vec();
    let replicator = PeerHandle(u32::try_from(REPLICATOR).unwrap());
    let host = &mut crowd.hosts[last];
    let early = host
        .shard
        .enter(at(2), replicator, &mut message, &mut host.notes);
    assert!(matches!(early, Verdict::Drop(DropReason::NotMember)));
    let (left, right) = crowd.hosts.split_at_mut(last);
    right[0].admit(&left[SENDER], 0);
    let host = &mut right[0];
    let entered = host
        .shard
        .enter(at(2), replicator, &mut message, &mut host.notes);
    let Verdict::Deliver { frame, .. } = entered else {
        panic!("{entered:?}")
    };
    assert_eq!(frame.bytes, sent);
}

#[test]
fn a_forged_source_stops_at_the_replicator() {
    let mut crowd = Crowd::new(1);
    let forged = frame(Mac::BROADCAST, crowd.hosts[5].mac(), b"I am another");
    let members = [crowd.hosts[6].address().to_bytes()];
    assert!(crowd.hand(&members, &forged, at(1)).is_empty());
    assert_eq!(crowd.dropped(REPLICATOR, DropReason::SourceMac), 1);
}

#[test]
fn copies_wait_for_a_replicator_that_is_listed_and_go_out_alone_when_none_comes() {
    let mut crowd = Crowd::new(2);
    let replicator = crowd.hosts[REPLICATOR].address();
    crowd.hosts[SENDER].path(PeerHandle(u32::try_from(REPLICATOR).unwrap()), None, 1_200);
    let sent = crowd.broadcast(SENDER, b"wait");
    let first = crowd.send(SENDER, &sent, at(1));
    assert!(first.len() <= 2);
    assert!(
        crowd.hosts[SENDER]
            .notes
            .contains(&Note::Unshared { network: network() })
    );
    crowd.batch.clear();
    let host = &mut crowd.hosts[SENDER];
    let frame = TapFrame::plain(&sent);
    host.shard.share(
        at(1_502),
        network(),
        frame,
        &mut crowd.batch,
        &mut host.notes,
    );
    let mut all = [first, crowd.arrive(SENDER, at(1_502))].concat();
    all.sort();
    let reached: Vec<usize> = all.iter().map(|(place, _)| *place).collect();
    let expected: Vec<usize> = (2..MEMBERS).collect();
    assert_eq!(reached, expected, "all but {replicator}, who has no path");
    // Nobody waits for it now.
    let next = crowd.broadcast(SENDER, b"at once");
    let got = crowd.send(SENDER, &next, at(1_600));
    assert_eq!(got.len(), MEMBERS - 2);
    assert!(
        !crowd.hosts[SENDER]
            .notes
            .contains(&Note::Unshared { network: network() })
    );
}
