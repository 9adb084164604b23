//! What goes wrong and comes right: supernodes die, addresses change, routers forget, the master is away.
//!
//! In: faults. Out: how long until members hear each other again. Never: a restart where none is allowed.

use std::time::{Duration, Instant};

use zt_lab::{
    Failed, Nat,
    host::joined,
    traffic,
    zt::{Supernode, until},
};
use zt_system_tests::{Town, ensure, measured, story};

/// Adds a second supernode to the town's world and runs it.
fn second_supernode(town: &Town) -> Result<Supernode, Failed> {
    let (host, address) = town.internet.public("supernode-2")?;
    let world = town.supernode.world();
    let endpoint = Supernode::prepare(&town.kit, &host, address, Some(&world))?;
    town.supernode.add(&host)?;
    Supernode::run(&town.kit, &host, endpoint, Some(&world))
}

#[test]
fn a_newer_world_is_adopted_and_members_meet_when_the_first_supernode_is_dead() {
    story(|town| {
        let network = town.network()?;
        let invite = town.master.invite(&network)?;
        let (_home_a, a) = town.home("home-a", Nat::KeepsPort)?;
        let (_home_b, b) = town.home("home-b", Nat::OtherPort)?;
        a.join(&invite)?;
        let jb = b.join(&invite)?;
        let second = second_supernode(town)?;
        for node in [&a, &b] {
            until(
                Duration::from_secs(40),
                "the newer world is not adopted",
                || Ok(node.ask(&["info"])?["world"]["serial"] == 2),
            )?;
            until(
                Duration::from_secs(20),
                "the second supernode never answers",
                || {
                    let info = node.ask(&["info"])?;
                    let answering = info["supernodes"].as_array().into_iter().flatten();
                    Ok(answering
                        .filter(|supernode| supernode["rtt_ms"].is_number())
                        .count()
                        == 2)
                },
            )?;
        }
        town.supernode.process.kill()?;
        // They have never spoken: they need a supernode to find each other.
        let target = jb.ip.to_string();
        let took = traffic::first_ping(&a.host, &target, Duration::from_secs(15))?;
        measured(
            "first meeting after a supernode's death",
            format!("{took:?}"),
        );
        drop(second);
        Ok(())
    });
}

#[test]
fn a_direct_pair_does_not_notice_that_the_supernode_dies() {
    story(|town| {
        let (_homes, couple) = town.homes()?;
        couple.meet_directly()?;
        town.supernode.process.kill()?;
        let pings = couple.pair().ping(100, Duration::from_millis(50))?;
        ensure(pings.lost() == 0, || format!("{pings:?}"))
    });
}

#[test]
fn a_node_that_restarts_while_the_netconf_master_is_down_rejoins() {
    story(|town| {
        let mut couple = town.pair()?;
        couple.pair().first_ping()?;
        town.master.process.kill()?;
        couple.b.restart()?;
        let started = Instant::now();
        couple.reached_within(Duration::from_secs(15))?;
        measured(
            "back after a restart without the master",
            format!("{:?}", started.elapsed()),
        );
        couple.b.joined(&couple.network.id).map(|_| ())
    });
}

#[test]
fn a_netconf_master_that_restarts_still_knows_everything() {
    story(|town| {
        let couple = town.pair()?;
        town.master.restart()?;
        let members = town.master.ask(&["member", "list", &couple.network.id])?;
        for node in [&couple.a, &couple.b] {
            let address = node.address()?;
            ensure(members.to_string().contains(&address), || {
                format!("{address}: {members}")
            })?;
        }
        let third = town.node("c")?;
        town.master.authorize(&couple.network, &third.address()?)?;
        third.join(&couple.network.pinned()).map(|_| ())
    });
}

#[test]
fn a_node_whose_address_changes_is_reached_again() {
    story(|town| {
        let couple = town.pair()?;
        couple.meet_directly()?;
        let address = town.internet.address();
        couple.b.host.ip(&format!(
            "addr flush dev wan\naddr add {address}/24 dev wan"
        ))?;
        let took = couple.reached_within(Duration::from_secs(20))?;
        measured("recovery from a new address", format!("{took:?}"));
        ensure(took < Duration::from_secs(15), || format!("{took:?}"))
    });
}

#[test]
fn a_home_that_gets_another_public_address_is_reached_again() {
    story(|town| {
        let network = town.network()?;
        let invite = town.master.invite(&network)?;
        let (mut home, a) = town.home("home-a", Nat::KeepsPort)?;
        let b = town.node("b")?;
        let ja = a.join(&invite)?;
        b.join(&invite)?;
        traffic::first_ping(&b.host, &ja.ip.to_string(), Duration::from_secs(10))?;
        home.renumber(town.internet.address(), Nat::KeepsPort)?;
        // Traffic from the outside only: the home has to notice by itself.
        let took = traffic::first_ping(&b.host, &ja.ip.to_string(), Duration::from_secs(40))?;
        measured("recovery from a new public address", format!("{took:?}"));
        Ok(())
    });
}

#[test]
fn a_nat_that_rebinds_is_survived_by_a_running_ping() {
    story(|town| {
        let ([home_a, _home_b], couple) = town.homes()?;
        couple.meet_directly()?;
        let target = couple.jb.ip;
        let host = couple.a.host.clone();
        let pings = couple.a.host.beside(move || {
            traffic::ping(
                &host,
                &target.to_string(),
                150,
                Duration::from_millis(100),
                56,
            )
        });
        std::thread::sleep(Duration::from_secs(1));
        home_a.rebind(40_777)?;
        let pings = joined(pings)?;
        measured(
            "pings lost by a NAT rebinding",
            format!("{} of {}", pings.lost(), pings.sent),
        );
        ensure(pings.lost() < 75, || format!("{pings:?}"))?;
        let after = couple.pair().ping(20, Duration::from_millis(50))?;
        ensure(after.lost() == 0, || format!("after it: {after:?}"))
    });
}

#[test]
fn a_relay_carries_what_no_hole_can_be_punched_for() {
    story(|town| {
        let network = town.network()?;
        let invite = town.master.invite(&network)?;
        let (_home_a, a) = town.home("home-a", Nat::RandomPorts)?;
        let (_home_b, b) = town.home("home-b", Nat::RandomPorts)?;
        a.join(&invite)?;
        let jb = b.join(&invite)?;
        traffic::first_ping(&a.host, &jb.ip.to_string(), Duration::from_secs(10))?;
        let pings = traffic::ping(
            &a.host,
            &jb.ip.to_string(),
            50,
            Duration::from_millis(50),
            56,
        )?;
        ensure(pings.lost() == 0, || format!("{pings:?}"))?;
        let kind = a.peer(&b.address()?)?["path"]["kind"].clone();
        ensure(kind == "relay", || format!("{kind}"))
    });
}
