//! Who sends and who receives the frame that `explain` is asked about, and the network between them.
//!
//! In: arguments, a netconf-master. Out: certificates as the master would sign them, settings that guards look at.
//! Never: a member that the master does not know; a decision about the frame.

use std::collections::BTreeMap;
use std::net::IpAddr;

use zt_api::master::{Member, MemberStatus, Network};
use zt_api::{ApiError, Exit, MasterClient};
use zt_rules::{End, Ground, Holder, RuleSet};
use zt_wire::{Address, Cidr, Mac, NetworkId, Rights};

use super::args::{Explain, Source};
use super::names;
use crate::args::Right;
use crate::master;
use crate::output::Failure;

/// The network and both ends.
pub struct Between {
    /// The rules, as written.
    pub text: String,
    /// Sender and receiver.
    pub ends: [Known; 2],
    /// The network: a real one, or one made up for a text alone.
    pub ground: Settings,
}

/// What guards look at.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent settings of a network"
)]
pub struct Settings {
    /// Which network; made up where there is only a text.
    pub id: NetworkId,
    /// The network exists, so MACs, certificates and members are known.
    pub real: bool,
    /// Frames to 01:80:c2:00:00:01 to 0f go to everybody.
    pub link_local_groups: bool,
    manages_v4: bool,
    computes_v6: bool,
    routes: Vec<(Cidr, IpAddr)>,
}

/// One end.
pub struct Known {
    /// Who.
    pub address: Address,
    /// Its MAC on the network.
    pub mac: Mac,
    /// Why it has no certificate; `None`: it has.
    pub outside: Option<&'static str>,
    /// Its rights, as far as the network allows them.
    pub rights: Rights,
    /// Its managed addresses.
    pub ips: Vec<IpAddr>,
    /// Its tags: id and value.
    pub tags: Vec<(u32, u32)>,
}

impl Between {
    /// Everything that is known before the frame is looked at.
    ///
    /// # Errors
    /// When the file, the network or a member is not there.
    pub async fn of(client: Option<&MasterClient>, asked: &Explain) -> Result<Self, Failure> {
        if asked.from == asked.to {
            let text = "--from and --to name one member; a frame goes from one to another";
            return Err(Failure::new(Exit::Usage, text));
        }
        let file = match &asked.rules {
            Source::File(file) => Some(super::read(file)?),
            Source::Network(_) => None,
        };
        let (Some(id), Some(client)) = (asked.network(), client) else {
            // Any network will do: its id only makes the MACs.
            let id = NetworkId::new(asked.from, 1)
                .map_err(|e| Failure::new(Exit::Usage, e.to_string()))?;
            return Ok(Self {
                text: file.unwrap_or_default(),
                ends: [Known::new(asked.from, id), Known::new(asked.to, id)],
                ground: Settings::unknown(id),
            });
        };
        let network = client.network(id).await;
        let network = network.map_err(|e| master::no_network(e, id))?;
        let mut ends = [Known::new(asked.from, id), Known::new(asked.to, id)];
        for end in &mut ends {
            let member = client.member(id, end.address).await;
            end.certify(
                &network,
                member.map_err(|e| master::no_member(e, id, end.address))?,
            );
        }
        Ok(Self {
            ground: Settings::of(&network),
            text: file.unwrap_or(network.rules),
            ends,
        })
    }

    /// Puts what was given by option in the place of what the master says.
    ///
    /// # Errors
    /// For a name that the rules do not define.
    pub fn suppose(&mut self, asked: &Explain, set: &RuleSet) -> Result<(), Failure> {
        let [from, to] = &mut self.ends;
        for (end, pairs, capabilities, rights) in [
            (
                from,
                &asked.from_tag,
                asked.from_capability.as_slice(),
                &asked.from_right,
            ),
            (to, &asked.to_tag, &[][..], &asked.to_right),
        ] {
            let mut tags: BTreeMap<u32, u32> = end.tags.iter().copied().collect();
            names::give(set, &mut tags, pairs, capabilities)?;
            end.tags = tags.into_iter().collect();
            for right in rights {
                end.rights = end.rights.with(bits(*right));
            }
        }
        Ok(())
    }
}

impl Settings {
    const fn unknown(id: NetworkId) -> Self {
        Self {
            id,
            real: false,
            link_local_groups: false,
            manages_v4: false,
            computes_v6: false,
            routes: vec![],
        }
    }

    fn of(network: &Network) -> Self {
        let gateways = network.routes.iter().filter_map(|route| {
            let target = Cidr::new(route.target.base(), route.target.prefix()).ok()?;
            Some((target, route.via?))
        });
        Self {
            id: network.id,
            real: true,
            link_local_groups: network.link_local_groups,
            manages_v4: !network.ipv4_pools.is_empty(),
            computes_v6: network.ipv6_rfc4193,
            routes: gateways.collect(),
        }
    }

    /// As guards see it.
    pub fn ground(&self) -> Ground<'_> {
        Ground {
            network: self.id,
            manages_v4: self.manages_v4,
            computes_v6: self.computes_v6,
            routes: &self.routes,
        }
    }
}

impl Known {
    fn new(address: Address, network: NetworkId) -> Self {
        Self {
            address,
            mac: Mac::of(address, network),
            outside: None,
            rights: Rights::NONE,
            ips: vec![],
            tags: vec![],
        }
    }

    /// Takes what the master would put into its certificate.
    fn certify(&mut self, network: &Network, member: Member) {
        self.outside = match member.status {
            MemberStatus::Authorized => None,
            MemberStatus::Pending => Some("waits to be authorized"),
            MemberStatus::Denied => Some("was put out"),
        };
        for (given, right) in [
            (member.bridge && network.bridging, Rights::BRIDGE),
            (member.dhcp_server, Rights::DHCP_SERVER),
            (member.router_advertisement, Rights::ROUTER_ADVERTISEMENT),
            (member.replicator, Rights::REPLICATOR),
            (member.any_source_ip, Rights::ANY_SOURCE_IP),
        ] {
            if given {
                self.rights = self.rights.with(right);
            }
        }
        self.ips = member.ips;
        self.tags = member.tags.into_iter().collect();
    }

    /// As rules see it.
    pub fn end<'a>(&'a self, rules: &'a RuleSet) -> End<'a> {
        End::new(self.address, &self.tags, rules)
    }

    /// As guards see it.
    pub fn holder(&self) -> Holder<'_> {
        Holder {
            address: self.address,
            rights: self.rights,
            ips: &self.ips,
        }
    }

    /// Whether it bridges.
    pub const fn bridges(&self) -> bool {
        self.rights.has(Rights::BRIDGE)
    }

    /// Its first address of a family.
    pub fn ip(&self, v6: bool) -> Option<IpAddr> {
        self.ips.iter().copied().find(|ip| ip.is_ipv6() == v6)
    }
}

const fn bits(right: Right) -> Rights {
    match right {
        Right::Bridge => Rights::BRIDGE,
        Right::DhcpServer => Rights::DHCP_SERVER,
        Right::Router => Rights::ROUTER_ADVERTISEMENT,
        Right::AnySource => Rights::ANY_SOURCE_IP,
        Right::Replicator => Rights::REPLICATOR,
    }
}

/// Whether the netconf-master knows this member.
///
/// # Errors
/// When it does not answer.
pub async fn is_member(
    client: &MasterClient,
    network: NetworkId,
    address: Address,
) -> Result<bool, Failure> {
    match client.member(network, address).await {
        Ok(member) => Ok(member.status == MemberStatus::Authorized),
        Err(ApiError::Answer { status: 404, .. }) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

/// A right as `member set --right` names it.
pub fn spelled(right: Rights) -> &'static str {
    [
        (Rights::BRIDGE, "bridge"),
        (Rights::DHCP_SERVER, "dhcp-server"),
        (Rights::ROUTER_ADVERTISEMENT, "router"),
        (Rights::ANY_SOURCE_IP, "any-source"),
    ]
    .into_iter()
    .find(|(known, _)| *known == right)
    .map_or("replicator", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;
    use zt_rules::{Guard, Lift};

    #[test]
    fn every_right_that_lifts_a_guard_can_be_typed() {
        for guard in Guard::ALL {
            let right = match guard.lifted_by() {
                Lift::Right(right) | Lift::RightOfBoth(right) => right,
                Lift::LinkLocalGroups => continue,
            };
            let typed = Right::from_str(spelled(right), false).unwrap();
            assert_eq!(bits(typed), right, "{guard:?}");
        }
    }
}
