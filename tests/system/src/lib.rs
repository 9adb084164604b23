//! The ground of the system tests: a town with a supernode, a netconf-master, and nodes as they are asked for.
//!
//! In: the programs of this workspace. Out: a [`Town`] for the length of one story. Never: a look into a program.
#![forbid(unsafe_code)]

pub mod frames;
pub mod party;

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use zt_lab::{
    Failed, Home, Host, Internet, Keep, Lab, Nat, Programs,
    ipx::{Station, cross},
    measure::Pair,
    programs::Profile,
    traffic,
    zt::{self, Created, Joined, Kit, Master, Node, Supernode},
};

/// A small Internet with one supernode and one netconf-master, both on public hosts.
#[derive(Debug)]
pub struct Town {
    /// The supernode.
    pub supernode: Supernode,
    /// The netconf-master.
    pub master: Master,
    /// The binaries.
    pub kit: Kit,
    /// The hosts and segments. Dropped last: it takes everything else with it.
    pub internet: Internet,
}

/// Tells a story on a town of its own; a failure shows the programs' last words.
///
/// # Panics
/// When the story fails: this is how a test says so.
pub fn story(tell: impl FnOnce(&mut Town) -> Result<(), Failed>) {
    story_with(kit(), tell);
}

/// The same with programs of the teller's choice.
///
/// # Panics
/// When the story fails.
pub fn story_with(kit: Kit, tell: impl FnOnce(&mut Town) -> Result<(), Failed>) {
    let town = Lab::new(Keep::Nothing)
        .and_then(Internet::new)
        .and_then(|internet| Town::new(internet, kit));
    let mut town = match town {
        Ok(town) => town,
        Err(failed) => panic!("{failed}"),
    };
    if let Err(failed) = tell(&mut town) {
        // Panics while the town stands, so that dropping it prints the logs.
        panic!("{failed}");
    }
}

/// The programs, built once as the tests themselves are, in a world with a weak proof of work.
///
/// # Panics
/// When the programs do not build.
pub fn kit() -> Kit {
    static PROGRAMS: OnceLock<Result<Programs, Failed>> = OnceLock::new();
    match PROGRAMS.get_or_init(|| Programs::build(Profile::Dev)) {
        Ok(programs) => Kit::weak(programs.clone()),
        Err(failed) => panic!("{failed}"),
    }
}

impl Town {
    /// A town on an empty Internet.
    ///
    /// # Errors
    /// When its programs do not serve.
    pub fn new(internet: Internet, kit: Kit) -> Result<Self, Failed> {
        let (super_host, super_address) = internet.public("supernode")?;
        let supernode = Supernode::init(&kit, &super_host, super_address)?;
        let (master_host, _) = internet.public("master")?;
        let master = Master::run(&kit, &master_host, &supernode.world())?;
        Ok(Self {
            supernode,
            master,
            kit,
            internet,
        })
    }

    /// A node on a public host: on one LAN with all the other public hosts.
    ///
    /// # Errors
    /// When it does not serve.
    pub fn node(&self, name: &str) -> Result<Node, Failed> {
        let (host, _) = self.internet.public(name)?;
        Node::run(&self.kit, &host, &self.supernode.world())
    }

    /// A node in a home.
    ///
    /// # Errors
    /// When it does not serve.
    pub fn home(&self, name: &str, nat: Nat) -> Result<(Home, Node), Failed> {
        let home = self.internet.home(name, nat)?;
        let node = Node::run(&self.kit, &home.host, &self.supernode.world())?;
        Ok((home, node))
    }

    /// Two nodes on public hosts that have joined a new network.
    ///
    /// # Errors
    /// When anything of it fails.
    pub fn pair(&self) -> Result<Couple, Failed> {
        let network = self.network()?;
        let (a, b) = (self.node("a")?, self.node("b")?);
        self.couple(network, a, b)
    }

    /// Two nodes behind ordinary, different NATs that have joined a new network.
    ///
    /// # Errors
    /// When anything of it fails.
    pub fn homes(&self) -> Result<([Home; 2], Couple), Failed> {
        let network = self.network()?;
        let (home_a, a) = self.home("home-a", Nat::KeepsPort)?;
        let (home_b, b) = self.home("home-b", Nat::OtherPort)?;
        Ok(([home_a, home_b], self.couple(network, a, b)?))
    }

    /// A private network.
    ///
    /// # Errors
    /// When the netconf-master refuses.
    pub fn network(&self) -> Result<Created, Failed> {
        self.master.create("town", zt::POOL)
    }

    /// Two nodes on hosts that are there already, joined to a network.
    ///
    /// # Errors
    /// When anything of it fails.
    pub fn couple_on(&self, network: Created, hosts: &[Host; 2]) -> Result<Couple, Failed> {
        let world = self.supernode.world();
        let a = Node::run(&self.kit, &hosts[0], &world)?;
        let b = Node::run(&self.kit, &hosts[1], &world)?;
        self.couple(network, a, b)
    }

    fn couple(&self, network: Created, a: Node, b: Node) -> Result<Couple, Failed> {
        let invite = self.master.invite(&network)?;
        let ja = a.join(&invite)?;
        let jb = b.join(&invite)?;
        Ok(Couple {
            a,
            b,
            ja,
            jb,
            network,
        })
    }
}

/// Two nodes on one network.
#[derive(Debug)]
pub struct Couple {
    /// One node.
    pub a: Node,
    /// The other.
    pub b: Node,
    /// Where the one is on the network.
    pub ja: Joined,
    /// Where the other is.
    pub jb: Joined,
    /// Their network.
    pub network: Created,
}

impl Couple {
    /// For measurements.
    pub const fn pair(&self) -> Pair<'_> {
        Pair {
            a: (&self.a, &self.ja),
            b: (&self.b, &self.jb),
        }
    }

    /// Waits until they have met and their path is direct, in both their eyes.
    ///
    /// # Errors
    /// When that does not come about.
    pub fn meet_directly(&self) -> Result<(), Failed> {
        self.pair().first_ping()?;
        self.pair().direct(Instant::now())?;
        self.pair().turned().direct(Instant::now())?;
        Ok(())
    }

    /// How long until a ping from one to the other is answered.
    ///
    /// # Errors
    /// When none is within `limit`.
    pub fn reached_within(&self, limit: Duration) -> Result<Duration, Failed> {
        traffic::first_ping(&self.a.host, &self.jb.ip.to_string(), limit)
    }

    /// How long until no ping from one to the other is answered any more.
    ///
    /// # Errors
    /// When one still is after `limit`.
    pub fn cut_off_within(&self, limit: Duration) -> Result<Duration, Failed> {
        silent_within(&self.a, &self.jb, limit)
    }
}

/// How long until a node hears no answer from an address on the network any more.
///
/// # Errors
/// When it still does after `limit`.
pub fn silent_within(from: &Node, to: &Joined, limit: Duration) -> Result<Duration, Failed> {
    let started = Instant::now();
    let target = to.ip.to_string();
    let mut quiet_since = started;
    loop {
        let ping = from
            .host
            .run("ping", &["-n", "-q", "-c", "1", "-W", "0.3", &target])?;
        if ping.code == 0 {
            quiet_since = Instant::now();
        }
        // Two answers missing in a row is silence, one could be chance.
        if quiet_since.elapsed() > Duration::from_millis(700) {
            return Ok(quiet_since - started);
        }
        if started.elapsed() > limit + Duration::from_secs(1) {
            return Err(Failed::new(format!(
                "{target} still answers {} after {limit:?}",
                from.host.name()
            )));
        }
    }
}

/// Prints a figure that the summary of `cargo lab test` shows.
pub fn measured(what: &str, figure: impl std::fmt::Display) {
    println!("{}{what}: {figure}", zt_lab::checks::MEASURED);
}

/// A failure unless each frame comes out as it was, once; it names the lengths of those that do not.
///
/// # Errors
/// That, or a device that is gone.
pub fn ensure_all_cross(from: &Station, to: &Station, frames: &[Vec<u8>]) -> Result<(), Failed> {
    let heard = cross(from, to, frames)?;
    let lost: Vec<usize> = frames
        .iter()
        .zip(heard)
        .filter(|(_, heard)| !heard)
        .map(|(frame, _)| frame.len())
        .collect();
    ensure(lost.is_empty(), || {
        format!("lengths lost, changed or doubled: {lost:?}")
    })
}

/// A failure unless `holds`.
///
/// # Errors
/// With the sentence.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds {
        Ok(())
    } else {
        Err(Failed::new(otherwise()))
    }
}
