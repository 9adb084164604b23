//! What most scenarios begin with: a world, a controller, one network, members that join it.
//!
//! Owner: the scenario. In: how many and where. Out: a running network, and questions about it in one line.
//! Never: an assertion about anything but what it was asked.

use core::time::Duration;
use std::net::Ipv4Addr;

use zt_api::master::{MemberSettings, MemberStatus, NetworkSettings, Subnet};
use zt_engine::interface::{Command, NetworkInfo, PathInfo, PathKind, Reply, Status};
use zt_netconf_master::Absent;
use zt_netconf_master::model::Actor;
use zt_wire::NetworkId;

use crate::frames::Kind;
use crate::internet::{HostId, Internet, SiteId};
use crate::nat::Behaviour;
use crate::world::World;

/// A world with one network in it.
pub struct Lan {
    /// The world.
    pub world: World,
    /// Who decides.
    pub controller: HostId,
    /// The network.
    pub network: NetworkId,
    public: bool,
}

impl Lan {
    /// A private network; members wait until they are authorized.
    pub fn private(seed: u64, supernodes: u32) -> Self {
        Self::new(seed, supernodes, false)
    }

    /// A public network; everybody is let in.
    pub fn public(seed: u64, supernodes: u32) -> Self {
        Self::new(seed, supernodes, true)
    }

    fn new(seed: u64, supernodes: u32, public: bool) -> Self {
        let mut world = World::new(seed, supernodes);
        let controller = world.controller(Internet::PUBLIC);
        let network = make_network(&mut world, controller, public);
        world.run_for(Duration::from_secs(2));
        Self {
            world,
            controller,
            network,
            public,
        }
    }

    /// A leaf on the Internet that has asked to join.
    pub fn join(&mut self, site: SiteId) -> HostId {
        let host = self.world.leaf(site);
        self.ask_to_join(host);
        host
    }

    /// A leaf behind a NAT of its own that has asked to join.
    pub fn join_behind(&mut self, behaviour: Behaviour) -> HostId {
        let site = self.world.net.site(behaviour);
        self.join(site)
    }

    /// Lets a host ask to join.
    pub fn ask_to_join(&mut self, host: HostId) {
        let fingerprint = Some(self.world.host(self.controller).verified().key());
        self.world.command(
            host,
            Command::Join {
                network: self.network,
                fingerprint,
                token: None,
            },
        );
        if self.public {
            let now = self.world.now().mono;
            self.world.model.authorized(self.network, host, now);
        }
    }

    /// A person lets a member in.
    pub fn authorize(&mut self, host: HostId) {
        let now = self.world.now().mono;
        self.world.model.authorized(self.network, host, now);
        self.set(host, MemberStatus::Authorized);
    }

    /// A person puts a member out.
    pub fn deauthorize(&mut self, host: HostId) {
        let now = self.world.now().mono;
        self.world.model.deauthorized(self.network, host, now);
        self.set(host, MemberStatus::Denied);
    }

    /// Members, authorized, with their devices up and known to each other.
    ///
    /// # Panics
    /// When one of them does not get so far in 20 s.
    pub fn members(&mut self, sites: &[SiteId]) -> Vec<HostId> {
        let hosts: Vec<HostId> = sites.iter().map(|site| self.join(*site)).collect();
        if !self.public {
            for host in &hosts {
                self.authorize(*host);
            }
        }
        for host in &hosts {
            let up = self.wait_up(*host, Duration::from_secs(20));
            assert!(
                up.is_some(),
                "seed {}: {host:?} does not become a member",
                self.world.seed()
            );
        }
        // Each of them is in the others' directories after this.
        self.world.run_for(Duration::from_secs(1));
        hosts
    }

    /// Two members at these sites.
    pub fn pair(&mut self, one: SiteId, other: SiteId) -> [HostId; 2] {
        let hosts = self.members(&[one, other]);
        [hosts[0], hosts[1]]
    }

    /// Two members, each behind a NAT of its own.
    pub fn pair_behind(&mut self, one: Behaviour, other: Behaviour) -> [HostId; 2] {
        let sites = [self.world.net.site(one), self.world.net.site(other)];
        self.pair(sites[0], sites[1])
    }

    /// How many of these frames their receivers have not got.
    pub fn missing(&self, sent: &[(HostId, Vec<u8>)]) -> usize {
        let lost = |(to, bytes): &&(HostId, Vec<u8>)| !self.world.model.has_got(*to, bytes);
        sent.iter().filter(lost).count()
    }

    /// A person begins the next epoch.
    ///
    /// # Panics
    /// Never: the store is in memory and the network exists.
    pub fn advance_epoch(&mut self) {
        let network = self.network;
        self.world
            .at_controller(self.controller, |controller, now| {
                let outcome = controller
                    .advance_epoch(network, Actor::Admin, now)
                    .expect("a network that exists");
                ((), outcome.pushes)
            });
    }

    /// A person gives the network other flow rules.
    ///
    /// # Panics
    /// When the text cannot be compiled.
    pub fn rules(&mut self, text: &str) {
        let network = self.network;
        let settings = NetworkSettings {
            rules: Some(text.to_owned()),
            ..NetworkSettings::default()
        };
        self.world
            .at_controller(self.controller, |controller, now| {
                let outcome = controller
                    .change_network(network, &settings, now)
                    .expect("a text that can be compiled");
                ((), outcome.pushes)
            });
    }

    /// Lets time pass until a host's device is up; how long it took.
    pub fn wait_up(&mut self, host: HostId, within: Duration) -> Option<Duration> {
        let network = self.network;
        self.world
            .run_until(within, |world| world.host(host).tap_plan(network).is_some())
    }

    /// One frame from one to the other; how long it took, if it arrived.
    pub fn reach(&mut self, from: HostId, to: HostId, within: Duration) -> Option<Duration> {
        let bytes = self
            .world
            .send(self.network, from, to, Kind::Experimental, 100)?;
        self.world
            .run_until(within, |world| world.model.has_got(to, &bytes))
    }

    /// A frame every 50 ms until one arrives, for when frames may be lost; how long it took.
    pub fn reach_again(&mut self, from: HostId, to: HostId, within: Duration) -> Option<Duration> {
        let start = self.world.now().mono;
        let end = start + within;
        let mut sent = Vec::new();
        while self.world.now().mono < end {
            sent.extend(
                self.world
                    .send(self.network, from, to, Kind::Experimental, 100),
            );
            self.world.run_for(Duration::from_millis(50));
            if sent.iter().any(|bytes| self.world.model.has_got(to, bytes)) {
                return Some(self.world.now().mono.since(start));
            }
        }
        None
    }

    /// Whether frames between two take the direct path, seen from the first.
    pub fn is_direct(&mut self, from: HostId, to: HostId) -> bool {
        self.path(from, to)
            .is_some_and(|path| path.kind == PathKind::Direct)
    }

    /// The path in use between two, seen from the first.
    pub fn path(&mut self, from: HostId, to: HostId) -> Option<PathInfo> {
        let address = self.world.host(to).overlay();
        match self
            .world
            .ask(from, Command::Paths(address), Duration::from_secs(1))
        {
            Some(Reply::Paths(paths)) => paths.into_iter().find(|path| path.in_use),
            _ => None,
        }
    }

    /// Lets time pass, with a frame each way every 100 ms, until the path is direct.
    pub fn wait_direct(
        &mut self,
        one: HostId,
        other: HostId,
        within: Duration,
    ) -> Option<Duration> {
        let start = self.world.now().mono;
        let end = start + within;
        while self.world.now().mono < end {
            self.world
                .send(self.network, one, other, Kind::Experimental, 50);
            self.world
                .send(self.network, other, one, Kind::Experimental, 50);
            self.world.run_for(Duration::from_millis(100));
            if self.is_direct(one, other) && self.is_direct(other, one) {
                return Some(self.world.now().mono.since(start));
            }
        }
        None
    }

    /// A host's view of the network.
    pub fn info(&mut self, host: HostId) -> Option<NetworkInfo> {
        let network = self.network;
        match self
            .world
            .ask(host, Command::Networks, Duration::from_secs(1))
        {
            Some(Reply::Networks(networks)) => networks.into_iter().find(|info| info.id == network),
            _ => None,
        }
    }

    /// A person gives a member other settings; the members have heard of it a second later.
    ///
    /// # Panics
    /// Never: the store is in memory and the settings are right.
    pub fn give(&mut self, host: HostId, settings: &MemberSettings) {
        self.change(host, settings);
        self.world.run_for(Duration::from_secs(1));
    }

    /// Where joining stands.
    pub fn status(&mut self, host: HostId) -> Option<Status> {
        self.info(host).map(|info| info.status)
    }

    /// A person gives a member the bridge right.
    pub fn bridge(&mut self, host: HostId) {
        let settings = MemberSettings {
            bridge: Some(true),
            ..MemberSettings::default()
        };
        self.change(host, &settings);
    }

    /// A person gives a member the replicator right.
    pub fn replicator(&mut self, host: HostId) {
        let settings = MemberSettings {
            replicator: Some(true),
            ..MemberSettings::default()
        };
        self.change(host, &settings);
    }

    fn set(&mut self, host: HostId, status: MemberStatus) {
        let settings = MemberSettings {
            status: Some(status),
            ..MemberSettings::default()
        };
        self.change(host, &settings);
    }

    fn change(&mut self, host: HostId, settings: &MemberSettings) {
        let address = self.world.host(host).overlay();
        let network = self.network;
        self.world
            .at_controller(self.controller, |controller, now| {
                let outcome =
                    controller.change_member(network, address, settings, Absent::Make, now);
                // The store is in memory and the settings are right.
                let outcome = outcome.expect("a member that can be changed");
                ((), outcome.pushes)
            });
    }
}

/// A network at a controller, with a pool of 65,534 addresses.
///
/// # Panics
/// Never: the store is in memory and the settings are right.
pub fn make_network(world: &mut World, controller: HostId, public: bool) -> NetworkId {
    let pool = Subnet::new(Ipv4Addr::new(10, 20, 0, 0).into(), 16).expect("a subnet");
    let settings = NetworkSettings {
        name: Some("lan".into()),
        public: Some(public),
        ipv4_pools: Some(vec![pool]),
        ipv4_assign: Some(true),
        ..NetworkSettings::default()
    };
    let chance = crate::dice::Dice::new(world.seed())
        .on(u64::from(controller.0))
        .bytes();
    world.at_controller(controller, |controller, now| {
        let outcome = controller
            .create_network(&settings, chance, now)
            .expect("a network of right settings");
        (outcome.value.id, outcome.pushes)
    })
}
