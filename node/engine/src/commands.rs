//! What people and the host program ask: answered at once, or when the wire has answered.
//!
//! Owner: the engine. In: commands, pongs, sessions that become ready, time. Out: replies, one each.
//! Never: a command without a reply; a wait longer than it was given.

use std::collections::BTreeMap;
use std::vec::Vec;

use zt_wire::message::{Goodbye, Message};
use zt_wire::{Address, NetworkId};

use crate::deadlines::Timer;
use crate::engine::Engine;
use crate::interface::{Command, CommandId, Effect, Failure, PathKind, Reply};
use crate::limits;
use crate::networks::Join;
use crate::outbox::Outbox;
use crate::proving::Brought;
use crate::shard::{Path, PeerHandle};
use crate::time::{Mono, Now};

/// Commands that wait.
#[derive(Debug, Default)]
pub struct Commands {
    open: BTreeMap<u64, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    to: Address,
    what: What,
    until: Mono,
}

#[derive(Debug)]
enum What {
    /// The echo leaves when there is a session; then token and time are known.
    Ping(Option<(u64, Mono)>),
    /// The message leaves when there is a session.
    Push(Vec<u8>),
    /// The test begins when there is a session: on which network, whether both ways, whether it has begun.
    Selftest(NetworkId, bool, bool),
}

impl Engine {
    /// Takes a command.
    pub(crate) fn command(&mut self, now: Now, id: CommandId, command: Command, out: &mut Outbox) {
        let reply = match command {
            Command::Info => Reply::Info(self.info()),
            Command::Networks => Reply::Networks(self.networks.info()),
            Command::Peers => Reply::Peers(self.peer_infos()),
            Command::Paths(address) => self.paths_reply(address),
            Command::Why(address) => self.why_reply(address),
            Command::Counters => Reply::Counters(Box::new(self.counters.clone())),
            Command::Ping { to, limit } => {
                let until = now.mono + limit.min(limits::PING_LONGEST);
                let what = What::Ping(None);
                self.wait_for(now, id, Waiting { to, what, until }, out);
                return;
            }
            Command::Push { to, message } => {
                let until = now.mono + limits::PUSH_FOR;
                let what = What::Push(message);
                self.wait_for(now, id, Waiting { to, what, until }, out);
                return;
            }
            Command::Selftest {
                network,
                with: to,
                both,
                limit,
            } => {
                if !self.networks.is_up(network) {
                    let failed = Reply::Failed(Failure::NoSuchNetwork);
                    out.effect(Effect::Reply(id, failed));
                    return;
                }
                let until = now.mono + limit.min(limits::SELFTEST_LONGEST);
                let what = What::Selftest(network, both, false);
                self.wait_for(now, id, Waiting { to, what, until }, out);
                return;
            }
            Command::Join {
                network,
                fingerprint,
                token,
            } => done(self.networks.join(
                now,
                network,
                Join { fingerprint, token },
                &mut self.actions,
            )),
            Command::Leave(network) => done(self.networks.leave(now, network, &mut self.actions)),
            Command::Set(network, consent) => {
                done(self.networks.set(now, network, consent, &mut self.actions))
            }
            Command::Shutdown => {
                self.shut_down(out);
                Reply::Done
            }
            Command::AdoptWorld(bytes) => {
                if self.follow(Brought::Command(id), bytes, out) {
                    return;
                }
                Reply::Failed(Failure::Refused)
            }
        };
        out.effect(Effect::Reply(id, reply));
    }

    /// A session is ready: what waited for it leaves.
    pub(crate) fn commands_ready(&mut self, now: Now, handle: PeerHandle, out: &mut Outbox) {
        let Some(address) = self.peers.get(handle).map(crate::peers::Peer::address) else {
            return;
        };
        let ids: Vec<u64> = self
            .commands
            .open
            .iter()
            .filter(|(_, waiting)| waiting.to == address)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.command_goes(now, id, handle, out);
        }
    }

    /// A pong with this token came.
    pub(crate) fn command_pong(
        &mut self,
        now: Now,
        handle: PeerHandle,
        token: u64,
        out: &mut Outbox,
    ) {
        let found = self
            .commands
            .open
            .iter()
            .find_map(|(id, waiting)| match waiting.what {
                What::Ping(Some((open, sent))) if open == token => Some((*id, sent)),
                What::Ping(_) | What::Push(_) | What::Selftest(..) => None,
            });
        let Some((id, sent)) = found else { return };
        let kind = match self.peers.get(handle).and_then(|peer| peer.paths.active) {
            Some(Path::Direct(_)) => PathKind::Direct,
            Some(Path::Relay { .. }) | None => PathKind::Relay,
        };
        self.settle(id, Reply::Pong(now.mono.since(sent), kind), out);
    }

    /// Nobody has this address, or it does not answer.
    pub(crate) fn commands_unreachable(&mut self, address: Address, out: &mut Outbox) {
        let ids: Vec<u64> = self
            .commands
            .open
            .iter()
            .filter(|(_, waiting)| waiting.to == address)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            self.settle(id, Reply::Failed(Failure::NoSuchPeer), out);
        }
    }

    /// A command's patience has ended.
    pub(crate) fn command_overdue(&mut self, id: u64, out: &mut Outbox) {
        let reply = match self.commands.open.get(&id).map(|waiting| &waiting.what) {
            Some(What::Selftest(..)) => self.selftest_overdue(id),
            Some(What::Ping(_) | What::Push(_)) | None => Reply::Failed(Failure::TimedOut),
        };
        self.settle(id, reply, out);
    }

    fn wait_for(&mut self, now: Now, id: CommandId, waiting: Waiting, out: &mut Outbox) {
        let to = waiting.to;
        if self.commands.open.len() >= limits::COMMANDS_OPEN {
            out.effect(Effect::Reply(id, Reply::Failed(Failure::Full)));
            return;
        }
        if to == self.me.address() {
            out.effect(Effect::Reply(id, Reply::Failed(Failure::NoSuchPeer)));
            return;
        }
        self.deadlines.set(Timer::Command(id.0), waiting.until);
        self.commands.open.insert(id.0, waiting);
        match self
            .peers
            .by_address(to)
            .filter(|peer| peer.ready())
            .map(|peer| peer.handle)
        {
            Some(handle) => self.command_goes(now, id.0, handle, out),
            None => self.connect(now, to, out),
        }
    }

    fn command_goes(&mut self, now: Now, id: u64, handle: PeerHandle, out: &mut Outbox) {
        let token = self.chance.number();
        let Some(waiting) = self.commands.open.get_mut(&id) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(handle) {
            peer.wanted = now.mono;
        }
        match &mut waiting.what {
            What::Ping(sent @ None) => {
                *sent = Some((token, now.mono));
                out.say(handle, &Message::Ping(token));
            }
            What::Ping(Some(_)) => {}
            What::Push(message) => {
                let body = core::mem::take(message);
                out.message(handle, body);
                self.settle(id, Reply::Done, out);
            }
            What::Selftest(network, both, begun) => {
                if core::mem::replace(begun, true) {
                    return;
                }
                let (whom, both) = ((*network, waiting.to), *both);
                if let Err(failure) = self.selftest_wanted(now, id, whom, both) {
                    self.settle(id, Reply::Failed(failure), out);
                }
            }
        }
    }

    /// Answers a command that waited.
    pub(crate) fn settle(&mut self, id: u64, reply: Reply, out: &mut Outbox) {
        if self.commands.open.remove(&id).is_some() {
            self.deadlines.clear(Timer::Command(id));
            out.effect(Effect::Reply(CommandId(id), reply));
        }
    }

    fn shut_down(&mut self, out: &mut Outbox) {
        self.save_peers(out);
        let ready: Vec<PeerHandle> = self
            .peers
            .iter()
            .filter(|peer| peer.ready())
            .map(|peer| peer.handle)
            .collect();
        for handle in ready {
            out.say(handle, &Message::Goodbye(Goodbye::Stopping));
        }
    }
}

fn done(result: Result<(), Failure>) -> Reply {
    match result {
        Ok(()) => Reply::Done,
        Err(failure) => Reply::Failed(failure),
    }
}
