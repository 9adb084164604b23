//! Scenarios drawn by lot: whatever happens, nothing forbidden does; and once all is mended, everybody meets.
//!
//! Owner: the scenario. In: a seed, how many steps. Out: what was done, and what failed. Never: a step that its story does not tell.

use core::time::Duration;
use std::collections::BTreeSet;

use crate::dice::Dice;
use crate::frames::Kind;
use crate::internet::{HostId, Internet, Weather};
use crate::lan::Lan;
use crate::nat::Behaviour;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Story {
    /// The seed.
    pub seed: u64,
    /// What was done, in order, with the simulated time.
    pub steps: Vec<String>,
    /// What ought to have been otherwise; empty when all is well.
    pub failures: Vec<String>,
    /// The hash of everything that happened.
    pub trace: u64,
    /// Frames delivered.
    pub delivered: u64,
}

/// One scenario of `steps` steps.
pub fn fuzz(seed: u64, steps: u64) -> Story {
    let mut run = Run::new(seed);
    for step in 0..steps {
        run.step(run.dice.on(0x57e9).on(step));
    }
    run.mend();
    run.meet();
    run.finish()
}

struct Run {
    lan: Lan,
    dice: Dice,
    supernodes: Vec<HostId>,
    hosts: Vec<HostId>,
    members: BTreeSet<HostId>,
    dead: BTreeSet<HostId>,
    steps: Vec<String>,
    failures: Vec<String>,
}

const NATS: [Behaviour; 5] = [
    Behaviour::FULL_CONE,
    Behaviour::RESTRICTED,
    Behaviour::PORT_RESTRICTED,
    Behaviour::PRESERVING,
    Behaviour::SYMMETRIC,
];

impl Run {
    fn new(seed: u64) -> Self {
        let dice = Dice::new(seed).on(0xf022);
        let supernodes = 1 + u32::try_from(dice.on(1).below(3)).unwrap_or(0);
        let lan = Lan::private(seed, supernodes);
        let mut run = Self {
            lan,
            dice,
            supernodes: (0..supernodes).map(HostId).collect(),
            hosts: Vec::new(),
            members: BTreeSet::new(),
            dead: BTreeSet::new(),
            steps: vec![format!("{supernodes} supernodes")],
            failures: Vec::new(),
        };
        for at in 0..2 + dice.on(2).below(5) {
            run.arrive(dice.on(3).on(at));
        }
        run.lan.world.run_for(Duration::from_secs(4));
        run
    }

    /// A host comes, asks to join, and is let in.
    fn arrive(&mut self, dice: Dice) {
        let host = self.somewhere(dice);
        self.hosts.push(host);
        if !self.dead.contains(&self.lan.controller) {
            self.lan.authorize(host);
            self.members.insert(host);
        }
        self.tell(&format!("{host:?} comes"));
    }

    fn somewhere(&mut self, dice: Dice) -> HostId {
        match dice.below(6) {
            0 => self.lan.join(Internet::PUBLIC),
            // A LAN with somebody else.
            1 if !self.hosts.is_empty() => {
                let neighbour = self.hosts[self.pick(dice.on(1), self.hosts.len())];
                let site = self.lan.world.net.site_of(neighbour);
                self.lan.join(site)
            }
            _ => self
                .lan
                .join_behind(NATS[self.pick(dice.on(2), NATS.len())]),
        }
    }

    fn step(&mut self, dice: Dice) {
        let host = self.hosts[self.pick(dice.on(1), self.hosts.len())];
        match dice.below(100) {
            0..50 => self.talk(dice.on(2)),
            50..58 => self.wait(dice.on(3)),
            58..64 => self.weather(dice.on(4)),
            64..70 => self.kill_or_start(host),
            70..75 => self.kill_or_start(self.lan.controller),
            75..80 => {
                self.kill_or_start(self.supernodes[self.pick(dice.on(5), self.supernodes.len())]);
            }
            80..86 => self.roam(host, dice.on(6)),
            86..92 => {
                let site = self.lan.world.net.site_of(host);
                self.lan.world.net.rebind(site);
                self.tell(&format!("the router of {host:?} forgets"));
            }
            92..95 if self.hosts.len() < 10 => self.arrive(dice.on(7)),
            95..98 => self.put_out_or_let_in(host),
            _ => self.wait(dice.on(8)),
        }
        self.lan
            .world
            .run_for(dice.on(9).span(Duration::ZERO, Duration::from_millis(800)));
    }

    /// Some frames between members, of any kind and size.
    fn talk(&mut self, dice: Dice) {
        for at in 0..10 {
            let dice = dice.on(at);
            let from = self.hosts[self.pick(dice.on(1), self.hosts.len())];
            let to = self.hosts[self.pick(dice.on(2), self.hosts.len())];
            if self.dead.contains(&from) {
                continue;
            }
            let network = self.lan.network;
            if dice.on(3).hits(100) {
                self.lan
                    .world
                    .broadcast(network, from, self.pick(dice.on(4), 1400));
            } else if from != to {
                let kind = Kind::ALL[self.pick(dice.on(5), Kind::ALL.len())];
                let most = 1502 - kind.head();
                self.lan
                    .world
                    .send(network, from, to, kind, 8 + self.pick(dice.on(6), most - 8));
            }
            self.lan
                .world
                .run_for(Duration::from_millis(dice.on(7).below(20)));
        }
    }

    fn wait(&mut self, dice: Dice) {
        let most = if dice.hits(200) {
            Duration::from_mins(15)
        } else {
            Duration::from_secs(20)
        };
        let span = dice.on(1).span(Duration::ZERO, most);
        self.tell(&format!("{span:?} pass"));
        self.lan.world.run_for(span);
    }

    fn weather(&mut self, dice: Dice) {
        let weather = match dice.below(3) {
            0 => Weather::FAIR,
            1 => Weather::STORM,
            _ => Weather {
                loss: 200,
                duplicate: 100,
                reorder: 200,
                mtu: 1300 + self.pick(dice.on(1), 172),
            },
        };
        self.tell(&format!("{weather:?}"));
        self.lan.world.net.weather = weather;
    }

    fn kill_or_start(&mut self, host: HostId) {
        if self.dead.remove(&host) {
            self.tell(&format!("{host:?} starts"));
            self.lan.world.start(host);
        } else {
            self.dead.insert(host);
            self.tell(&format!("{host:?} dies"));
            self.lan.world.kill(host);
        }
    }

    fn roam(&mut self, host: HostId, dice: Dice) {
        if self.dead.contains(&host) {
            return;
        }
        let site = self.lan.world.net.site(NATS[self.pick(dice, NATS.len())]);
        self.tell(&format!("{host:?} roams"));
        self.lan.world.roam(host, site);
    }

    /// Five seconds are promised only where news can travel: all is mended first.
    fn put_out_or_let_in(&mut self, host: HostId) {
        self.mend();
        if self.members.remove(&host) {
            self.tell(&format!("{host:?} is put out"));
            self.lan.deauthorize(host);
        } else {
            self.tell(&format!("{host:?} is let in"));
            self.members.insert(host);
            self.lan.authorize(host);
        }
        self.lan.world.run_for(Duration::from_secs(6));
    }

    /// The links are fair, everybody runs, and what that brings about has had its time.
    fn mend(&mut self) {
        self.tell("all is mended");
        self.lan.world.net.weather = Weather::FAIR;
        for host in core::mem::take(&mut self.dead) {
            self.lan.world.start(host);
        }
        for host in self.hosts.clone() {
            if !self.members.contains(&host) && !self.was_put_out(host) {
                self.lan.authorize(host);
                self.members.insert(host);
            }
        }
        self.lan.world.run_for(Duration::from_mins(2));
    }

    fn was_put_out(&self, host: HostId) -> bool {
        let story = format!("{host:?} is put out");
        self.steps.iter().any(|step| step.ends_with(&story))
    }

    /// Every member reaches every other.
    fn meet(&mut self) {
        let members: Vec<HostId> = self.members.iter().copied().collect();
        for from in &members {
            for to in members.iter().filter(|to| *to != from) {
                if self
                    .lan
                    .reach_again(*from, *to, Duration::from_secs(10))
                    .is_none()
                {
                    self.failures.push(format!(
                        "{from:?} does not reach {to:?} although all is mended"
                    ));
                }
            }
        }
    }

    fn finish(mut self) -> Story {
        self.failures
            .extend(self.lan.world.model.violations().iter().cloned());
        Story {
            seed: self.lan.world.seed(),
            steps: self.steps,
            failures: self.failures,
            trace: self.lan.world.trace(),
            delivered: self.lan.world.model.delivered(),
        }
    }

    fn tell(&mut self, what: &str) {
        self.steps
            .push(format!("{:?} {what}", self.lan.world.now().mono));
    }

    #[allow(clippy::unused_self)]
    fn pick(&self, dice: Dice, of: usize) -> usize {
        usize::try_from(dice.below(of as u64)).unwrap_or(0)
    }
}
